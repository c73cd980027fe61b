"""Convert TensorProto, the form of tensors in files and over gRPC, to tensors and back."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protocol.tensorflow_serving_pb2 import PackedValues, TensorProto, TensorShapeProto
from serving.standin import limits
from serving.standin.errors import Code, StatusError
from serving.standin.tensors.dtypes import STRING, DType, Tensor, data_type

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedScalarFieldContainer

_VALUES: dict[str, "Callable[[TensorProto], RepeatedScalarFieldContainer[Any]]"] = {
    "float": lambda message: message.float_val,
    "double": lambda message: message.double_val,
    "complex64": lambda message: message.scomplex_val,
    "int64": lambda message: message.int64_val,
    "bool": lambda message: message.bool_val,
    "complex128": lambda message: message.dcomplex_val,
    "half": lambda message: message.half_val,
    "bfloat16": lambda message: message.half_val,
    "uint32": lambda message: message.uint32_val,
    "uint64": lambda message: message.uint64_val,
}
"""The field that holds the values of an element type. The narrower integers are in `int_val`."""
_ELEMENTS: dict[str, np.dtype[Any]] = {
    "complex64": np.dtype(np.float32),
    "complex128": np.dtype(np.float64),
    "half": np.dtype(np.uint16),
    "bfloat16": np.dtype(np.uint16),
}
"""What that field holds in place of the elements: real and imaginary parts, or the bits of 16-bit floats."""

MOST_DIMENSIONS = 254
"""The limit of TensorFlow's TensorShape."""

_PACKED: dict[str, Callable[[bytes], PackedValues]] = {
    "float": lambda values: PackedValues(float_val=values),
    "double": lambda values: PackedValues(double_val=values),
    "complex64": lambda values: PackedValues(scomplex_val=values),
    "complex128": lambda values: PackedValues(dcomplex_val=values),
}
"""Types of fixed width, whose packed values are their bytes in memory."""


def read_tensor(message: TensorProto) -> Tensor:
    """The elements of `message`: all bytes in one piece, or a list of values whose last one is repeated as needed.

    Raises:
        StatusError: the shape is none of TensorFlow's or too large, elements are neither plain numbers nor strings,
            or the bytes do not fit the shape.
    """
    dtype = data_type(message.dtype)
    shape = tuple(dim.size for dim in message.tensor_shape.dim)
    _check(shape, limits.TENSOR_BYTES // dtype.storage.itemsize if dtype.storage else limits.STRINGS)
    count = math.prod(shape)
    if dtype is STRING:
        return Tensor(dtype, shape, _filled_strings(list(message.string_val[:count]), count))
    return Tensor(dtype, shape, _numbers(message, dtype, count))


def _check(shape: tuple[int, ...], most: int) -> None:
    """TensorFlow's C interface ends the process at a shape that its TensorShape cannot hold."""
    if len(shape) > MOST_DIMENSIONS or any(size < 0 for size in shape):
        raise StatusError.invalid("A tensor has too many dimensions, or a negative one")
    if math.prod(filter(None, shape)) > most:
        raise StatusError.invalid(f"A tensor has more than {most} elements")


def _filled_strings(values: list[bytes], count: int) -> list[bytes]:
    return values + [values[-1] if values else b""] * (count - len(values))


def _numbers(message: TensorProto, dtype: DType, count: int) -> NDArray[Any]:
    storage = _storage(dtype)
    content = message.tensor_content
    if not content:
        return _filled(_values(message, dtype, storage), count)
    if len(content) != count * storage.itemsize:
        raise StatusError.invalid("The content of a tensor does not fit its shape")
    return np.frombuffer(content, storage)


def _storage(dtype: DType) -> np.dtype[Any]:
    if dtype.storage is None:
        raise StatusError(Code.UNIMPLEMENTED, f"A tensor of type {dtype.text}")
    return dtype.storage


def _values(message: TensorProto, dtype: DType, storage: np.dtype[Any]) -> NDArray[Any]:
    """Integers wrap, as in C++."""
    field = _field(message, dtype)
    if dtype.text in _ELEMENTS:
        parts = np.array(field, _ELEMENTS[dtype.text])
        per_element = storage.itemsize // parts.itemsize
        return parts[: len(parts) // per_element * per_element].view(storage)
    widest = {"u": np.uint64, "i": np.int64}.get(storage.kind, storage)
    return np.array(field, widest).astype(storage)


def _field(message: TensorProto, dtype: DType) -> "RepeatedScalarFieldContainer[Any]":
    find = _VALUES.get(dtype.text)
    return find(message) if find else message.int_val


def _filled(values: NDArray[Any], count: int) -> NDArray[Any]:
    if len(values) >= count:
        return values[:count]
    filled = np.full(count, values[-1] if len(values) else 0, values.dtype)
    filled[: len(values)] = values
    return filled


def write_tensor(tensor: Tensor, into: TensorProto, *, as_content: bool = False) -> None:
    """Fill an empty message with a list of values, as the real server does, or with all bytes in one piece.

    Raises:
        StatusError: elements are neither plain numbers nor strings.
    """
    into.dtype = tensor.dtype.number
    into.tensor_shape.dim.extend(TensorShapeProto.Dim(size=size) for size in tensor.shape)
    if as_content:
        into.tensor_content = _content(tensor)
    elif isinstance(tensor.values, list):
        into.string_val.extend(tensor.values)
    elif tensor.dtype.text in _PACKED:
        packed = _PACKED[tensor.dtype.text](_little_endian(tensor.values))
        into.MergeFromString(packed.SerializeToString())
    else:
        _storage(tensor.dtype)
        elements = _ELEMENTS.get(tensor.dtype.text, tensor.values.dtype)
        _field(into, tensor.dtype).extend(tensor.values.view(elements).tolist())


def _little_endian(values: NDArray[Any]) -> bytes:
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _content(tensor: Tensor) -> bytes:
    """Strings: all lengths as varints, then all bytes (tensorflow/core/platform/tensor_coding.h)."""
    if isinstance(tensor.values, list):
        return b"".join([_varint(len(value)) for value in tensor.values] + tensor.values)
    _storage(tensor.dtype)
    return tensor.values.tobytes()


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
