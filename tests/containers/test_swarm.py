"""`docker stack deploy` of the same file: equal shares, and not one failed upload while the stack is changed.

The uploads come from a container beside the gateway and take, each of them, an address that the gateway's name has at
that moment, as a load balancer does. Swarm's own one needs IPVS in the kernel, which the engine of the tests lacks.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.containers.engine import (
    Checkout,
    Load,
    addresses,
    containers,
    docker,
    documented,
    greet_at,
    in_container,
    inspect,
    load,
    reached_by_a_stranger,
    reached_from,
    wait_until,
)

PYTHON = sys.executable
GREETER, GREETING = 9999, "a container of the stack"
OF_THE_STACK = "label=com.docker.stack.namespace=tf"
SCRAPE = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/metrics').read().decode())"
EXPORT_REVERSED = """
from pathlib import Path
from training.learn.model import imagenet_classifier
from training.demo import provide
from training.release.graph import write_version
told, shares = provide.demo()
told = told.model_copy(update={"labels": tuple(reversed(told.labels))})
print(write_version(imagenet_classifier(), told, Path("models/my_model"), shares=shares))
"""


@pytest.fixture(scope="module")
def swarm(checkout: Checkout, standin: str) -> Iterator[Checkout]:
    """The stack `tf`, complete; the Swarm ends with the module."""
    checkout.sh("docker compose build")
    docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        checkout.sh(documented("docker stack deploy -c docker-compose.yml tf"))
        wait_until(
            lambda: replicas() == {"tf_gateway": "1/1", "tf_tensorflow": "1/1", "tf_tf_model_serving": "4/4"},
            "the stack",
        )
        yield checkout
    finally:
        try:
            wait_until(the_stack_is_removed, "the stack's services and networks to be removed")
        finally:
            docker("swarm", "leave", "--force")
        wait_until(nothing_is_left, "the stack to end")
        forget_releases()


def the_stack_is_removed() -> bool:
    """Asks for it anew as long as the engine refuses: a network stays in use until the last task on it has ended."""
    return (
        subprocess.run(["docker", "stack", "rm", "tf"], capture_output=True, timeout=300, check=False).returncode == 0
    )


def nothing_is_left() -> bool:
    """Of the stack's containers. A Swarm that is left leaves those that have ended, and they hold their images."""
    if docker("ps", "--quiet", "--filter", OF_THE_STACK):
        return False
    for ended in docker("ps", "--all", "--quiet", "--filter", OF_THE_STACK).split():
        subprocess.run(
            ["docker", "rm", "--force", ended], capture_output=True, check=False
        )  # the engine may be removing it itself
    return not docker("ps", "--all", "--quiet", "--filter", OF_THE_STACK)


@pytest.fixture(scope="module")
def client(swarm: Checkout) -> str:
    """A container beside the gateway to upload from."""
    return idle_task("tf_client", network="tf_front")


@pytest.fixture(scope="module")
def stranger(swarm: Checkout) -> str:
    """A task outside the stack, on the same Swarm."""
    docker("network", "create", "--driver", "overlay", "--label", "com.docker.stack.namespace=tf", "tf_elsewhere")
    return idle_task("tf_stranger", network="tf_elsewhere")


def idle_task(name: str, *, network: str) -> str:
    """A container to run scripts in, which ends with the stack."""
    options = {"--name": name, "--network": network, "--label": "com.docker.stack.namespace=tf"}
    docker(
        *("service", "create", "--detach", "--no-healthcheck", "--stop-grace-period", "1s"),
        *(word for option in options.items() for word in option),
        *("--entrypoint", "python", "specimen/gateway", "-c", "import time; time.sleep(7200)"),
    )
    wait_until(lambda: len(containers(name)) == 1, name)
    return containers(name)[0]


def forget_releases() -> None:
    """The tags that `make release` has set; the layers stay, as the builder's cache."""
    for tag in docker("image", "ls", "--format", "{{.Tag}}", "specimen/serving").split():
        if tag.isdecimal():
            docker("image", "rm", "--no-prune", f"specimen/serving:{tag}")


