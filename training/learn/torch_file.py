"""Reads a weights file of PyTorch's format before 1.6 without PyTorch, and without executing anything that it says.

Such a file is five pickles and then the numbers:

    magic number, version of the format, {"little_endian": ...}
    the state: an ordered dictionary from names to tensors, each a view of a storage that is named by a key
    the keys of the storages in the order of the file; of each the number of values, int64, and the values

A pickle is a program for a stack machine, and Python's own machine calls what the program names. The machine here knows
the few operations that such files need. A name of something to call stays a piece of text: of the calls, an empty
dictionary and a tensor are recognized, and all others are refused. Its time and memory are linear in the file's length.

Source: PyTorch's functions `torch.serialization._legacy_save` and `torch._utils._rebuild_tensor_v2`; Python's
`pickletools`.
"""

import io
import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
TYPES: dict[str, np.dtype[Any]] = {"torch FloatStorage": np.dtype("<f4"), "torch LongStorage": np.dtype("<i8")}
MOST_DIMENSIONS = 8
DICTIONARY, TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"


class TorchFileError(ValueError):
    """The file is damaged, or another thing than a plain state dictionary; the message says what was found."""


class Storage(NamedTuple):
    """Values in the file, in one row."""

    type: str
    key: str
    values: int


class View(NamedTuple):
    """A tensor: which values of a storage it shows. Offset and strides count values."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Name:
    """What Python's own machine would import and perhaps call."""

    text: str


def read(data: bytes) -> dict[str, NDArray[Any]]:
    """The tensors by their names, in the order of the file: float32 or int64, read-only views of `data`.

    Raises:
        TorchFileError: the data is not such a file, or is damaged.
    """
    file = io.BytesIO(data)
    try:
        if _pickle(file) != MAGIC or _pickle(file) != VERSION:
            raise TorchFileError("it is not of PyTorch's format before 1.6")
        if _dictionary(_pickle(file)).get("little_endian") is not True:
            raise TorchFileError("its numbers are not little-endian")
        views = _views(_dictionary(_pickle(file)))
        rows = _rows(data, file, _pickle(file), _storages(views))
    except TorchFileError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as cause:
        raise TorchFileError("it is damaged, or not of PyTorch's format before 1.6") from cause
    return {name: _array(rows[view.storage.key], view) for name, view in views.items()}


# --- Storages and tensors ---------------------------------------------------------------------------------------


def _views(state: dict[str, Any]) -> dict[str, View]:
    for name, value in state.items():
        if not isinstance(value, View):
            raise TorchFileError(f"{name[:80]!r} is not a tensor")
    return state


def _storages(views: dict[str, View]) -> dict[str, Storage]:
    """By key. Tensors may share a storage, but must agree about it."""
    found: dict[str, Storage] = {}
    for view in views.values():
        if found.setdefault(view.storage.key, view.storage) != view.storage:
            raise TorchFileError("two tensors differ about their storage")
    return found


def _rows(data: bytes, file: io.BytesIO, keys: Any, wanted: dict[str, Storage]) -> dict[str, NDArray[Any]]:
    """The storages, as views of `data`: nothing is allocated for them."""
    if not isinstance(keys, list) or len(set(keys)) != len(keys) or set(keys) != wanted.keys():
        raise TorchFileError("its list of storages does not fit its tensors")
    at, found = file.tell(), {}
    for key in keys:
        kind, values = TYPES[wanted[key].type], wanted[key].values
        end = at + 8 + values * kind.itemsize
        if end > len(data) or int.from_bytes(data[at : at + 8], "little") != values:
            raise TorchFileError(f"storage {key[:80]!r} does not have the {values} values that it should have")
        found[key] = np.frombuffer(data, kind, values, at + 8)
        at = end
    if at != len(data):
        raise TorchFileError(f"it has {len(data) - at} bytes after its last storage")
    return found


def _array(row: NDArray[Any], view: View) -> NDArray[Any]:
    strides = [stride * row.itemsize for stride in view.strides]
    return np.lib.stride_tricks.as_strided(row[view.offset :], view.shape, strides, writeable=False)


def _storage(saved: Any) -> Storage:
    match saved:
        case ("storage", Name(kind), str(key), "cpu", int(values), None) if kind in TYPES and values >= 0:
            return Storage(kind, key, values)
    raise TorchFileError("it names a storage of an unknown kind")


