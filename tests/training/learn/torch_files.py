"""Makes weights files of PyTorch's format before 1.6, right and wrong ones, without PyTorch."""

import pickle
import struct
from collections.abc import Sequence
from typing import Any

EMPTY = b"ccollections\nOrderedDict\n)R"
MAGIC, VERSION, SYSTEM = 0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}


def plain(value: Any) -> bytes:
    """The operations that put a plain value onto the stack."""
    return pickle.dumps(value, protocol=2)[2:-1]


def pickled(operations: bytes) -> bytes:
    return b"\x80\x02" + operations + b"."


def storage(key: str, values: int, kind: str = "FloatStorage") -> bytes:
    return b"(" + plain("storage") + f"ctorch\n{kind}\n".encode() + plain(key) + plain("cpu") + plain(values) + b"NtQ"


def tensor(stored: bytes, shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> bytes:
    where = stored + plain(offset) + plain(tuple(shape)) + plain(tuple(strides))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + where + b"\x89" + EMPTY + b"tR"


def state(**tensors: bytes) -> bytes:
    return pickled(EMPTY + b"(" + b"".join(plain(name) + made for name, made in tensors.items()) + b"u")


def floats(*values: float) -> bytes:
    return struct.pack(f"<q{len(values)}f", len(values), *values)


def whole(
    state: bytes,
    keys: Sequence[str] = ("a",),
    rows: bytes = b"",
    *,
    magic: bytes = pickled(plain(MAGIC)),
    system: bytes = pickled(plain(SYSTEM)),
) -> bytes:
    """A file of its parts."""
    return magic + pickled(plain(VERSION)) + system + state + pickled(plain(list(keys))) + rows


def matrix() -> bytes:
    """A file with one matrix, [[1, 2, 3], [4, 5, 6]]."""
    return whole(state(weight=tensor(storage("a", 6), (2, 3), (3, 1))), rows=floats(1, 2, 3, 4, 5, 6))
