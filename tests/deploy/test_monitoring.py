"""Alert rules and dashboard: well-formed, and about metrics that a gateway and a replica really have."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documents import ROOT

MONITORING = ROOT / "deploy/monitoring"
METRIC = re.compile(r"(?<![\w:\"'/])(gateway_\w+|:tensorflow:[\w:]+)")
OF_PROMETHEUS = {"up"}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((MONITORING / "rules.yml").read_text(encoding="utf-8"))["groups"]
    return list(group["rules"])


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    dashboard = json.loads((MONITORING / "grafana/dashboards/specimen.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def promtool(*arguments: str) -> None:
    if not (tool := shutil.which("promtool")):
        pytest.skip("no promtool on this machine: install prometheus")
    checked = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False, cwd=MONITORING)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prometheus_accepts_its_configuration_and_rules() -> None:
    promtool("check", "config", "prometheus.yml")


def test_every_alert_fires_when_it_should_and_not_before() -> None:
    promtool("test", "rules", "rules.test.yml")


def test_every_alert_is_tested_and_says_what_to_do() -> None:
    alerts = {rule["alert"]: rule for rule in rules() if "alert" in rule}
    tested = yaml.safe_load((MONITORING / "rules.test.yml").read_text(encoding="utf-8"))["tests"]
    assert {case["alertname"] for test in tested for case in test.get("alert_rule_test", [])} == alerts.keys()
    assert all(rule["annotations"].keys() == {"summary", "action"} for rule in alerts.values())


def test_every_recorded_series_that_is_used_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {name for text in expressions() for name in re.findall(r"gateway:[\w:]+", text)}
    assert used == recorded


def test_no_expression_asks_for_anything_else() -> None:
    for text in expressions():
        bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", "", text)
        called = set(re.findall(r"(?<![\w:])([a-z_]\w*)(?=\s*\()", bare))
        words = set(re.findall(r"(?<![\w:])([a-z_][\w:]*)", bare)) - called
        grouping = {"by", "le", "sum", "max", "status", "state", "stage", "replica", "outcome", "budget", "instance"}
        others = {
            word for word in words - grouping - {"type", "format"} if not word.startswith(("gateway_", "gateway:"))
        }
        assert others <= OF_PROMETHEUS, text


def test_prometheus_finds_gateways_and_replicas_by_the_names_of_the_compose_files() -> None:
    jobs = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    names = {job["dns_sd_configs"][0]["names"][0] for job in jobs}
    aliases = set()
    for file in ("docker-compose.yml", "docker-compose.override.yml"):
        services = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["services"]
        for service in services.values():
            networks = service.get("networks", {})
            if isinstance(networks, dict):
                aliases |= {alias for network in networks.values() for alias in network["aliases"]}
    assert names == aliases == {"tasks.gateway", "tasks.tf_model_serving"}


def test_the_overlay_mounts_files_that_are_there() -> None:
    overlay = yaml.safe_load((ROOT / "docker-compose.monitoring.yml").read_text(encoding="utf-8"))
    for service in overlay["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith("./") or Path(ROOT, source).exists(), source