def _view(storage: Any, offset: Any, shape: Any, strides: Any, gradient: Any, hooks: Any) -> View:
    """Checked to lie within its storage, and to have no more values than it."""
    if not isinstance(storage, Storage) or not _counts((offset,)) or not _counts(shape) or not _counts(strides):
        raise TorchFileError("it has a tensor of an unknown kind")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 in shape or last >= storage.values or math.prod(shape) > storage.values:
        raise TorchFileError("a tensor exceeds its storage")
    return View(storage, offset, shape, strides)


def _counts(values: Any) -> bool:
    small = isinstance(values, tuple) and len(values) <= MOST_DIMENSIONS
    return small and all(type(value) is int and value >= 0 for value in values)


def _dictionary(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TorchFileError("it does not hold a state dictionary")
    return value


# --- The machine ------------------------------------------------------------------------------------------------


class _Machine:
    """The stack of one pickle. Each operation takes its values from the stack and puts its result there."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def marked(self) -> list[Any]:
        at = self.marks.pop()
        taken, self.stack[at:] = self.stack[at:], []
        return taken

    def call(self) -> Any:
        arguments, called = self.stack.pop(), self.stack.pop()
        if called == Name(DICTIONARY) and arguments == ():
            return {}
        if called == Name(TENSOR) and isinstance(arguments, tuple) and len(arguments) == 6:
            return _view(*arguments)
        text = called.text if isinstance(called, Name) else "something unknown"
        raise TorchFileError(f"it asks to call {text[:80]!r}, which is never done")

    def set_items(self, pairs: list[Any]) -> None:
        target = _dictionary(self.stack[-1])
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, str):
                raise TorchFileError("a dictionary has a key that is not text")
            target[key] = value

    def append(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list) or not all(isinstance(value, str) for value in values):
            raise TorchFileError("a list holds something other than text")
        self.stack[-1].extend(values)


def _values(machine: _Machine, count: int) -> tuple[Any, ...]:
    at = len(machine.stack) - count
    taken, machine.stack[at:] = tuple(machine.stack[at:]), []
    return taken


_Make = Callable[[_Machine, Any], Any]
PUSHED: dict[str, _Make] = {
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"), lambda machine, argument: argument),
    "NONE": lambda machine, argument: None,
    "NEWTRUE": lambda machine, argument: True,
    "NEWFALSE": lambda machine, argument: False,
    "EMPTY_DICT": lambda machine, argument: {},
    "EMPTY_LIST": lambda machine, argument: [],
    "EMPTY_TUPLE": lambda machine, argument: (),
    "TUPLE": lambda machine, argument: tuple(machine.marked()),
    "TUPLE1": lambda machine, argument: _values(machine, 1),
    "TUPLE2": lambda machine, argument: _values(machine, 2),
    "TUPLE3": lambda machine, argument: _values(machine, 3),
    "GLOBAL": lambda machine, argument: Name(argument),
    "BINPERSID": lambda machine, argument: _storage(machine.stack.pop()),
    "REDUCE": lambda machine, argument: machine.call(),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, argument: machine.memo[argument]),
}
"""Operations whose result goes onto the stack."""
DONE: dict[str, _Make] = {
    "MARK": lambda machine, argument: machine.marks.append(len(machine.stack)),
    "SETITEM": lambda machine, argument: machine.set_items(list(_values(machine, 2))),
    "SETITEMS": lambda machine, argument: machine.set_items(machine.marked()),
    "APPEND": lambda machine, argument: machine.append(list(_values(machine, 1))),
    "APPENDS": lambda machine, argument: machine.append(machine.marked()),
    "BUILD": lambda machine, argument: machine.stack.pop(),  # attributes of the dictionary: left out
    **dict.fromkeys(
        ("BINPUT", "LONG_BINPUT"), lambda machine, argument: machine.memo.update({argument: machine.stack[-1]})
    ),
    **dict.fromkeys(("PROTO", "STOP"), lambda machine, argument: None),
}
"""Operations that only change what is there."""


def _pickle(file: io.BytesIO) -> Any:
    """The value of the next pickle: text, numbers, tuples, lists, dictionaries, and what is named above."""
    machine = _Machine()
    for operation, argument, _ in pickletools.genops(file):
        if operation.name in PUSHED:
            machine.stack.append(PUSHED[operation.name](machine, argument))
        elif operation.name in DONE:
            DONE[operation.name](machine, argument)
        else:
            raise TorchFileError(f"it has the operation {operation.name}, which no such file needs")
    (value,) = machine.stack
    return value
