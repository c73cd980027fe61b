"""The workflow for hosted CI runs what `.ci/run` and the Makefile offer, on every Python that is promised."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.documents import ROOT

FILE = ROOT / ".github/workflows/ci.yml"


@pytest.fixture
def jobs() -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["jobs"]
    return jobs


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_every_command_exists(jobs: dict[str, Any]) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    known = {".ci/run", *(f"make {target}" for target in targets)}
    assert {command for job in jobs.values() for command in commands(job)} <= known


def test_one_job_runs_everything_that_must_pass(jobs: dict[str, Any]) -> None:
    assert [".ci/run"] in [commands(job) for job in jobs.values()]


def test_every_promised_python_is_checked(jobs: dict[str, Any]) -> None:
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    first, end = map(int, re.findall(r"3\.(\d+)", promised))
    assert jobs["check"]["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(first, end)]


def test_the_workflow_names_no_host() -> None:
    assert "://" not in FILE.read_text(encoding="utf-8")
