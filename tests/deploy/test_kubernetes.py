"""The manifests render, fit the Kubernetes API's own schemas, and hold every Pod to what we promise."""

import re
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest
import yaml

from gateway.app import VERSION
from gateway.settings import Settings
from tests.containers.engine import documented
from tests.documents import ROOT

KUBERNETES = ROOT / "deploy/kubernetes"
KUSTOMIZATIONS = ["base", *sorted(f"overlays/{path.name}" for path in (KUBERNETES / "overlays").iterdir())]
SCHEMAS = ("1.29", "1.37")
DEADLINE_S = Settings.model_fields["deadline_s"].default

Manifest = dict[str, Any]


@cache
def rendered(kustomization: str) -> tuple[Manifest, ...]:
    if not (kubectl := shutil.which("kubectl")):
        pytest.skip("no kubectl on this machine: install kubernetes-client")
    command = [kubectl, "kustomize", str(KUBERNETES / kustomization)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(yaml.safe_load_all(text))


def deployments(kustomization: str) -> dict[str, Manifest]:
    return {found["metadata"]["name"]: found for found in rendered(kustomization) if found["kind"] == "Deployment"}


def pods() -> list[tuple[str, str]]:
    """Every Deployment of every kustomization, by name, so that a missing kubectl hides none."""
    names = [(where, name) for where in KUSTOMIZATIONS for name in ("gateway", "tf-model-serving")]
    return [*names, ("overlays/canary", "tf-model-serving-canary")]


def test_the_pods_below_are_all_there_are() -> None:
    assert {(where, name) for where in KUSTOMIZATIONS for name in deployments(where)} == set(pods())


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_every_manifest_fits_the_schema_of_the_api(kustomization: str, schema: str) -> None:
    import kubernetes_validate  # imported here: it takes seconds, which every collection of tests would wait for

    for manifest in rendered(kustomization):
        kubernetes_validate.validate(manifest, schema, strict=True)


@pytest.mark.parametrize(("kustomization", "name"), pods())
def test_a_pod_runs_without_any_right_it_does_not_need(kustomization: str, name: str) -> None:
    pod = deployments(kustomization)[name]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize(("kustomization", "name"), pods())
def test_a_pod_is_probed_and_limited(kustomization: str, name: str) -> None:
    (container,) = deployments(kustomization)[name]["spec"]["template"]["spec"]["containers"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert container["readinessProbe"] != container["livenessProbe"], "liveness must not depend on the replicas"
    assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize(("kustomization", "name"), pods())
def test_a_pod_drains_for_longer_than_a_request_may_take_before_it_is_killed(kustomization: str, name: str) -> None:
    pod = deployments(kustomization)[name]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {entry["name"]: entry["value"] for entry in container.get("env", [])}
    if name == "gateway":
        assert float(environment["GATEWAY_DEADLINE_S"]) == DEADLINE_S
        drain_s = float(environment["GATEWAY_DRAIN_S"])
        assert pod["terminationGracePeriodSeconds"] > drain_s + DEADLINE_S + 5
    else:
        command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
        assert command == "sleep"
        assert DEADLINE_S < float(seconds) < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_an_update_never_takes_a_pod_away_before_the_new_one_is_ready(kustomization: str) -> None:
    for deployment in deployments(kustomization).values():
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_the_gateway_asks_the_headless_service_whose_selector_finds_every_replica(kustomization: str) -> None:
    (service,) = [m for m in rendered(kustomization) if m["kind"] == "Service" and m["spec"].get("clusterIP") == "None"]
    (container,) = deployments(kustomization)["gateway"]["spec"]["template"]["spec"]["containers"]
    upstream = {entry["name"]: entry["value"] for entry in container["env"]}["GATEWAY_UPSTREAM"]
    assert upstream == f"dns://{service['metadata']['name']}:8501"
    for name, deployment in deployments(kustomization).items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert (service["spec"]["selector"].items() <= labels.items()) is (name != "gateway")


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_two_deployments_never_fight_for_a_pod(kustomization: str) -> None:
    found = deployments(kustomization)
    for name, deployment in found.items():
        selector = deployment["spec"]["selector"]["matchLabels"].items()
        owned = [other for other, d in found.items() if selector <= d["spec"]["template"]["metadata"]["labels"].items()]
        assert owned == [name]


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_every_reference_to_another_object_leads_somewhere(kustomization: str) -> None:
    manifests = rendered(kustomization)
    names = {(m["kind"], m["metadata"]["name"]) for m in manifests}
    for manifest in manifests:
        if manifest["kind"] == "HorizontalPodAutoscaler":
            target = manifest["spec"]["scaleTargetRef"]
            assert (target["kind"], target["name"]) in names
    for deployment in deployments(kustomization).values():
        for volume in deployment["spec"]["template"]["spec"]["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                assert ("PersistentVolumeClaim", claim["claimName"]) in names


def test_replicas_may_be_reached_by_gateways_and_prometheus_and_reach_nothing() -> None:
    (policy,) = [
        m for m in rendered("base") if m["kind"] == "NetworkPolicy" and m["metadata"]["name"] == "tf-model-serving"
    ]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert not policy["spec"].get("egress")
    assert [rule["from"] for rule in policy["spec"]["ingress"]] == [
        [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "gateway"}}}],
        [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
    ]


def test_images_carry_the_version_of_this_repository() -> None:
    for name in ("gateway", "tf-model-serving"):
        (container,) = deployments("base")[name]["spec"]["template"]["spec"]["containers"]
        assert container["image"].endswith(f":{VERSION}")


def test_the_canary_is_the_stable_replica_but_for_its_name_track_image_and_number() -> None:
    text = (KUBERNETES / "overlays/canary/replica.yaml").read_text(encoding="utf-8")
    canary = yaml.safe_load(text.replace("track: canary", "track: stable"))
    stable = next(yaml.safe_load_all((KUBERNETES / "base/replicas.yaml").read_text(encoding="utf-8")))
    assert canary["spec"].pop("replicas") == 1
    for deployment in (canary, stable):
        deployment["metadata"].pop("name")
        deployment["spec"]["template"]["spec"]["containers"][0].pop("image")
    assert canary == stable


def test_the_command_of_the_guide_renders_the_base() -> None:
    rendered("base")  # skips without kubectl
    command = documented("kubectl kustomize deploy/kubernetes/base").split()
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert tuple(yaml.safe_load_all(text)) == rendered("base")


def test_every_setting_that_a_manifest_or_compose_file_names_exists() -> None:
    known = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}
    ours = {
        "GATEWAY_IMAGE",
        "GATEWAY_PUBLISHED_PORT",
        "GATEWAY_CPUS",
        "GATEWAY_MEMORY",
        "GATEWAY_URL",
        "GATEWAY_REPLICAS",
    }
    for file in [*KUBERNETES.rglob("*.yaml"), *ROOT.glob("docker-compose*.yml"), *ROOT.glob("deploy/proxies/*")]:
        named = set(re.findall(r"\bGATEWAY_[A-Z_]+\b", file.read_text(encoding="utf-8")))
        assert named <= known | ours, file
