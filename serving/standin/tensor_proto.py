"""TensorProto, the form in which tensors lie in files and travel over gRPC (tensorflow/core/framework/tensor.proto)."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.standin import protowire
from serving.standin.dtypes import STRING, DataType, Tensor, data_type
from serving.standin.errors import Code, StatusError
from serving.standin.protowire import Fields

_DTYPE, _SHAPE, _CONTENT, _STRING_VAL = 1, 2, 4, 8
_TYPED_VALUES = {
    "float": 5,
    "double": 6,
    "complex64": 9,
    "int64": 10,
    "bool": 11,
    "complex128": 12,
    "half": 13,
    "bfloat16": 13,
    "uint32": 16,
    "uint64": 17,
}
_INT_VAL = 7
"""Where the narrower integers are."""
_DIM, _DIM_SIZE = 2, 1
_BITS = {"half", "bfloat16"}
"""Floats that are written as the integers which their 16 bits would be."""


def read_tensor(message: Fields) -> Tensor:
    """A TensorProto: the bytes of the whole, or values of which the last one fills up what is missing.

    Raises StatusError: a type that is no plain number or string, or bytes that do not fit the shape.
    """
    dtype = data_type(protowire.last_int(message, _DTYPE))
    dims = protowire.messages(protowire.read(protowire.last_bytes(message, _SHAPE)), _DIM)
    shape = tuple(protowire.signed(protowire.last_int(dim, _DIM_SIZE)) for dim in dims)
    if any(size < 0 for size in shape):
        raise StatusError.invalid("A tensor has a negative dimension")
    if dtype is STRING:
        strings = [value for value in message.get(_STRING_VAL, []) if isinstance(value, bytes)]
        return Tensor(dtype, shape, _filled(strings, b"", math.prod(shape)))
    return Tensor(dtype, shape, _numbers(message, dtype, math.prod(shape)))


def _numbers(message: Fields, dtype: DataType, count: int) -> NDArray[Any]:
    storage = _storage(dtype)
    content = protowire.last_bytes(message, _CONTENT)
    if content:
        if len(content) != count * storage.itemsize:
            raise StatusError.invalid("The content of a tensor does not fit its shape")
        return np.frombuffer(content, storage)
    values = message.get(_TYPED_VALUES.get(dtype.text, _INT_VAL), [])
    widest = {"u": np.uint64, "i": np.int64, "b": np.int64}.get(storage.kind, storage)
    return np.array(_filled(_decoded(values, dtype, storage), 0, count), widest).astype(storage)


def _storage(dtype: DataType) -> np.dtype[Any]:
    if dtype.storage is None:
        raise StatusError(Code.UNIMPLEMENTED, f"A tensor of type {dtype.text}")
    return dtype.storage


def _decoded(values: list[int | bytes], dtype: DataType, storage: np.dtype[Any]) -> list[Any]:
    """Packed or not: fixed-width numbers are bytes either way, integers are varints."""
    if dtype.text in _BITS:
        bits: list[Any] = np.array(list(protowire.varints(values)), np.uint16).view(storage).tolist()
        return bits
    if storage.kind in "fc":
        raw = b"".join(value for value in values if isinstance(value, bytes))
        numbers: list[Any] = np.frombuffer(raw, storage.newbyteorder("<")).tolist()
        return numbers
    integers = protowire.varints(values)
    return list(integers) if storage.kind == "u" else [protowire.signed(value) for value in integers]


def _filled(values: list[Any], otherwise: Any, count: int) -> list[Any]:
    missing = count - len(values)
    return values[:count] if missing <= 0 else values + [values[-1] if values else otherwise] * missing


def write_tensor(tensor: Tensor, *, as_content: bool = False) -> bytes:
    """A TensorProto with its values one by one, as the real server answers; or in one piece.

    Raises StatusError: a type that is no plain number or string.
    """
    dims = b"".join(protowire.write_bytes(_DIM, protowire.write_int(_DIM_SIZE, size)) for size in tensor.shape)
    head = protowire.write_int(_DTYPE, tensor.dtype.number) + protowire.write_bytes(_SHAPE, dims)
    write = _content if as_content else _values
    return head + write(tensor)


def _values(tensor: Tensor) -> bytes:
    if isinstance(tensor.values, list):
        return b"".join(protowire.write_bytes(_STRING_VAL, value) for value in tensor.values)
    packed = _packer(tensor.dtype)(tensor.values)
    number = _TYPED_VALUES.get(tensor.dtype.text, _INT_VAL)
    return protowire.write_bytes(number, packed) if packed else b""


def _packer(dtype: DataType) -> Callable[[NDArray[Any]], bytes]:
    if dtype.text in _BITS:
        return lambda values: _varints(values.view(np.uint16))
    return _fixed_width if _storage(dtype).kind in "fc" else _varints


def _fixed_width(values: NDArray[Any]) -> bytes:
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _varints(values: NDArray[Any]) -> bytes:
    return b"".join(protowire.write_varint(value) for value in values.tolist())


def _content(tensor: Tensor) -> bytes:
    """Strings: all lengths, then all bytes (tensorflow/core/platform/tensor_coding.h)."""
    if isinstance(tensor.values, list):
        raw = b"".join([protowire.write_varint(len(value)) for value in tensor.values] + tensor.values)
    else:
        _storage(tensor.dtype)
        raw = tensor.values.tobytes()
    return protowire.write_bytes(_CONTENT, raw) if raw else b""
