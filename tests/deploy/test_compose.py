"""Checks of the Compose files that need no Docker engine; tests/containers has those that do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.http.server import GRACE_S
from tests.documents import ROOT

FILES = sorted(ROOT.glob("docker-compose*.yml"))
OWN = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def value(text: object) -> str:
    """With its variables left at their defaults."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(text))


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def mounts_of(service: dict[str, Any]) -> list[str]:
    return [value(volume).split(":")[0] for volume in service.get("volumes", [])]


def ids(file: Path) -> str:
    return file.name


@pytest.mark.parametrize("file", FILES, ids=ids)
def test_every_file_is_of_the_version_that_compose_and_swarm_both_read(file: Path) -> None:
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["version"] == "3.8"


def test_the_three_services_are_there_with_four_replicas_of_the_model() -> None:
    assert OWN["services"].keys() == {"gateway", "tf_model_serving", "tensorflow"}
    assert OWN["services"]["tf_model_serving"]["deploy"]["replicas"] == 4


def test_only_the_gateway_is_published_and_jupyter_and_prometheus_on_localhost_alone() -> None:
    for file in FILES:
        services = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]
        published = {
            name: [value(port) for port in service["ports"]] for name, service in services.items() if "ports" in service
        }
        if file.name == "docker-compose.yml":
            assert published == {"gateway": ["8080:8080"]}
        else:
            assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports), file.name


def test_replicas_have_no_way_out_and_jupyter_no_way_to_them() -> None:
    services = OWN["services"]
    assert OWN["networks"]["replicas"] == {"internal": True}
    assert list(services["tf_model_serving"]["networks"]) == ["replicas"]
    assert services["tensorflow"]["networks"] == ["front"]
    assert services["gateway"]["networks"] == ["front", "replicas"]


@pytest.mark.parametrize("name", OWN["services"])
def test_a_service_is_held_to_its_share_and_to_no_more_rights_than_it_needs(name: str) -> None:
    service = OWN["services"][name]
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert service["restart"] == "unless-stopped"
    assert service["deploy"]["restart_policy"]["condition"] == "any"


@pytest.mark.parametrize("name", ["gateway", "tf_model_serving"])
def test_an_update_starts_the_new_one_first_and_goes_back_on_failure(name: str) -> None:
    update = OWN["services"][name]["deploy"]["update_config"]
    assert (update["order"], update["failure_action"], update["parallelism"]) == ("start-first", "rollback", 1)


def test_a_gateway_has_time_to_drain_and_to_answer_what_is_in_flight() -> None:
    gateway = OWN["services"]["gateway"]
    environment = {name: value(text) for name, text in gateway["environment"].items()}
    needs_s = float(environment["GATEWAY_DRAIN_S"]) + float(environment["GATEWAY_DEADLINE_S"]) + GRACE_S
    assert seconds(gateway["stop_grace_period"]) > needs_s


def test_a_replica_serves_on_until_every_gateway_has_looked_again_and_then_answers_what_it_has() -> None:
    gateway, replica = OWN["services"]["gateway"], OWN["services"]["tf_model_serving"]
    drain_s = float(value(replica["environment"]["SERVING_DRAIN_S"]))
    deadline_s = float(value(gateway["environment"]["GATEWAY_DEADLINE_S"]))
    assert drain_s > float(value(gateway["environment"]["GATEWAY_DNS_REFRESH_S"])) + 1
    assert seconds(replica["stop_grace_period"]) > drain_s + deadline_s


@pytest.mark.parametrize("file", FILES, ids=ids)
def test_what_a_file_mounts_is_part_of_the_repository(file: Path) -> None:
    services = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]
    made_by_users = {"./models"}
    mounted = {source for service in services.values() for source in mounts_of(service) if source.startswith(".")}
    assert not [source for source in mounted - made_by_users if not (ROOT / source).exists()]


@pytest.mark.parametrize("file", FILES, ids=ids)
def test_no_image_floats(file: Path) -> None:
    """Images of others carry an exact version; ours are built here."""
    for service in yaml.safe_load(file.read_text(encoding="utf-8"))["services"].values():
        image = value(service.get("image", "specimen/"))
        assert image.startswith("specimen/") or re.search(r":v?\d+\.\d+\.\d+", image), image


@pytest.mark.parametrize("file", FILES, ids=ids)
def test_a_comment_that_quotes_a_command_names_files_that_exist(file: Path) -> None:
    for name in re.findall(r"-f (\S+\.yml)", file.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name
