"""Training as a whole: small runs on drawn pictures, from the command to the folder of the run."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from gateway.labels import LabelMap
from tests.training import data_sets
from tests.training.commands import shell
from training.cli import app
from training.data import manifest
from training.errors import RunError, TrainingError
from training.learn import checkpoints, runs
from training.learn import weights as sources
from training.learn.options import options
from training.learn.runs import RunRecord

pytestmark = [
    pytest.mark.slow,  # TensorFlow takes four seconds to import, a network as long to be traced
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras"),  # its save
]

ROOT = Path(__file__).parents[3]
SMALL = "--weights=none --width=0.1 --sizes=32 --epochs=2 --rates=2e-3 --batch=8 --checkpoint-steps=1"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 16 drawn pictures."""
    return data_sets.clean(tmp_path_factory.mktemp("data") / "photos", per_class=16)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def words(photos: Path, run: Path, cache: Path, *more: str) -> list[str]:
    return ["train", str(photos), "--run", str(run), "--cache", str(cache), *SMALL.split(), *more]


@pytest.fixture(scope="module")
def run(photos: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that nothing broke off."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    shell(*words(photos, folder, cache))
    return folder


@pytest.fixture(scope="module")
def record(run: Path) -> RunRecord:
    return runs.load(run)


# --- What a run leaves behind -----------------------------------------------------------------------------------


def test_the_record_names_the_data_the_code_and_the_seed(record: RunRecord, photos: Path) -> None:
    assert record.finished
    assert record.data.digest == manifest.read(photos).digest
    assert (record.data.pictures, record.data.classes) == (48, 3)
    assert record.labels == ("Anemone", "Jelly", "Sea_star")
    assert record.label_map == LabelMap(labels=record.labels)
    assert (record.seed, record.options.width) == (0, 0.1)
    assert record.weights.source == "none"
    assert {"python", "tensorflow", "keras", "numpy", "pillow"} <= record.versions.keys()


def test_the_pictures_are_listed_with_their_splits(run: Path, record: RunRecord, photos: Path) -> None:
    listed = runs.pictures(run)
    assert [(p.file, p.label, p.sha256) for p in listed] == [
        (entry.file, entry.label, entry.digest) for entry in manifest.read(photos).entries
    ]
    assert len(runs.pictures(run, "train")) == record.splits.train
    assert record.splits.train + record.splits.val + record.splits.test == 48


def test_accuracies_of_training_and_validation_stand_side_by_side(record: RunRecord) -> None:
    assert len(record.history) == 2
    assert record.training_accuracy is not None
    assert record.validation_accuracy is not None
    assert 0.1 <= record.temperature <= 10
    assert record.cpu_seconds > 0


def test_the_model_takes_served_pictures_and_its_accuracy_is_the_recorded_one(run: Path, record: RunRecord) -> None:
    from training import metrics
    from training.learn import loop

    model = runs.model(run)
    assert model.input_shape == (None, 224, 224, 3)
    rows, truth = [], []
    for pixels, classes in runs.batches(run, "val", size=4):
        rows.append(loop.logits(model, pixels))
        truth.append(classes)
    share = metrics.top_k_share(metrics.softmax(np.concatenate(rows)), np.concatenate(truth), 1)
    assert share == pytest.approx(record.validation_accuracy, abs=1e-3)


def test_only_what_lasts_is_left(run: Path) -> None:
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock",
        "model.keras",
        "pictures.csv",
        "run.json",
        "taught.npy",
        "tensorboard",
    ]
    assert list((run / "tensorboard").glob("events.*"))


# --- Broken off and gone on with --------------------------------------------------------------------------------


