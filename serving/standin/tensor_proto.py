"""Read a TensorProto, the form in which tensors lie in files (tensorflow/core/framework/tensor.proto)."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.standin import protowire
from serving.standin.dtypes import STRING, DataType, Tensor, data_type
from serving.standin.errors import Code, StatusError
from serving.standin.protowire import Fields

_DTYPE, _SHAPE, _CONTENT, _STRING_VAL = 1, 2, 4, 8
_TYPED_VALUES = {"float": 5, "double": 6, "int64": 10, "bool": 11, "uint32": 16, "uint64": 17}
_INT_VAL = 7
"""Where the narrower integers are."""
_DIM, _DIM_SIZE = 2, 1


def read_tensor(message: Fields) -> Tensor:
    """A TensorProto: the bytes of the whole, or values of which the last one fills up what is missing.

    Raises StatusError: a type that JSON could not express either, or bytes that do not fit the shape.
    """
    dtype = data_type(protowire.last_int(message, _DTYPE))
    dims = protowire.messages(protowire.read(protowire.last_bytes(message, _SHAPE)), _DIM)
    shape = tuple(protowire.signed(protowire.last_int(dim, _DIM_SIZE)) for dim in dims)
    if dtype is STRING:
        strings = [value for value in message.get(_STRING_VAL, []) if isinstance(value, bytes)]
        return Tensor(dtype, shape, _filled(strings, b"", math.prod(shape)))
    return Tensor(dtype, shape, _numbers(message, dtype, math.prod(shape)))


def _numbers(message: Fields, dtype: DataType, count: int) -> NDArray[Any]:
    if dtype.numpy is None:
        raise StatusError(Code.UNIMPLEMENTED, f"A tensor of type {dtype.text}")
    content = protowire.last_bytes(message, _CONTENT)
    if content:
        if len(content) != count * dtype.numpy.itemsize:
            raise StatusError.invalid("The content of a tensor does not fit its shape")
        return np.frombuffer(content, dtype.numpy)
    values = message.get(_TYPED_VALUES.get(dtype.text, _INT_VAL), [])
    return np.array(_filled(_decoded(values, dtype), 0, count)).astype(dtype.numpy)


def _decoded(values: list[int | bytes], dtype: DataType) -> list[Any]:
    """Packed or not: fixed-width numbers are bytes either way, integers are varints."""
    if dtype.numpy is not None and dtype.numpy.kind == "f":
        raw = b"".join(value for value in values if isinstance(value, bytes))
        numbers: list[Any] = np.frombuffer(raw, dtype.numpy.newbyteorder("<")).tolist()
        return numbers
    integers = protowire.varints(values)
    return list(integers) if dtype.text.startswith("u") else [protowire.signed(value) for value in integers]


def _filled(values: list[Any], otherwise: Any, count: int) -> list[Any]:
    missing = count - len(values)
    return values[:count] if missing <= 0 else values + [values[-1] if values else otherwise] * missing