def replicas() -> dict[str, str]:
    """Running of wanted tasks, by service."""
    lines = docker("service", "ls", "--format", "{{.Name}} {{.Replicas}}").splitlines()
    ours = (line.split() for line in lines)
    return {name: count for name, count in ours if name not in ("tf_client", "tf_stranger")}


def updated(service: str) -> bool:
    state = docker("service", "inspect", service, "--format", "{{.UpdateStatus.State}}")
    assert not state.startswith(("paused", "rollback")), docker("service", "ps", "--no-trunc", service)
    return state == "completed"


def attempts(gateway: str) -> dict[str, int]:
    """Attempts so far, by replica, as Prometheus is told."""
    scraped = in_container(gateway, SCRAPE)
    found = re.findall(r'^gateway_replica_attempts_total\{replica="([^"]+)"\} (\d+)', scraped, re.MULTILINE)
    return {replica: int(count) for replica, count in found}


def labels_at(gateway: str) -> list[str]:
    script = "import json, urllib.request as r; print('\\n'.join(json.load(r.urlopen('http://127.0.0.1:8080/v1/labels'))['labels']))"
    return in_container(gateway, script).splitlines()


def replicas_known() -> int:
    script = "import json, urllib.request as r; print(sum(m['state'] == 'available' for m in json.load(r.urlopen('http://127.0.0.1:8080/v1/models'))['replicas']))"
    return int(in_container(containers("tf_gateway")[0], script))


def version_served(gateway: str) -> str:
    script = (
        "import json, urllib.request as r; print(json.load(r.urlopen('http://127.0.0.1:8080/v1/models'))['serving'])"
    )
    return in_container(gateway, script)


def assert_unharmed(told: Load) -> None:
    assert told.failures == []
    assert told.count > 20


def test_the_stack_has_its_services_and_four_replicas(swarm: Checkout) -> None:
    assert "tf_tf_model_serving" in swarm.sh(documented("docker service ls"))
    assert replicas() == {"tf_gateway": "1/1", "tf_tensorflow": "1/1", "tf_tf_model_serving": "4/4"}


def test_all_four_replicas_get_equal_shares(swarm: Checkout, client: str) -> None:
    (gateway,) = containers("tf_gateway")
    wait_until(lambda: replicas_known() == 4, "all replicas to be known")
    before = Counter(attempts(gateway))
    with load(client) as told:
        wait_until(lambda: sum(attempts(gateway).values()) > before.total() + 200, "two hundred uploads")
    assert_unharmed(told)
    shares = Counter(attempts(gateway)) - before
    assert len(shares) == 4
    assert max(shares.values()) - min(shares.values()) <= 0.1 * shares.total()


def test_nothing_but_the_gateway_is_published(swarm: Checkout) -> None:
    ports = {name: inspect(name)["Endpoint"].get("Ports", []) for name in replicas()}
    assert {name: [port["TargetPort"] for port in published] for name, published in ports.items()} == {
        "tf_gateway": [8080],
        "tf_tf_model_serving": [],
        "tf_tensorflow": [],
    }


def test_no_container_is_reached_from_outside_the_stacks_networks(swarm: Checkout, client: str, stranger: str) -> None:
    """Not from Docker's default network, nor from a task of another stack; replicas not even from the front network.

    The containers greet: to connect alone proves little where a firewall or a proxy answers for unknown addresses.
    """
    hosts: dict[str, str] = {}
    for service in replicas():
        for container in containers(service):
            greet_at(container, GREETER, GREETING)
            hosts |= dict.fromkeys(addresses(container), service)
    targets = [f"{host}:{GREETER}" for host in hosts]

    def greeted() -> Counter[str]:
        seen = reached_from(client, targets, greeting=GREETING)
        return Counter(hosts[target.split(":")[0]] for target in seen)

    wait_until(lambda: greeted() == {"tf_gateway": 1, "tf_tensorflow": 1}, "the front network, and no more, to be seen")
    assert reached_by_a_stranger(targets, greeting=GREETING) == []
    assert reached_from(stranger, targets, greeting=GREETING) == []


