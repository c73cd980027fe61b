import os
import pickle
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.learn.torch_files import (
    EMPTY,
    floats,
    matrix,
    pickled,
    plain,
    state,
    storage,
    tensor,
    whole,
)
from training.learn import torch_file
from training.learn.torch_file import TorchFileError

SIX = floats(1, 2, 3, 4, 5, 6)


# --- Whole files ------------------------------------------------------------------------------------------------


def test_a_tensor_has_the_values_of_the_file() -> None:
    (found,) = torch_file.read(matrix()).values()
    assert found.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert found.dtype == np.float32


def test_offset_and_strides_choose_the_values() -> None:
    file = whole(
        state(turned=tensor(storage("a", 6), (3, 2), (1, 3)), end=tensor(storage("a", 6), (2,), (1,), offset=4)),
        rows=SIX,
    )
    found = torch_file.read(file)
    assert found["turned"].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert found["end"].tolist() == [5, 6]


def test_storages_have_the_order_of_their_list_not_of_the_tensors() -> None:
    count = struct.pack("<2q", 1, 7)
    file = whole(
        state(weight=tensor(storage("a", 2), (2,), (1,)), seen=tensor(storage("b", 1, "LongStorage"), (), ())),
        keys=["b", "a"],
        rows=count + floats(1, 2),
    )
    assert {name: found.tolist() for name, found in torch_file.read(file).items()} == {"weight": [1, 2], "seen": 7}


# --- Damaged files ----------------------------------------------------------------------------------------------


@given(length=st.integers(0, len(matrix()) - 1))
def test_the_beginning_of_a_file_is_refused(length: int) -> None:
    with pytest.raises(TorchFileError):
        torch_file.read(matrix()[:length])


@given(at=st.integers(0, len(matrix()) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_changes_a_value(at: int, bit: int) -> None:
    data = bytearray(matrix())
    data[at] ^= 1 << bit
    try:
        found = torch_file.read(bytes(data))
    except TorchFileError:
        return
    assert sum(array.size for array in found.values()) <= 6


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(TorchFileError):
        torch_file.read(data)


@given(
    st.lists(st.sampled_from([bytes([code]) for code in range(256)] + [plain("a"), plain((1,)), EMPTY]), max_size=30)
)
def test_any_operations_end_in_a_refusal(operations: list[bytes]) -> None:
    with pytest.raises(TorchFileError):
        torch_file.read(whole(pickled(b"".join(operations)), rows=SIX))


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (b"", "damaged, or not of PyTorch's format"),
        (b"PK\x03\x04 the newer format", "damaged, or not of PyTorch's format"),
        (whole(pickled(b"}"), magic=pickled(plain(1)), keys=[]), "not of PyTorch's format"),
        (whole(pickled(b"}"), system=pickled(plain({"little_endian": False})), keys=[]), "not little-endian"),
        (matrix() + b"more", "4 bytes after its last storage"),
        (whole(pickled(plain({"a": 1}))), "'a' is not a tensor"),
        (whole(pickled(plain([]))), "does not hold a state dictionary"),
        (whole(pickled(plain({1: "a"}))), "a key that is not text"),
        (whole(state(a=tensor(storage("a", 6), (6,), (1,))), keys=["b"], rows=SIX), "list of storages"),
        (whole(state(a=tensor(storage("a", 6), (6,), (1,))), keys=["a", "a"], rows=SIX), "list of storages"),
        (whole(state(a=tensor(storage("a", 6, "HalfStorage"), (6,), (1,))), rows=SIX), "storage of an unknown kind"),
    ],
)
def test_what_is_wrong_is_in_the_message(file: bytes, sentence: str) -> None:
    with pytest.raises(TorchFileError, match=sentence):
        torch_file.read(file)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((7,), (1,), 0),
        ((6,), (1,), 1),
        ((2, 3), (4, 1), 0),
        ((1,), (1,), 2**62),
        ((2**31, 2**31), (0, 0), 0),
        ((2,), (2**62,), 0),
        ((0,), (1,), 0),
    ],
)
def test_a_tensor_that_exceeds_its_storage_is_refused(shape: Any, strides: Any, offset: int) -> None:
    with pytest.raises(TorchFileError, match="exceeds its storage"):
        torch_file.read(whole(state(a=tensor(storage("a", 6), shape, strides, offset)), rows=SIX))


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((-1,), (1,), 0), ((2,), (-1,), 1), ((2,), (1,), -1), ((1,) * 9, (1,) * 9, 0), (("2",), (1,), 0)],
)
def test_a_tensor_with_other_than_small_counts_is_refused(shape: Any, strides: Any, offset: int) -> None:
    with pytest.raises(TorchFileError, match="unknown kind"):
        torch_file.read(whole(state(a=tensor(storage("a", 6), shape, strides, offset)), rows=SIX))


