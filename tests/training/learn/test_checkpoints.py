from pathlib import Path

import numpy as np
import pytest

from training.errors import RunError
from training.learn import checkpoints
from training.learn.checkpoints import Checkpoint

KEPT = Checkpoint(
    {"phase": 1, "place": [2, 30, 0.5, 12.0]},
    [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([7], np.uint32)],
    [np.array(3, np.int64)] * 11,
    [],
)


def test_a_checkpoint_reads_back_as_it_was_kept(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "checkpoints", KEPT)
    read = checkpoints.load(tmp_path / "checkpoints")
    assert read is not None
    assert read.state == KEPT.state
    for kind in checkpoints.KINDS:
        wanted, found = getattr(KEPT, kind), getattr(read, kind)
        assert [array.dtype for array in found] == [array.dtype for array in wanted]
        assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_there_is_none_before_the_first(tmp_path: Path) -> None:
    assert checkpoints.load(tmp_path / "checkpoints") is None


@pytest.mark.parametrize("damage", ["cut", "garbled", "empty", "other"])
def test_a_damaged_one_is_said_in_a_sentence_and_left_alone(tmp_path: Path, damage: str) -> None:
    checkpoints.save(tmp_path, KEPT)
    file = tmp_path / checkpoints.NAME
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
