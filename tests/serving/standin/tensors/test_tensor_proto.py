import struct
from typing import Any

import numpy as np
import pytest

from protocol.tensorflow_serving_pb2 import TensorProto
from serving.standin.errors import StatusError
from serving.standin.tensors.dtypes import Tensor, data_type
from serving.standin.tensors.tensor_proto import read_tensor, write_tensor
from tests.wire_format import read, write_bytes, write_float, write_int, write_varint

FLOAT, INT32, STRING, COMPLEX64, INT64, BOOL, BFLOAT16, UINT16, HALF, VARIANT, UINT64 = (
    1,
    3,
    7,
    8,
    9,
    10,
    14,
    17,
    19,
    21,
    23,
)


def tensor(dtype: int, shape: list[int], *fields: bytes) -> Tensor:
    dims = b"".join(write_bytes(2, write_int(1, size)) for size in shape)
    return read_tensor(TensorProto.FromString(write_int(1, dtype) + write_bytes(2, dims) + b"".join(fields)))


def values(dtype: int, shape: list[int], *fields: bytes) -> object:
    found = tensor(dtype, shape, *fields).values
    return found if isinstance(found, list) else found.tolist()


def test_a_tensor_is_the_bytes_of_the_whole_or_values() -> None:
    assert values(FLOAT, [2], write_bytes(4, struct.pack("<2f", 1, 2))) == [1, 2]
    assert values(FLOAT, [2], write_float(5, 1), write_float(5, 2)) == [1, 2]
    assert values(FLOAT, [2], write_bytes(5, struct.pack("<2f", 1, 2))) == [1, 2]
    assert values(INT32, [1], write_int(7, -5)) == [-5]
    assert values(INT64, [1], write_int(10, -5)) == [-5]
    assert values(UINT64, [1], write_int(17, (1 << 64) - 1)) == [(1 << 64) - 1]
    assert values(STRING, [2], write_bytes(8, b"a"), write_bytes(8, b"b")) == [b"a", b"b"]


def test_values_may_be_packed_or_not() -> None:
    minus_one = (1 << 64) - 1
    packed = write_bytes(7, write_varint(1) + write_varint(minus_one))
    assert values(INT32, [3], packed, write_int(7, 300)) == [1, -1, 300]
    assert values(HALF, [2], write_int(13, 0x3E00), write_bytes(13, write_varint(0xC000))) == [1.5, -2.0]


def test_half_a_complex_number_counts_for_nothing() -> None:
    assert values(COMPLEX64, [2], write_bytes(9, struct.pack("<3f", 1, 2, 3))) == [1 + 2j, 1 + 2j]


def test_the_last_value_stands_for_all_that_follow() -> None:
    assert values(INT32, [2, 2], write_int(7, 1), write_int(7, 2)) == [1, 2, 2, 2]
    assert values(INT32, [2]) == [0, 0]
    assert values(STRING, [2]) == [b"", b""]
    assert tensor(INT32, []).values == np.array([0])


def test_a_tensor_that_is_not_what_it_says_is_refused() -> None:
    with pytest.raises(StatusError, match="does not fit its shape"):
        tensor(FLOAT, [3], write_bytes(4, bytes(8)))
    with pytest.raises(StatusError, match="negative"):
        tensor(FLOAT, [-1])
    with pytest.raises(StatusError, match="variant"):
        tensor(VARIANT, [1])


NUMBERS = [
    (FLOAT, [0.5, -1.0]),
    (INT32, [7, -7]),
    (INT64, [1 << 62, -(1 << 62)]),
    (UINT64, [0, (1 << 64) - 1]),
    (UINT16, [0, 65535]),
    (HALF, [1.5, -2.0]),
    (BFLOAT16, [0x3F80, 0]),
    (COMPLEX64, [1 + 2j, -1j]),
    (BOOL, [True, False]),
]


def written(tensor: Tensor, *, as_content: bool = False) -> bytes:
    message = TensorProto()
    write_tensor(tensor, message, as_content=as_content)
    return message.SerializeToString()


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize(("dtype", "elements"), NUMBERS)
def test_numbers_read_back_as_they_were_written(dtype: int, elements: list[Any], as_content: bool) -> None:
    kind = data_type(dtype)
    message = written(Tensor(kind, (2, 1), np.array(elements, kind.storage)), as_content=as_content)
    found = read_tensor(TensorProto.FromString(message))
    assert (found.dtype, found.shape, list(found.values)) == (kind, (2, 1), elements)


def test_strings_are_written_one_by_one_or_as_lengths_and_bytes() -> None:
    strings = Tensor(data_type(STRING), (2,), [b"ab", b"c"])
    assert read(written(strings))[8] == [b"ab", b"c"]
    assert read(written(strings, as_content=True))[4] == [b"\x02\x01abc"]


@pytest.mark.parametrize("shape", [[1] * 255, [1 << 40, 1 << 40, 0], [1 << 40, 1 << 40], [(16 << 20) + 1]])
def test_a_shape_that_tensorflow_or_the_memory_cannot_hold_is_refused(shape: list[int]) -> None:
    with pytest.raises(StatusError):
        tensor(FLOAT, shape, write_float(5, 1))


def test_a_string_tensor_is_filled_up_to_a_limit() -> None:
    assert len(tensor(STRING, [1 << 16], write_bytes(8, b"a")).values) == 1 << 16
    with pytest.raises(StatusError):
        tensor(STRING, [(1 << 16) + 1], write_bytes(8, b"a"))