def test_a_storage_that_grows_between_two_tensors_is_refused() -> None:
    """Otherwise the view that was checked against the larger one would read beyond the smaller one."""
    two = state(a=tensor(storage("a", 600), (600,), (1,)), b=tensor(storage("a", 6), (6,), (1,)))
    with pytest.raises(TorchFileError, match="differ about their storage"):
        torch_file.read(whole(two, rows=SIX))


@pytest.mark.parametrize(
    "file",
    [
        whole(state(a=tensor(storage("a", 2**40), (2**40,), (1,))), rows=struct.pack("<q", 2**40)),
        whole(pickled(b"\x96" + struct.pack("<q", 2**40))),  # BYTEARRAY8
        whole(pickled(b"\x8d" + struct.pack("<q", 2**40))),  # BINUNICODE8
        whole(pickled(b"\x8b" + struct.pack("<i", 2**31 - 1))),  # LONG4
        whole(pickled(b"}r\xff\xff\xff\xff")),  # LONG_BINPUT
    ],
    ids=["storage", "bytes", "text", "number", "memo"],
)
def test_a_size_beyond_the_file_allocates_nothing(file: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TorchFileError):
            torch_file.read(file)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


# --- Malicious files --------------------------------------------------------------------------------------------


class Command:
    """Python's own machine runs `command` when it reads this."""

    def __init__(self, call: Callable[..., Any], command: str) -> None:
        self.call, self.command = call, command

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, (self.command,)


def programs(trace: Path) -> dict[str, bytes]:
    """Pickles that would write `trace`, by the ways that the format knows."""
    command = f"touch {trace}"
    system = Command(os.system, command)
    python = f"__import__('os').mkdir({str(trace)!r})"
    return {
        **{f"REDUCE, protocol {protocol}": pickle.dumps(system, protocol) for protocol in range(6)},
        "eval": pickle.dumps(Command(eval, python), 2),
        "exec": pickle.dumps(Command(exec, python), 2),
        "nested": pickle.dumps({"weight": [({"a": system},)]}, 2),
        "in a list": pickle.dumps([system], 2),
        "as a key": pickle.dumps({(system,): 1}, 2),
        "INST": b"(S" + repr(command).encode() + b"\niposix\nsystem\n.",
        "OBJ": b"(cposix\nsystem\n" + plain(command) + b"o.",
        "NEWOBJ": pickled(b"cposix\nsystem\n(" + plain(command) + b"t\x81"),
        "GLOBAL alone": pickled(b"cposix\nsystem\n"),
        "BUILD": pickled(EMPTY + b"}" + plain("__setstate__") + b"cposix\nsystem\nsb" + plain(command) + b"b"),
        "EXT1": pickled(b"\x82\x01(" + plain(command) + b"tR"),
        "a tensor's argument": state(a=tensor(b"cposix\nsystem\n(" + plain(command) + b"tR", (1,), (1,))),
        "a storage's type": state(a=tensor(b"(" + plain("storage") + b"cposix\nsystem\n" + plain("a") + b"tQ", (), ())),
        "a call of a call": pickled(EMPTY + b"(" + plain(command) + b"tR"),
    }


WAYS = list(programs(Path("trace")))


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_wants_something_executed_is_refused_and_nothing_is(way: str, tmp_path: Path) -> None:
    program = programs(tmp_path / "trace")[way]
    for file in (program, whole(program, rows=SIX), whole(pickled(b"}"), magic=program), whole(b"", system=program)):
        with pytest.raises(TorchFileError):
            torch_file.read(file)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", ["REDUCE, protocol 2", "eval", "nested", "INST"])
def test_pythons_own_machine_would_have_executed_these(way: str, tmp_path: Path) -> None:
    """Otherwise the test above would prove nothing."""
    pickle.loads(programs(tmp_path / "trace")[way])
    assert (tmp_path / "trace").exists()


def test_many_views_of_one_long_tuple_are_refused_at_once() -> None:
    """Each check is of at most eight numbers, so the time is linear in the file's length."""
    long = b"(" + plain(1) * 100_000 + b"tq\x63"
    views = b"".join(
        plain(f"t{at}") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage("a", 6) + plain(0) + b"h\x63h\x63\x89NtR"
        for at in range(1000)
    )
    with pytest.raises(TorchFileError, match="unknown kind"):
        torch_file.read(whole(pickled(EMPTY + b"(" + plain("long") + long + views + b"u")))
