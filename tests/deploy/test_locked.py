"""Each image installs its part of the one lock, complete and unchanged."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.locked import subset
from tests.documents import ROOT

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
IMAGES = {
    "gateway": ("gateway", "heic", "otel"),
    "stand-in": ("serving",),
    "training": ("gateway", "training", "pretrained"),
    "notebooks": ("gateway", "training", "pretrained", "notebooks"),
}


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ]+)", text, re.MULTILINE))


def asked_for(blocks: tuple[str, ...]) -> list[str]:
    extras = PROJECT["project"]["optional-dependencies"]
    return [
        line
        for block in blocks
        for line in (PROJECT["project"]["dependencies"] if block == "gateway" else extras[block])
    ]


def needed(requirements: list[str], extra: str = "") -> set[str]:
    """All requirements of these on this machine, from the installed metadata; TensorFlow under either name."""
    found: set[str] = set()
    waiting = [(Requirement(line), extra) for line in requirements]
    while waiting:
        requirement, of = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": of}):
            continue
        try:
            version(name)
        except PackageNotFoundError:
            assert name == "tensorflow", f"{name} is not installed: run make setup"
            continue
        if name not in found or requirement.extras:
            found.add(name)
            more = [Requirement(line) for line in requires(name) or []]
            waiting += [(line, wish) for line in more for wish in ("", *requirement.extras)]
    return found


@pytest.mark.parametrize("blocks", IMAGES.values(), ids=IMAGES)
def test_an_image_installs_all_that_its_blocks_need(blocks: tuple[str, ...]) -> None:
    assert needed(asked_for(blocks)) <= pins(subset(PROJECT, LOCK, blocks)).keys()


@pytest.mark.parametrize("blocks", IMAGES.values(), ids=IMAGES)
def test_its_pins_and_hashes_are_the_locks_own(blocks: tuple[str, ...]) -> None:
    part = subset(PROJECT, LOCK, blocks)
    assert all(line in LOCK for line in part.splitlines())
    assert part.count("--hash=") > len(pins(part))


def test_the_gateways_image_holds_no_tensorflow() -> None:
    names = pins(subset(PROJECT, LOCK, IMAGES["gateway"]))
    assert not names.keys() & {"tensorflow", "tensorflow-cpu", "keras", "jupyterlab", "pytest"}


def test_an_unknown_block_is_named() -> None:
    with pytest.raises(LookupError, match="unknown block 'nonsense': use one of gateway, heic"):
        subset(PROJECT, LOCK, ["nonsense"])


def test_a_lock_that_is_out_of_date_is_reported() -> None:
    project: dict[str, Any] = {"project": {"dependencies": ["missing>=1"], "optional-dependencies": {}}}
    with pytest.raises(LookupError, match=r"requirements\.lock lacks missing: run make lock"):
        subset(project, LOCK, ["gateway"])


def test_every_dockerfile_asks_for_blocks_that_are_tested_here() -> None:
    for dockerfile in ROOT.glob("*/*Dockerfile"):
        for blocks in re.findall(r"locked\.py ([a-z ]+) >", dockerfile.read_text(encoding="utf-8")):
            assert tuple(blocks.split()) in IMAGES.values(), dockerfile
