"""Which version a release means, and what it asks of the builder."""

import os
import subprocess
from pathlib import Path

import pytest

from deploy import release
from tests.documents import ROOT


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two versions of a model."""
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.delenv("SERVING_IMAGE", raising=False)
    monkeypatch.delenv("PYTHON_IMAGE", raising=False)
    for version in ("9", "10"):
        (tmp_path / "models/shells" / version).mkdir(parents=True)
        (tmp_path / "models/shells" / version / "saved_model.pb").touch()
    return tmp_path


def test_a_model_means_its_newest_version(root: Path) -> None:
    assert release.chosen(root / "models/shells") == root / "models/shells/10"


def test_a_version_means_itself(root: Path) -> None:
    assert release.chosen(root / "models/shells/9") == root / "models/shells/9"


@pytest.mark.parametrize(
    ("model", "complaint"),
    [("models/none", "contains no version"), ("models/shells/11", "no saved_model.pb"), ("elsewhere/m/1", "not in")],
)
def test_what_cannot_be_released_is_reported_before_anything_is_built(root: Path, model: str, complaint: str) -> None:
    (root / "elsewhere/m/1").mkdir(parents=True)
    (root / "elsewhere/m/1/saved_model.pb").touch()
    with pytest.raises(LookupError, match=complaint):
        release.chosen(root / model)


def test_the_builder_is_told_model_version_and_base(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVING_IMAGE", "specimen/standin")
    built = release.command(root / "models/shells/9", "shop/serving", revision="abc")
    assert built == [
        *("docker", "build", "-f", "serving/Dockerfile", "-t", "shop/serving:9"),
        *("--label", "org.opencontainers.image.revision=abc"),
        *("--build-arg", "MODEL=shells", "--build-arg", "MODEL_VERSION=9"),
        *("--build-arg", "SERVING_IMAGE=specimen/standin", "."),
    ]


def test_make_hands_the_serving_image_of_the_environment_on() -> None:
    asked = subprocess.run(
        ["make", "--dry-run", "up", "READY="],
        cwd=ROOT,
        env=os.environ | {"SERVING_IMAGE": "specimen/standin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "${SERVING_IMAGE:-specimen/standin}" in asked.stdout
