"""Convert one JSON value to the shape and the leaves of a tensor (docs/tensorflow-serving.md, "Tensor values").

The first element of each level decides the shape. A regular value is checked level by level with built-in functions,
at about 20 ns an element. Only an irregular one is walked element by element, to name the first fault, and only up to
`limits.SLOW_STEPS` elements.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from serving.standin import limits
from serving.standin.errors import Code, StatusError
from serving.standin.json.base64 import decode_base64
from serving.standin.json.parser import Json
from serving.standin.json.text import debug_text
from serving.standin.tensors.dtypes import DType, Flat

Shape = tuple[int, ...]
Leaves = list[Any]
"""Numbers, bools or bytes in row-major order."""

_END = object()
_INT32 = (-(1 << 31), 1 << 31)
_INTEGERS = {
    "int32": _INT32,
    "int16": _INT32,
    "int8": _INT32,
    "uint8": _INT32,
    "int64": (-(1 << 63), 1 << 63),
    "uint32": (0, 1 << 32),
    "uint64": (0, 1 << 64),
}
"""Type -> range of its literals. The narrow types accept int32 and wrap."""
_OTHERS: dict[str, frozenset[type]] = {
    "float": frozenset({int, float}),
    "double": frozenset({int, float}),
    "bool": frozenset({bool}),
    "string": frozenset({str, dict}),
}


def read_leaves(value: Json, dtype: DType) -> tuple[Leaves, Shape]:
    """The leaves of `value` and their shape.

    Raises:
        StatusError: INVALID_ARGUMENT, or UNIMPLEMENTED for types that JSON cannot express.
    """
    shape = shape_of(value)
    leaves = _flatten(value, shape)
    if leaves is None or not _all_fit(leaves, dtype):
        return _walk(value, shape, dtype), shape
    return [_converted(leaf, dtype) for leaf in leaves] if dtype.text == "string" else leaves, shape


def pack(leaves: Leaves, dtype: DType) -> Flat:
    if dtype.text == "string":
        return cast("list[bytes]", leaves)
    if dtype.numpy is None:
        return np.empty(0)
    return _array(leaves, dtype.numpy)


def _array(leaves: Leaves, dtype: np.dtype[Any]) -> NDArray[Any]:
    """As in the real server, numbers beyond float32 become infinite and integers beyond 8 or 16 bits wrap."""
    widest = {"f": np.float64, "u": np.uint64 if dtype.itemsize == 8 else np.int64, "i": np.int64, "b": np.bool_}
    with np.errstate(over="ignore"):
        return np.array(leaves, widest[dtype.kind]).astype(dtype)


def is_base64(value: Json) -> bool:
    """Whether `value` is an object whose one member is `b64`, a string."""
    return type(value) is dict and len(value) == 1 and isinstance(value.get("b64"), str)


def shape_of(value: Json) -> Shape:
    """The lengths of the first list of each level."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _flatten(value: Json, shape: Shape) -> Leaves | None:
    """None unless all lists of a level have the same length and all leaves have the same depth."""
    level: Leaves = [value]
    for size in shape:
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            return None
        level = list(chain.from_iterable(level))
    return None if list in set(map(type, level)) else level


def _all_fit(leaves: Leaves, dtype: DType) -> bool:
    """Whether the type accepts every leaf. Built-in functions only: no Python code runs per number."""
    kinds = set(map(type, leaves))
    if dtype.text in _INTEGERS and kinds == {int}:
        low, high = _INTEGERS[dtype.text]
        return bool(low <= min(leaves) and max(leaves) < high)
    return kinds <= _OTHERS.get(dtype.text, frozenset()) and (dict not in kinds or all(map(_is_string, leaves)))


def _is_string(leaf: Json) -> bool:
    return isinstance(leaf, str) or is_base64(leaf)


def _walk(value: Json, shape: Shape, dtype: DType) -> Leaves:
    """The leaves, converted one by one and depth first, so that the error names the first fault."""
    leaves: Leaves = []
    for item, level in _depth_first(value):
        if isinstance(item, list):
            _check_list(item, level, shape)
            continue
        if level != len(shape):
            raise StatusError.invalid(
                f"JSON Value: {debug_text(item)} found at incorrect level: {level + 1} in the JSON DOM."
                f" Expected at level: {len(shape)}"
            )
        leaves.append(_converted(item, dtype))
    return leaves


def _depth_first(value: Json) -> Iterator[tuple[Json, int]]:
    """Lists and leaves with their level, without recursion. Raises StatusError beyond the limit."""
    pending = [iter([value])]
    for _ in range(limits.SLOW_STEPS):
        while pending and (item := next(pending[-1], _END)) is _END:
            pending.pop()
        if not pending:
            return
        yield cast("Json", item), len(pending) - 1
        if isinstance(item, list):
            pending.append(iter(item))
    raise StatusError.invalid(
        f"The value is irregular or of the wrong type, and too large to be searched for the fault: the first"
        f" {limits.SLOW_STEPS:,} elements are right"
    )


def _check_list(item: list[Json], level: int, shape: Shape) -> None:
    if level >= len(shape):
        raise StatusError.invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(item) != shape[level]:
        raise StatusError.invalid(
            f"Encountered list at unexpected size: {len(item)} at level: {level} expected size: {shape[level]}"
        )


def _converted(leaf: Json, dtype: DType) -> Any:
    if isinstance(leaf, dict):
        return _decoded(leaf) if dtype.text == "string" else _fail_type(leaf, dtype)
    if dtype.numpy is None and dtype.text != "string":
        raise StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {debug_text(leaf)} to type: {dtype.text}")
    if not _all_fit([leaf], dtype):
        _fail_type(leaf, dtype)
    return leaf.encode("utf-8", "surrogateescape") if isinstance(leaf, str) else leaf


def _decoded(leaf: dict[str, Json]) -> bytes:
    if not is_base64(leaf):
        raise StatusError.invalid(f"JSON Value: {debug_text(leaf)} not formatted correctly for base64 data")
    return decode_base64(cast("str", leaf["b64"]))


def _fail_type(leaf: Json, dtype: DType) -> NoReturn:
    raise StatusError.invalid(
        f"JSON Value: {debug_text(leaf)} Type: {json_type(leaf)} is not of expected type: {dtype.text}"
    )


def json_type(value: Json) -> str:
    """RapidJSON's name for the type of a value."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    return next(name for kind, name in _JSON_TYPES if isinstance(value, kind))


_JSON_TYPES: tuple[tuple[Any, str], ...] = ((dict, "Object"), (list, "Array"), (str, "String"), (int | float, "Number"))