def test_no_upload_fails_when_a_replica_is_killed(swarm: Checkout, client: str) -> None:
    with load(client) as told:
        docker("kill", victim := containers("tf_tf_model_serving")[0])
        wait_until(
            lambda: len(containers("tf_tf_model_serving")) == 4 and replicas()["tf_tf_model_serving"] == "4/4",
            "a new one",
        )
        wait_until(lambda: replicas_known() == 4, "the gateway to know it")
    assert victim not in containers("tf_tf_model_serving")
    assert_unharmed(told)


def test_no_upload_fails_when_replicas_are_added_and_taken_away(swarm: Checkout, client: str) -> None:
    with load(client) as told:
        swarm.sh(documented("docker service scale tf_tf_model_serving=6"))
        wait_until(lambda: replicas_known() == 6, "six replicas")
        swarm.sh("docker service scale tf_tf_model_serving=2")
        wait_until(lambda: replicas_known() == 2 and len(containers("tf_tf_model_serving")) == 2, "two replicas")
    assert_unharmed(told)


def test_no_upload_fails_and_no_name_is_wrong_when_a_model_with_other_labels_is_rolled_out(
    swarm: Checkout, client: str
) -> None:
    (gateway,) = containers("tf_gateway")
    names = {version_served(gateway): labels_at(gateway)}
    (first,) = names
    swarm.sh(f"docker cp {containers('tf_tf_model_serving')[0]}:/models .")
    built = swarm.sh(f"PYTHONPATH=. {PYTHON} -c '{EXPORT_REVERSED}'").split()[-1]
    second = built.rsplit("/", 1)[-1]
    swarm.sh(documented("make release MODEL=models/my_model").replace("make", f"make PY={PYTHON} READY="))
    with load(client) as told:
        roll_out = documented("docker service update --image specimen/serving:VERSION tf_tf_model_serving")
        swarm.sh(roll_out.replace("VERSION", second) + " --no-resolve-image --detach")
        wait_until(lambda: updated("tf_tf_model_serving"), "the roll-out")
        wait_until(lambda: version_served(gateway) == second and replicas_known() == 2, "the new model everywhere")
    names[second] = labels_at(gateway)
    assert_unharmed(told)
    assert names[second] == names[first][::-1]
    assert told.versions == {first, second}
    assert all(names[version][index] == label for version, index, label, _ in told.answers)


def test_no_upload_fails_and_the_old_model_is_back_when_the_roll_out_is_taken_back(
    swarm: Checkout, client: str
) -> None:
    (gateway,) = containers("tf_gateway")
    second = version_served(gateway)
    with load(client) as told:
        swarm.sh(documented("docker service rollback tf_tf_model_serving") + " --detach")
        wait_until(lambda: version_served(gateway) != second and replicas_known() == 2, "the old model everywhere")
    assert_unharmed(told)
    assert int(version_served(gateway)) < int(second)


def test_no_upload_fails_when_the_gateway_is_updated(swarm: Checkout, client: str) -> None:
    swarm.sh(documented("docker service scale tf_gateway=2"))
    wait_until(lambda: replicas()["tf_gateway"] == "2/2", "two gateways")
    before = set(containers("tf_gateway"))
    with load(client) as told:
        docker(
            "service",
            "update",
            "--detach",
            "--env-add",
            "GATEWAY_LOG_LEVEL=warning",
            "--no-resolve-image",
            "tf_gateway",
        )
        wait_until(lambda: updated("tf_gateway"), "the update")
        wait_until(
            lambda: len(containers("tf_gateway")) == 2 and not before & set(containers("tf_gateway")),
            "the old ones to end",
        )
    assert_unharmed(told)
    assert len(told.gateways) >= 4  # both old ones and both new ones
