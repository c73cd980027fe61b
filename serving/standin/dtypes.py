"""TensorFlow's element types: number on the wire, name in metadata, name in error texts, NumPy equivalent."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Flat = NDArray[Any] | list[bytes]
"""The elements of a tensor in row-major order: a list of bytes for string tensors, else an array of rank 1."""


@dataclass(frozen=True)
class DataType:
    number: int
    proto_name: str
    """As in metadata: DT_FLOAT."""
    text: str
    """As in error texts: float."""
    numpy: np.dtype[Any] | None = None
    """None where values cannot be had from JSON nor written to it (docs/tensorflow-serving.md, "Tensor values")."""
    storage: np.dtype[Any] | None = None
    """The form in memory: `numpy` where there is one, and more; None where there are no plain numbers."""


_NAMES = """
    INVALID FLOAT DOUBLE INT32 UINT8 INT16 INT8 STRING COMPLEX64 INT64 BOOL QINT8 QUINT8 QINT32 BFLOAT16 QINT16 QUINT16
    UINT16 COMPLEX128 HALF RESOURCE VARIANT UINT32 UINT64 FLOAT8_E5M2 FLOAT8_E4M3FN FLOAT8_E4M3FNUZ FLOAT8_E4M3B11FNUZ
    FLOAT8_E5M2FNUZ INT4 UINT4 INT2 UINT2
"""
"""In the order of their numbers: tensorflow/core/framework/types.proto."""
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
    "BFLOAT16": np.uint16,  # its bits: NumPy has no such type
    "COMPLEX64": np.complex64,
    "COMPLEX128": np.complex128,
}


def _known(number: int, name: str) -> DataType:
    numpy, storage = (np.dtype(table[name]) if name in table else None for table in (_NUMPY, _STORAGE))
    return DataType(number, f"DT_{name}", name.lower(), numpy, storage)


_BY_NUMBER = {number: _known(number, name) for number, name in enumerate(_NAMES.split())}
STRING = _BY_NUMBER[7]


def data_type(number: int) -> DataType:
    return _BY_NUMBER.get(number) or DataType(number, f"DT_{number}", f"dtype {number}")


@dataclass(frozen=True)
class Tensor:
    dtype: DataType
    shape: tuple[int, ...]
    values: Flat
    """Empty also where the type has no plain numbers (see `DataType.storage`)."""
