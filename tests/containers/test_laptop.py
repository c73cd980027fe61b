"""`docker compose up --build` in a clean clone: it classifies, and only its published ports can be reached."""

import hashlib
import json
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from benchmarks.line import running
from tests import pictures
from tests.containers.conftest import BASE
from tests.containers.engine import (
    PROJECT,
    Checkout,
    addresses,
    containers,
    docker,
    documented,
    in_container,
    inspect,
    reached_by_a_stranger,
    reached_from,
    wait_until,
)
from tests.serving.servers import free_port

MIB = 2**20
SERVICES = {"gateway": 1, "tf_model_serving": 4, "tensorflow": 1}
VERSIONS = """
import importlib.metadata as m, json
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
print(json.dumps({name: version(name) for name in ("tensorflow-cpu", "tensorflow", "keras", "numpy", "pillow")}))
"""
CPU_SECONDS = """
import os, pathlib
told = [path.read_text().rsplit(")", 1)[1].split() for path in pathlib.Path("/proc").glob("[0-9]*/stat")]
print(sum(int(fields[11]) + int(fields[12]) for fields in told) / os.sysconf("SC_CLK_TCK"))
"""


@pytest.fixture(scope="module")
def laptop(checkout: Checkout, standin: str) -> Iterator[Checkout]:
    """The whole product, up and able to classify."""
    try:
        checkout.sh(documented("SERVING_IMAGE=specimen/standin docker compose up --build --detach"))
        wait_until(lambda: answers_200(f"{checkout.url}/readyz"), "the gateway to be ready")
        wait_until(lambda: len(healthy()) == sum(SERVICES.values()), "every container to be healthy")
        yield checkout
    finally:
        checkout.sh(documented("docker compose down") + " --volumes --remove-orphans")


def healthy() -> list[str]:
    return docker(
        "ps", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}", "--filter", "health=healthy"
    ).split()


