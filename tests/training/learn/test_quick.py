"""A quick run: only a head, on the features of a network that was trained before; then the same folder goes on."""

from pathlib import Path

import numpy as np
import pytest

from tests.training import data_sets, toys
from tests.training.commands import shell
from training.errors import DataSetError, RunError
from training.learn import features, runs
from training.learn import model as network
from training.learn.options import options

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras"),  # its save
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 24 drawn pictures."""
    return data_sets.clean(tmp_path_factory.mktemp("data") / "photos", per_class=24)


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with some weights, to be taken as pre-trained."""
    file = tmp_path_factory.mktemp("body") / "model.keras"
    network.build(2, alpha=0.1, seed=3).save(file)
    return file


def words(photos: Path, run: Path, body: Path, *more: str) -> list[str]:
    cache = run.parent / "cache"
    small = ["--backbone", "mobilenet_v2", "--width", "0.1", "--cache", str(cache)]
    return ["train", str(photos), "--run", str(run), "--weights", str(body), *small, *more]


@pytest.fixture(scope="module")
def run(photos: Path, body: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "quick"
    shell(*words(photos, folder, body, "--quick", "--epochs", "0.5,0.5"))
    return folder


def test_a_quick_run_is_a_run_without_epochs(run: Path) -> None:
    record = runs.load(run)
    assert record.finished
    assert record.history == ()
    assert record.training_accuracy is not None
    assert record.training_accuracy > 0.6
    assert record.validation_accuracy is not None
    assert 0 < (record.familiar_at or 0) <= 1
    assert not (run / runs.CHECKPOINTS).exists()


def test_only_the_head_differs_from_the_network_that_it_began_with(run: Path, body: Path) -> None:
    import keras

    before = keras.saving.load_model(body, compile=False).get_layer("body").get_weights()
    after = runs.model(run).get_layer("body").get_weights()
    assert all((old == new).all() for old, new in zip(before, after, strict=True))


def test_features_of_length_one_are_kept_of_every_training_picture(run: Path) -> None:
    taught = runs.taught(run)
    assert taught is not None
    assert len(taught) == runs.load(run).splits.train
    assert np.linalg.norm(taught, axis=1) == pytest.approx(1, abs=1e-5)


def test_an_older_run_has_no_features(tmp_path: Path) -> None:
    assert runs.taught(tmp_path) is None


def test_damaged_features_are_an_error(tmp_path: Path) -> None:
    (tmp_path / runs.TAUGHT).write_bytes(b"\x93NUMPY damaged")
    with pytest.raises(RunError, match="train again"):
        runs.taught(tmp_path)


def test_after_a_kill_only_missing_features_are_computed(tmp_path: Path) -> None:
    pictures, file = toys.blobs(tmp_path, 20), tmp_path / "checkpoints" / "train.f32"
    eye = features.eye_of(network.build(2, alpha=0.1, seed=3), 224)
    whole = features.features_of(pictures, eye, progress=lambda done, total: None)

    def killed(done: int, total: int) -> None:
        if done > 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features.features_of(pictures, eye, file=file, progress=killed)
    with file.open("ab") as partial:
        partial.write(b"abc")  # of a row that the kill cut off
    done: list[int] = []
    resumed = features.features_of(pictures, eye, file=file, progress=lambda at, total: done.append(at))
    assert done == [20]
    assert resumed == pytest.approx(whole, abs=1e-4)
    assert features.features_of(pictures, eye, file=file, progress=killed) == pytest.approx(resumed)


def test_the_same_folder_goes_on_with_the_phases(photos: Path, body: Path, run: Path) -> None:
    before = runs.load(run)
    with pytest.raises(RunError, match="is finished"):
        runs.check(run, before.options)
    with pytest.raises(RunError, match="begun with another --dropout"):
        runs.check(run, before.options.model_copy(update={"quick": False, "dropout": 0.5}))
    shell(*words(photos, run, body, "--epochs", "0.5,0.5"))
    record = runs.load(run)
    assert record.finished
    assert not record.options.quick
    assert [epoch.phase for epoch in record.history] == ["1: head", "2: fine-tuning"]
    assert record.splits == before.splits
    with pytest.raises(RunError, match="is finished"):
        runs.check(run, before.options)


def test_a_quick_run_needs_a_trained_network(photos: Path) -> None:
    with pytest.raises(DataSetError, match="--quick"):
        options(data=photos, quick=True, weights="none")
