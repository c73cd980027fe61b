import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.imaging import fingerprint, preprocess
from gateway.labels import Description
from training import drawings, versions
from training.demo import record as records
from training.demo import weights
from training.demo.provide import description, provide

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`models/my_model` after the command of a first `make run`."""
    models = tmp_path_factory.mktemp("models")
    command = [sys.executable, "-m", "training", "demo", "--models", str(models)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""
    assert "on real photos its labels mean nothing" in ended.stderr
    return models / "my_model"


def fresh(first: int, per_class: int) -> tuple[Any, Any]:
    """Drawings that no other set has, through their files: uint8 [N,224,224,3] and their classes."""
    jobs = [(k, seed) for seed in range(first, first + per_class) for k in range(len(drawings.specimens()))]
    return np.stack([preprocess(drawings.encoded(*job)) for job in jobs]), np.array([k for k, _ in jobs])


def test_weights_are_those_of_the_record() -> None:
    record, data = records.load(), weights.FILE.read_bytes()
    assert record.weights.sha256 == hashlib.sha256(data).hexdigest()
    assert record.weights.size_bytes == len(data) <= 3_000_000


def test_the_record_says_how_to_repeat_the_run_and_what_it_reached() -> None:
    record = records.load()
    assert record.command == "python -m training demo --retrain"
    assert record.metrics["top1"] >= 0.9
    assert record.metrics["ece"] <= 0.03
    assert record.pictures["test"]["count"] == 137 * 20
    assert "-dirty" not in record.code_version


def test_no_drawing_is_in_two_sets() -> None:
    sets = [range(int(s["first"]), int(s["first"]) + int(s["per_class"])) for s in records.load().pictures.values()]
    assert sum(len(seeds) for seeds in sets) == len({seed for seeds in sets for seed in seeds})


def test_the_description_says_that_it_is_a_demo() -> None:
    told = description(records.load())
    assert told.demo
    assert "on real photos its labels mean nothing" in told.summary
    assert told.preprocessing.fingerprint == fingerprint()
    assert len(told.labels) == 137
    assert told.metrics.keys() == {"top1", "top5", "ece"}


def test_a_model_with_a_version_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "1602685044").mkdir()
    said: list[str] = []
    assert provide(tmp_path, notify=said.append) is None
    assert said == [
        f"{tmp_path} already holds version 1602685044: nothing to do. --force adds the demo model as a newer one."
    ]


@pytest.mark.slow
def test_the_command_exports_one_version_that_describes_itself(base: Path) -> None:
    from training.release.graph import load

    (number,) = versions.present(base)
    answer = load(base / str(number))("describe", {"ignored": [b""]})["description"]
    assert Description.model_validate_json(answer[0]) == description(records.load())


@pytest.mark.slow
def test_force_adds_a_newer_version(base: Path) -> None:
    before = versions.present(base)
    path = provide(base, force=True, notify=lambda line: None)
    assert path is not None
    assert versions.present(base) == [*before, int(path.name)]


@pytest.mark.slow
def test_the_exported_version_names_unseen_drawings(base: Path) -> None:
    from training.release.graph import load

    pixels, truth = fresh(first=5_000_000, per_class=3)
    ask = load(base / str(versions.present(base)[-1]))
    rows = [ask("serving_bytes", {"image": [picture.tobytes()]})["probabilities"][0] for picture in pixels]
    assert (np.argmax(rows, axis=1) == truth).mean() >= 0.9


@pytest.mark.slow
def test_a_missing_or_foreign_weights_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    from training.errors import TrainingError
    from training.learn import model

    toy = model.build(2, alpha=0.1)
    with pytest.raises(TrainingError, match="--retrain"):
        weights.load(toy, tmp_path / "weights.npz")
    np.savez(tmp_path / "weights.npz", other=np.zeros(1))
    with pytest.raises(TrainingError, match="another network"):
        weights.load(toy, tmp_path / "weights.npz")


@pytest.mark.slow
def test_weights_are_kept_as_they_were_measured(tmp_path: Path) -> None:
    from training.learn import model

    toy, copy = model.build(2, alpha=0.1, seed=1), model.build(2, alpha=0.1, seed=2)
    weights.rounded(toy)
    weights.save(toy, tmp_path / "weights.npz")
    weights.load(copy, tmp_path / "weights.npz")
    assert all(np.array_equal(a, b) for a, b in zip(toy.get_weights(), copy.get_weights(), strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")  # its save
def test_retraining_writes_weights_and_their_record(tmp_path: Path) -> None:
    from training.demo.pictures import Seeds
    from training.demo.retrain import RECIPE, retrain
    from training.learn import model

    tiny = RECIPE._replace(
        alpha=0.1,
        sizes=(32,),
        epochs=(1,),
        rates=(1e-3,),
        training=Seeds(0, 1),
        validation=Seeds(10, 1),
        test=Seeds(20, 1),
    )
    said: list[str] = []
    record = retrain(tiny, folder=tmp_path / "runs", directory=tmp_path, notify=said.append)
    assert records.load(tmp_path / "record.json") == record
    assert record.weights.size_bytes == (tmp_path / "weights.npz").stat().st_size
    assert record.metrics["pictures"] == 137
    assert record.pictures["test"]["count"] == 137
    assert any(line.startswith("Phase 1: 32 px, epoch 1") for line in said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["record.json", "weights.npz"]
    weights.load(model.build(137, alpha=0.1), tmp_path / "weights.npz")