def answers_200(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def one(service: str) -> str:
    return containers(service)[0]


def test_one_command_starts_one_gateway_four_replicas_and_jupyter(laptop: Checkout) -> None:
    assert {service: len(containers(service)) for service in SERVICES} == SERVICES


def test_the_first_request_of_the_guide_is_answered(laptop: Checkout) -> None:
    (laptop.path / "photo.jpg").write_bytes(pictures.jpeg())
    ask = documented("curl -F image=@photo.jpg http://localhost:8080/v1/classify")
    assert "predictions" in json.loads(
        laptop.sh("curl -sS" + ask.removeprefix("curl").replace("http://localhost:8080", laptop.url))
    )
    assert "listening" in laptop.sh(documented("docker compose logs --tail 20"))


def test_photos_get_the_answers_that_the_embedded_run_gives(
    laptop: Checkout, photos: list[Path], tmp_path: Path
) -> None:
    docker("cp", f"{one('tf_model_serving')}:/models", str(tmp_path))
    with running(tmp_path / "models", pictures.jpeg(), embedded_replicas="1") as line:
        for photo in photos:
            answers = [
                httpx.post(f"{url}/v1/classify?top_k=137", files={"image": photo.read_bytes()}, timeout=60).json()
                for url in (laptop.url, f"http://127.0.0.1:{line.port}")
            ]
            inside, embedded = ({p["label"]: p["confidence"] for p in answer["predictions"]} for answer in answers)
            assert len(inside) == 137
            assert inside == pytest.approx(embedded, abs=1e-5)
            assert answers[0]["model"] == answers[1]["model"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_has_no_right_it_does_not_need(laptop: Checkout, service: str) -> None:
    found = inspect(one(service))
    host = found["HostConfig"]
    assert int(found["Config"]["User"].split(":")[0]) > 0
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Init"] is True
    assert host["Privileged"] is False
    assert host["Memory"] > 0
    assert host["NanoCpus"] > 0
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert found["State"]["Health"]["Status"] == "healthy"
    status = (
        in_container(one(service), "print(open('/proc/self/status').read())") if service != "tf_model_serving" else ""
    )
    assert not status or re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)


def test_a_replica_takes_as_many_threads_as_its_share_of_the_cpu(laptop: Checkout) -> None:
    (command,) = [
        line
        for line in docker("top", one("tf_model_serving"), "-eo", "pid,args").splitlines()
        if "serving.standin" in line
    ]
    assert "--tensorflow_intra_op_parallelism=1 " in command
    assert "--model_name=my_model " in command


def test_the_gateways_image_adds_at_most_250_mib_and_says_what_it_is(laptop: Checkout) -> None:
    image, base = inspect("specimen/gateway"), inspect(BASE)
    assert image["Size"] - base["Size"] <= 250 * MIB
    assert image["Config"]["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert "tensorflow" not in in_container(
        one("gateway"), "import os; print(os.listdir('/opt/venv/lib/python3.11/site-packages'))"
    )


def test_the_gateway_answers_healthz_within_three_seconds(laptop: Checkout, removed: list[str]) -> None:
    """Measured in CPU time: on a shared machine the clock shows the load of others, too."""
    removed.append(name := f"{PROJECT}_start")
    started = time.monotonic()
    rights = ("--read-only", "--cap-drop=ALL")
    docker("run", "--detach", "--name", name, *rights, "--env=GATEWAY_UPSTREAM=127.0.0.1:1", "specimen/gateway")
    url = f"http://{addresses(name)[0]}:8080/healthz"
    wait_until(partial(answers_200, url), "healthz")
    took_s = time.monotonic() - started
    assert took_s <= 3 or float(in_container(name, CPU_SECONDS)) <= 3


def test_nothing_but_the_gateway_is_published_and_jupyter_for_this_machine_alone(laptop: Checkout) -> None:
    published = {
        service: {
            binding["HostIp"]
            for bindings in inspect(one(service))["NetworkSettings"]["Ports"].values()
            for binding in bindings or ()
        }
        for service in SERVICES
    }
    assert published["tf_model_serving"] == set()
    assert published["tensorflow"] == {"127.0.0.1"}
    assert "0.0.0.0" in published["gateway"]


def test_a_container_on_another_network_reaches_none_of_ours(laptop: Checkout) -> None:
    targets = [
        f"{address}:{port}"
        for service in SERVICES
        for container in containers(service)
        for address in addresses(container)
        for port in (8080, 8500, 8501, 8888)
    ]
    assert reached_by_a_stranger(targets) == []
    assert reached_from(one("tensorflow"), ["gateway:8080", *targets])[0] == "gateway:8080"


def test_notebooks_reach_the_gateway_and_no_replica(laptop: Checkout) -> None:
    replicas = [f"{address}:8501" for c in containers("tf_model_serving") for address in addresses(c)]
    assert reached_from(one("tensorflow"), replicas) == []
    assert reached_from(one("gateway"), replicas) == replicas


def test_from_outside_this_machine_only_the_gateway_can_be_reached(laptop: Checkout) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; finds the address by which other machines reach this one
        ours = str(probe.getsockname()[0])
    assert answers_200(f"http://{ours}:{laptop.variables['GATEWAY_PUBLISHED_PORT']}/healthz")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((ours, int(laptop.variables["JUPYTER_PORT"])), timeout=5)


def test_jupyter_wants_its_token(laptop: Checkout) -> None:
    address = f"http://127.0.0.1:{laptop.variables['JUPYTER_PORT']}/api/contents"
    assert httpx.get(address, timeout=30).status_code == 403
    token = laptop.variables["JUPYTER_TOKEN"]
    assert httpx.get(address, headers={"Authorization": f"token {token}"}, timeout=30).status_code == 200


def test_notebook_stand_in_and_training_run_the_same_versions(laptop: Checkout) -> None:
    here = json.loads(subprocess.run([sys.executable, "-c", VERSIONS], capture_output=True, check=True).stdout)
    notebook = json.loads(in_container(one("tensorflow"), VERSIONS))
    assert notebook == here
    standin = json.loads(docker("exec", one("tf_model_serving"), "/opt/venv/bin/python", "-c", VERSIONS))
    assert standin.pop("pillow") is None  # it sees tensors, never pictures
    assert standin == {name: version for name, version in here.items() if name != "pillow"}


def test_every_notebook_runs_top_to_bottom_against_the_gateway(laptop: Checkout) -> None:
    notebooks = sorted((laptop.path / "notebooks").glob("*.ipynb"))
    assert notebooks
    for notebook in notebooks:
        command = ["jupyter", "nbconvert", "--to", "notebook", "--execute", "--stdout", f"notebooks/{notebook.name}"]
        ran = json.loads(docker("exec", one("tensorflow"), *command))
        assert all(cell["execution_count"] for cell in ran["cells"] if cell["cell_type"] == "code" and cell["source"])


def test_compose_config_reads_every_overlay(laptop: Checkout) -> None:
    for overlay in ("gpu", "keys", "monitoring", "dev", "models"):
        files = ("docker-compose.yml", "docker-compose.override.yml", f"docker-compose.{overlay}.yml")
        named = " ".join(f"-f {file}" for file in files)
        laptop.sh(f"docker compose {named} config", GRAFANA_PASSWORD="x")


PROMETHEUS = """
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus && install -d -o 65534 /prometheus
USER 65534
ENTRYPOINT ["prometheus"]
"""
"""Debian's, where its makers' own image cannot be pulled."""


def test_with_the_overlay_for_monitoring_prometheus_reads_the_gateway_and_every_replica(laptop: Checkout) -> None:
    image, port = f"{PROJECT}/prometheus", str(free_port())
    (laptop.path / "Prometheus").write_text(PROMETHEUS, encoding="utf-8")
    laptop.sh(f"docker build --tag {image} - < Prometheus")
    files = "-f docker-compose.yml -f docker-compose.override.yml -f docker-compose.monitoring.yml"
    variables = {"PROMETHEUS_IMAGE": image, "PROMETHEUS_PORT": port, "GRAFANA_PASSWORD": "x"}
    laptop.sh(f"docker compose {files} up --detach prometheus", **variables)
    try:
        wait_until(lambda: scraped(port) == {("gateway", "up"): 1, ("replica", "up"): 4}, "every target to be read")
        groups = httpx.get(f"http://127.0.0.1:{port}/api/v1/rules", timeout=30).json()["data"]["groups"]
        assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
        assert sum(len(group["rules"]) for group in groups) > 5
    finally:
        laptop.sh(f"docker compose {files} rm --stop --force -v prometheus", **variables)


def scraped(port: str) -> dict[tuple[str, str], int]:
    """Number of targets by job and health."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/targets", timeout=10)
    except httpx.TransportError:
        return {}
    if answer.status_code == 503:  # it is starting
        return {}
    told = answer.json()["data"]["activeTargets"]
    return dict(Counter((target["labels"]["job"], target["health"]) for target in told))


def test_with_the_overlay_for_keys_only_callers_with_a_key_may_ask(laptop: Checkout) -> None:
    made = laptop.sh(f"PYTHONPATH=. {sys.executable} -m gateway.auth tester")
    (line,) = re.findall(r"tester:[0-9a-f]{64}", made)
    (key,) = {
        word for word in made.split() if hashlib.sha256(word.encode()).hexdigest() == line.removeprefix("tester:")
    }
    (laptop.path / "api-keys.txt").write_text(line + "\n", encoding="utf-8")
    files = "-f docker-compose.yml -f docker-compose.override.yml -f docker-compose.keys.yml"
    laptop.sh(f"docker compose {files} up --detach")
    wait_until(lambda: answers_200(f"{laptop.url}/readyz"), "the gateway to be ready again")
    assert httpx.get(f"{laptop.url}/v1/labels", timeout=30).status_code == 401
    allowed = httpx.get(f"{laptop.url}/v1/labels", headers={"Authorization": f"Bearer {key}"}, timeout=30)
    assert allowed.status_code == 200
    laptop.sh("docker compose up --detach")
    wait_until(lambda: answers_200(f"{laptop.url}/v1/labels"), "the gateway to be open again")


def test_a_change_of_code_renews_the_gateway_and_leaves_the_replicas_alone(laptop: Checkout) -> None:
    gateway, replicas = containers("gateway"), containers("tf_model_serving")
    logs = laptop.path / "gateway/observe/logs.py"
    logs.write_text(logs.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    laptop.sh(documented("docker compose up --build --detach"))
    wait_until(lambda: answers_200(f"{laptop.url}/readyz"), "the gateway to be ready again")
    assert containers("gateway") != gateway
    assert containers("tf_model_serving") == replicas


def test_a_version_that_appears_in_the_shared_folder_is_served_without_a_restart(laptop: Checkout) -> None:
    """Last: it changes what the replicas serve."""
    laptop.sh(f"docker cp {one('tf_model_serving')}:/models .")
    (first,) = (path.name for path in (laptop.path / "models/my_model").iterdir())
    (laptop.path / "models/my_model").chmod(0o755)
    files = "-f docker-compose.yml -f docker-compose.override.yml -f docker-compose.models.yml"
    laptop.sh(f"docker compose {files} up --detach")
    wait_until(lambda: serving(laptop) == {first: 4}, "replicas on the shared folder")
    second = str(int(first) + 1)
    laptop.sh(
        f"cp -r models/my_model/{first} models/my_model/aside && mv models/my_model/aside models/my_model/{second}"
    )
    before = containers("tf_model_serving")
    wait_until(lambda: serving(laptop) == {second: 4}, "the new version everywhere")
    assert containers("tf_model_serving") == before


def serving(laptop: Checkout) -> dict[str, int]:
    """Number of available replicas by the version they serve."""
    try:
        replicas = httpx.get(f"{laptop.url}/v1/models", timeout=10).json()["replicas"]
    except httpx.TransportError:
        return {}
    return dict(Counter(replica["serving"] for replica in replicas if replica["state"] == "available"))


def test_the_developers_gateway_starts_anew_when_its_code_changes(laptop: Checkout) -> None:
    laptop.sh(
        documented(
            "docker compose -f docker-compose.yml -f docker-compose.override.yml -f docker-compose.dev.yml up --detach"
        ),
        DEV_REPLICAS="4",
    )
    wait_until(lambda: answers_200(f"{laptop.url}/healthz"), "the gateway to answer")
    page = laptop.path / "gateway/static/index.html"
    page.write_text(page.read_text(encoding="utf-8") + "<!-- changed -->", encoding="utf-8")
    wait_until(lambda: "restarting it" in laptop.sh("docker compose logs gateway"), "the change to be seen")
    wait_until(lambda: answers_200(f"{laptop.url}/healthz"), "the gateway to answer again")