def test_a_run_killed_in_the_middle_of_an_epoch_goes_on_and_ends_like_an_unbroken_one(
    photos: Path, cache: Path, run: Path, record: RunRecord, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    typed = words(photos, folder, cache)
    process = subprocess.Popen([sys.executable, "-m", "training", *typed], cwd=ROOT, stderr=subprocess.PIPE)
    try:
        until(lambda: in_mid_epoch(folder), process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not runs.load(folder).finished
    assert f"Resuming {folder} from its last checkpoint" in " ".join(shell(*typed).split())
    ended = runs.load(folder)
    assert ended.finished
    assert ended.splits == record.splits
    assert [(epoch.phase, epoch.epoch) for epoch in ended.history] == [(e.phase, e.epoch) for e in record.history]
    for broken, whole in zip(ended.history, record.history, strict=True):
        assert broken.loss == pytest.approx(whole.loss, rel=0.05)
        assert broken.val_loss == pytest.approx(whole.val_loss, rel=0.2)


def in_mid_epoch(folder: Path) -> bool:
    """Is there a checkpoint of a step that ends no epoch?"""
    kept = checkpoints.load(folder)
    return kept is not None and kept.state["place"][1] > 0


def until(condition: Any, process: subprocess.Popen[bytes], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < end, "no checkpoint in time"
        time.sleep(0.01)


# --- What will not do -------------------------------------------------------------------------------------------


def refused(*typed: str) -> str:
    """The sentence of a command that will not do."""
    result = CliRunner().invoke(app, typed)
    assert isinstance(result.exception, TrainingError), result.output
    assert result.exception.exit_code == 2
    return str(result.exception)


def test_a_finished_run_is_not_trained_again(photos: Path, cache: Path, run: Path) -> None:
    before = data_sets.digest(run)
    assert "is finished: choose a new folder" in refused(*words(photos, run, cache))
    assert data_sets.digest(run) == before


@pytest.fixture
def unfinished(run: Path, tmp_path: Path) -> Path:
    """As a run lies there that was killed before its first checkpoint."""
    folder = tmp_path / "unfinished"
    folder.mkdir()
    (folder / runs.PICTURES).write_bytes((run / runs.PICTURES).read_bytes())
    runs.save(folder, runs.load(run).model_copy(update={"finished": False}))
    return folder


def test_a_run_is_not_gone_on_with_otherwise_than_it_began(photos: Path, cache: Path, unfinished: Path) -> None:
    before = data_sets.digest(unfinished)
    assert "was begun with another --seed: give the same" in refused(*words(photos, unfinished, cache, "--seed", "1"))
    assert data_sets.digest(unfinished) == before


def test_a_damaged_checkpoint_is_refused_and_left_as_it_is(photos: Path, cache: Path, unfinished: Path) -> None:
    (unfinished / runs.CHECKPOINTS).mkdir()
    (unfinished / checkpoints.FILE).write_bytes(b"damaged")
    before = data_sets.digest(unfinished)
    assert "is damaged: delete" in refused(*words(photos, unfinished, cache))
    assert data_sets.digest(unfinished) == before


def test_a_run_is_not_gone_on_with_on_other_data(cache: Path, unfinished: Path, tmp_path: Path) -> None:
    record = runs.load(unfinished)
    other = data_sets.clean(tmp_path / "other", per_class=12)
    runs.save(unfinished, record.model_copy(update={"options": record.options.model_copy(update={"data": other})}))
    assert "The data changed since" in refused(*words(other, unfinished, cache))


def test_two_processes_do_not_train_one_run(photos: Path, cache: Path, unfinished: Path) -> None:
    with runs.locked(unfinished):
        assert "is being trained by another process" in refused(*words(photos, unfinished, cache))


def test_a_process_that_opened_the_lock_of_a_run_before_its_release_still_excludes_others(tmp_path: Path) -> None:
    with runs.locked(tmp_path):
        waiting = (tmp_path / runs.LOCK).open("w")
    with waiting:
        fcntl.flock(waiting, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(RunError, match="is being trained by another process"), runs.locked(tmp_path):
            pass


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--epochs", "1,2"), "as many of each"),
        (("--epochs", "ten"), "--epochs: give numbers with commas between"),
        (("--augment", "wild"), "--augment: "),
        (("--groups", "haul"), "fits no picture"),
        (("--distribute", "workers"), "needs TF_CONFIG"),
    ],
)
def test_options_that_do_not_fit_are_said(
    photos: Path, cache: Path, tmp_path: Path, more: tuple[str, ...], sentence: str
) -> None:
    assert sentence in refused(*words(photos, tmp_path / "new", cache, *more))
    assert not (tmp_path / "new").exists()


def test_data_that_cannot_be_learnt_from_is_said_and_no_run_is_begun(cache: Path, tmp_path: Path) -> None:
    photos = data_sets.clean(tmp_path / "photos", per_class=3)
    new = tmp_path / "runs" / "new"
    (photos / "Jelly" / "page.jpg").write_bytes(b"<!doctype html>")
    assert "1 picture cannot be used (Jelly/page.jpg: " in refused(*words(photos, new, cache))
    (photos / "Jelly" / "page.jpg").unlink()
    (tmp_path / "labels.txt").write_text("Anemone\nJelly\nSea_star\nWorm\n")
    misfit = refused(*words(photos, new, cache, "--labels", str(tmp_path / "labels.txt")))
    assert "The label map does not fit the data: Worm is in the label map without a picture" in misfit
    (tmp_path / "empty").mkdir()
    assert "holds no pictures" in refused(*words(tmp_path / "empty", new, cache))
    assert "has one class (Jelly)" in refused(*words(only(photos, "Jelly"), new, cache))
    assert not new.parent.exists()


def only(photos: Path, label: str) -> Path:
    folder = photos.parent / "only"
    shutil.copytree(photos / label, folder / label)
    return folder


def test_a_folder_that_will_not_do_is_said_before_anything_is_read(photos: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    assert "is not empty and not a run" in refused(*words(photos, tmp_path / "full", cache))
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in refused(*words(photos, tmp_path / "file" / "run", cache))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


def test_what_a_run_without_its_record_has_left_is_cleared_away(photos: Path, cache: Path, tmp_path: Path) -> None:
    """As DVC leaves it, which removes what a stage made before it makes it again."""
    from training.learn.runs import Data, Weights

    run = tmp_path / "run"
    for name in ("checkpoints/last.npz", "evaluation.json", "gate.json", ".gitignore"):
        data_sets.put(run, name, b"of another model")
    chosen = options(data=photos, cache=cache, weights="none")
    runs.check(run, chosen)
    data = Data(source=str(photos), digest="sha256:data", pictures=0, classes=3)
    label_map = LabelMap(labels=("a", "b", "c"), groups=("A", "A/B", ""))
    runs.begin(run, chosen, data=data, pictures=[], label_map=label_map, weights=Weights(source="none"))
    assert (runs.load(run).labels, runs.load(run).label_map) == (("a", "b", "c"), label_map)
    assert sorted(path.name for path in run.iterdir()) == [".gitignore", "pictures.csv", "run.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_leave_to_write_is_said(photos: Path, cache: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "cannot be written" in refused(*words(photos, tmp_path / "run", cache))


def test_weights_that_do_not_fit_begin_no_run(photos: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "body.weights.h5").write_bytes(b"nothing")
    typed = words(photos, tmp_path / "run", cache, "--weights", str(tmp_path / "body.weights.h5"))
    result = CliRunner().invoke(app, typed)
    assert isinstance(result.exception, TrainingError)
    assert "does not hold the weights" in str(result.exception)
    assert not (tmp_path / "run").exists()


# --- The pretrained backbone ------------------------------------------------------------------------------------


@pytest.mark.skipif(not sources.installed(), reason="needs the extra 'pretrained': make setup")
def test_a_run_begins_from_the_installed_weights_and_is_evaluated_and_exported(
    photos: Path, cache: Path, tmp_path: Path
) -> None:
    run, few = tmp_path / "run", ["--sizes=32,32", "--epochs=1,1", "--rates=1e-2,1e-4", "--batch=8"]
    said = shell("train", str(photos), "--run", str(run), "--cache", str(cache), *few)
    assert f"EfficientNet-Lite0 with ImageNet weights from {sources.source()}" in " ".join(said.split())
    record = runs.load(run)
    assert (record.options.backbone, record.options.weights, record.weights.source) == (
        "efficientnet_lite0",
        "imagenet",
        "imagenet",
    )
    assert [epoch.phase for epoch in record.history] == ["1: head", "2: fine-tuning"]
    shell("evaluate", str(run))
    assert "Backbone: `efficientnet_lite0`; its initial weights: imagenet" in (run / "model_card.md").read_text()
    shell("export", str(run), "--models", str(tmp_path / "models"), "--force")
    (version,) = (tmp_path / "models").rglob("saved_model.pb")
    assert version.stat().st_size > 13_000_000


def test_a_width_for_a_backbone_of_one_width_is_refused(photos: Path, cache: Path, tmp_path: Path) -> None:
    typed = words(photos, tmp_path / "run", cache, "--backbone", "efficientnet_lite0")
    assert "--width is an option of mobilenet_v2; efficientnet_lite0 has one width: leave it out" in refused(*typed)


def test_a_run_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run"):
        runs.model(tmp_path)
