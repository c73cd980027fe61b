import json
import os
from pathlib import Path

import numpy as np
import pytest

from gateway.imaging import fingerprint, preprocess
from tests.training import data_sets
from training.data import manifest
from training.data.manifest import Part, Picture
from training.errors import DataSetError, RunError
from training.learn import checkpoints, runs
from training.learn.checkpoints import Checkpoint
from training.learn.options import options
from training.learn.runs import Data, RunRecord, Splits, Weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that has not begun to train, on the drawn pictures of three classes."""
    photos = data_sets.clean(tmp_path / "photos", per_class=3)
    data = manifest.read(photos)
    parts: tuple[Part, ...] = ("train", "val", "test")
    chosen = [Picture(e.file, e.label, parts[at % 3], e.digest) for at, e in enumerate(data.entries)]
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    record = RunRecord(
        name="one",
        created="2026-11-23T06:00:00+00:00",
        seed=0,
        code_commit="abc",
        options=options(data=photos, cache=tmp_path / "cache"),
        data=Data(source=str(photos), digest=data.digest, pictures=9, classes=3),
        splits=Splits(train=3, val=3, test=3, digest=runs.save_pictures(run, chosen)),
        labels=data.labels,
        fingerprint=fingerprint(),
        weights=Weights(source="none"),
    )
    runs.save(run, record)
    return run


def test_a_record_reads_back_as_it_was_written(folder: Path) -> None:
    record = runs.load(folder)
    runs.save(folder, record)
    assert runs.load(folder) == record
    assert sorted(path.name for path in folder.iterdir()) == ["pictures.csv", "run.json"]


def test_the_pictures_of_a_split_are_what_the_gateway_would_send(folder: Path) -> None:
    record, (picture, *_) = runs.load(folder), runs.pictures(folder, "val")
    ((pixels, truth),) = runs.batches(folder, "val")
    assert pixels.shape == (3, 224, 224, 3)
    assert (pixels[0] == preprocess(Path(record.data.source, picture.file).read_bytes())).all()
    assert [record.labels[k] for k in truth] == [found.label for found in runs.pictures(folder, "val")]


def test_a_picture_that_changed_since_is_said(folder: Path) -> None:
    picture = runs.pictures(folder, "test")[0]
    Path(runs.load(folder).data.source, picture.file).write_bytes(b"another")
    with pytest.raises(DataSetError, match="it has changed meanwhile"):
        next(runs.batches(folder, "test"))


def test_a_changed_list_of_pictures_is_refused(folder: Path) -> None:
    file = folder / "pictures.csv"
    file.write_bytes(file.read_bytes().replace(b"Jelly", b"Crab"))
    with pytest.raises(RunError, match="was changed after the run"):
        runs.pictures(folder)


def test_names_that_are_not_text_read_back(folder: Path) -> None:
    picture = Picture(os.fsdecode(b'pen/\xff, "1".jpg'), "pen", "train", "sha256:0")
    record = runs.load(folder)
    digest = runs.save_pictures(folder, [picture])
    runs.save(folder, record.model_copy(update={"splits": Splits(train=1, val=0, test=0, digest=digest)}))
    assert runs.pictures(folder) == [picture]


def test_a_run_from_before_there_was_a_choice_of_backbones_is_a_mobilenet(folder: Path) -> None:
    record = runs.load(folder)
    before = json.loads(record.model_dump_json())
    del before["options"]["backbone"]
    (folder / "run.json").write_text(json.dumps(before))
    assert runs.load(folder).options == record.options.model_copy(update={"backbone": "mobilenet_v2"})


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "efficientnet_lite0"])
def test_a_run_is_not_resumed_with_another_backbone(folder: Path, backbone: str) -> None:
    record = runs.load(folder)
    begun = record.options.model_copy(update={"backbone": backbone})
    runs.save(folder, record.model_copy(update={"options": begun}))
    runs.check(folder, begun)
    (other,) = {"mobilenet_v2", "efficientnet_lite0"} - {backbone}
    with pytest.raises(RunError, match="was begun with another --backbone: give the same to resume it"):
        runs.check(folder, begun.model_copy(update={"backbone": other}))


def test_what_is_no_run_is_said_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no run\.json"):
        runs.load(tmp_path)
    with pytest.raises(RunError, match="is not finished"):
        runs.model(folder)
    (folder / "run.json").write_text("{}")
    with pytest.raises(RunError, match="is damaged"):
        runs.load(folder)


def test_the_commit_is_told() -> None:
    assert runs.commit()


# --- Checkpoints ------------------------------------------------------------------------------------------------

KEPT = Checkpoint(
    {"phase": 1, "place": [2, 30, 0.5, 12.0]},
    [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([7], np.uint32)],
    [np.array(3, np.int64)] * 11,
    [],
)


def test_a_checkpoint_reads_back_as_it_was_kept(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, KEPT)
    read = checkpoints.load(tmp_path)
    assert read is not None
    assert read.state == KEPT.state
    for kind in checkpoints.KINDS:
        wanted, found = getattr(KEPT, kind), getattr(read, kind)
        assert [array.dtype for array in found] == [array.dtype for array in wanted]
        assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_there_is_none_before_the_first(tmp_path: Path) -> None:
    assert checkpoints.load(tmp_path) is None


@pytest.mark.parametrize("damage", ["cut", "garbled", "empty", "other"])
def test_a_damaged_one_is_said_in_a_sentence_and_left_alone(tmp_path: Path, damage: str) -> None:
    checkpoints.save(tmp_path, KEPT)
    file = tmp_path / checkpoints.FILE
    data = file.read_bytes()
    middle = data.index(b"\x93NUMPY") + 130  # within the first array's values
    damaged = {
        "cut": data[: len(data) // 2],
        "garbled": data[:middle] + bytes(255 - byte for byte in data[middle : middle + 4]) + data[middle + 4 :],
        "empty": b"",
        "other": b"not a checkpoint",
    }
    file.write_bytes(damaged[damage])
    with pytest.raises(RunError, match=r"last\.npz is damaged: delete"):
        checkpoints.load(tmp_path)
    assert file.read_bytes() == damaged[damage]
