"""The tests' own reader of the wire format against itself, and against the generated messages."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from protocol.tensorflow_serving_pb2 import GetModelStatusResponse, PredictRequest
from tests import wire_format
from tests.wire_format import read, signed, varints, write_bytes, write_float, write_int, write_varint


@given(st.integers(0, (1 << 64) - 1), st.binary())
def test_fields_read_back_as_they_were_written(number: int, data: bytes) -> None:
    fields = read(write_int(1, number) + write_bytes(200, data) + write_float(3, 0.5))
    assert fields == {1: [number], 200: [data], 3: [struct.pack("<f", 0.5)]}


@given(st.binary())
def test_no_bytes_cause_anything_but_a_value_error(data: bytes) -> None:
    try:
        fields = read(data)
    except ValueError:
        return
    assert all(isinstance(value, int | bytes) for found in fields.values() for value in found)


def test_integers_may_be_packed_or_not_and_negative() -> None:
    minus_one = (1 << 64) - 1
    packed = write_bytes(1, write_varint(1) + write_varint(minus_one))
    assert [signed(value) for value in varints(read(packed + write_int(1, 300))[1])] == [1, -1, 300]


def test_a_map_is_entries_of_name_and_message() -> None:
    entry = write_bytes(1, b"a") + write_bytes(2, b"x")
    assert wire_format.map_items(read(write_bytes(5, entry)), 5) == {"a": b"x"}


def test_a_version_of_64_bits_is_read_as_the_generated_message_has_it() -> None:
    answer = GetModelStatusResponse()
    answer.model_version_status.add(version=-2, state="AVAILABLE")
    (status,) = wire_format.messages(read(answer.SerializeToString()), 1)
    assert (signed(wire_format.last_int(status, 1)), wire_format.last_int(status, 2)) == (-2, 30)


def test_a_request_written_by_hand_is_the_generated_message() -> None:
    spec = write_bytes(1, b"m") + write_bytes(2, write_int(1, 300)) + write_bytes(3, b"s")
    request = PredictRequest.FromString(write_bytes(1, spec) + write_bytes(3, b"o"))
    assert (request.model_spec.name, request.model_spec.version.value, request.output_filter[0]) == ("m", 300, "o")
