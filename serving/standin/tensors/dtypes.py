"""TensorFlow's element types: number, name in metadata, name in error texts, NumPy equivalent."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from protocol import tensorflow_serving_pb2 as messages

Flat = NDArray[Any] | list[bytes]
"""The elements of a tensor in row-major order: a list of bytes for string tensors, else an array of rank 1."""


@dataclass(frozen=True)
class DType:
    number: messages.DataType
    proto_name: str
    """As in metadata: DT_FLOAT."""
    text: str
    """As in error texts: float."""
    numpy: np.dtype[Any] | None = None
    """None where JSON cannot express the values."""
    storage: np.dtype[Any] | None = None
    """The form in memory. More types have one than have `numpy`; None where elements are not plain numbers."""


_NUMPY = {
    "FLOAT": np.float32,
    "DOUBLE": np.float64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "BOOL": np.bool_,
}
_STORAGE = _NUMPY | {
    "INT16": np.int16,
    "UINT16": np.uint16,
    "QINT8": np.int8,
    "QUINT8": np.uint8,
    "QINT16": np.int16,
    "QUINT16": np.uint16,
    "QINT32": np.int32,
    "HALF": np.float16,
    "BFLOAT16": np.uint16,  # its bits; NumPy lacks the type
    "COMPLEX64": np.complex64,
    "COMPLEX128": np.complex128,
}


def _known(proto_name: str, number: messages.DataType) -> DType:
    name = proto_name.removeprefix("DT_")
    numpy, storage = (np.dtype(table[name]) if name in table else None for table in (_NUMPY, _STORAGE))
    return DType(number, proto_name, name.lower(), numpy, storage)


_BY_NUMBER = {number: _known(name, number) for name, number in messages.DataType.items()}
STRING = _BY_NUMBER[messages.DT_STRING]


def data_type(number: int) -> DType:
    known = _BY_NUMBER.get(cast("messages.DataType", number))
    return known or DType(cast("messages.DataType", number), f"DT_{number}", f"dtype {number}")


@dataclass(frozen=True)
class Tensor:
    dtype: DType
    shape: tuple[int, ...]
    values: Flat
    """Empty where `dtype.storage` is None."""
