"""Messages against bytes derived by hand, against the stand-in's tensors, and against recorded ones.

A field is a varint (number << 3 | wire type) and its value; wire type 0 is a varint, 2 a length and as many bytes
(https://protobuf.dev/programming-guides/encoding/).
"""

import base64
import contextlib
import dataclasses
import struct
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.failures import BadAnswerError
from gateway.labels import Description, Preprocessing
from gateway.tfserving import VersionStatus, protobuf
from gateway.tfserving.contract import ServedModel, Tensor
from gateway.tfserving.rest import grpc_address, rest_address
from protocol.tensorflow_serving_pb2 import PredictRequest, TensorProto
from serving.standin.tensors.dtypes import Tensor as Values
from serving.standin.tensors.dtypes import data_type
from serving.standin.tensors.tensor_proto import read_tensor, write_tensor
from tests.contract.recorded import read_pairs
from tests.wire_format import write_bytes, write_int

MODEL = ServedModel(
    name="m",
    version="300",
    description=Description(title="t", labels=("a", "b"), preprocessing=Preprocessing(fingerprint="f")),
    signature="s",
    encoding="bytes",
    input_range=(-1, 1),
    input="i",
    output="o",
    softmax=True,
)
PIXEL = np.array([[[0, 255, 51]]], np.uint8)
"""One picture of one pixel."""


def test_a_picture_as_bytes_is_these_bytes() -> None:
    spec = "0a0b 0a016d 120308ac02 1a0173"  # 1: a message of 11 bytes; 1: "m", 2: a message with 1: 300, 3: "s"
    entry = "1212 0a0169 120d"  # 2: an entry of 18 bytes; 1: its key "i", 2: its value, 13 bytes
    tensor = "0807 1204 12020801 4203 00ff33"  # 1: DT_STRING, 2: the shape [1], 8: the three bytes
    wanted = "1a016f"  # 3: "o"
    assert protobuf.predict_request(MODEL, PIXEL) == bytes.fromhex(spec + entry + tensor + wanted)


def test_the_standin_reads_the_picture_that_was_sent() -> None:
    floats = dataclasses.replace(MODEL, encoding="floats")
    for model, expected in ((MODEL, [b"\x00\xff\x33"]), (floats, [-1.0, 1.0, np.float32(-0.6)])):
        request = PredictRequest.FromString(protobuf.predict_request(model, PIXEL))
        tensor = read_tensor(request.inputs["i"])
        assert list(tensor.values) == expected
        assert tensor.shape == ((1,) if model is MODEL else (1, 1, 1, 3))


def written(tensor: Values, *, as_content: bool = False) -> bytes:
    message = TensorProto()
    write_tensor(tensor, message, as_content=as_content)
    return message.SerializeToString()


def answer(
    values: object = (0.25, 0.75), *, shape: tuple[int, ...] = (1, 2), version: int = 300, name: str = "o"
) -> bytes:
    """A PredictResponse as the stand-in writes it."""
    tensor = written(Values(data_type(1), shape, np.array(values, np.float32)))
    return response(tensor, version=version, name=name)


def response(tensor: bytes, *, version: int = 300, name: str = "o") -> bytes:
    outputs = write_bytes(1, write_bytes(1, name.encode()) + write_bytes(2, tensor))
    return outputs + write_bytes(2, write_bytes(1, b"m") + write_bytes(2, write_int(1, version)))


def test_probabilities_are_the_row_of_the_answer_one_by_one_or_in_one_piece() -> None:
    row = Values(data_type(1), (1, 2), np.array([0.25, 0.75], np.float32))
    for as_content in (False, True):
        found = protobuf.prediction(MODEL, response(written(row, as_content=as_content))).probabilities
        assert found.tolist() == [0.25, 0.75]
        assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (b"\xff", "no PredictResponse"),
        (b"", "version 0 answered, not 300"),
        (answer(version=301), "version 301 answered"),
        (answer(name="p"), "no output o"),
        (answer([0.5, 0.5, 0.0], shape=(1, 3)), "shape (3,) for 2 labels"),
        (answer([0.5, 0.5, 0.0, 1.0], shape=(2, 2)), "o has shape (2, 2) for one picture"),
        (answer([1.0], shape=()), "o has shape () for one picture"),
        (answer([float("nan"), 1.0]), "no probabilities"),
        (answer([float("inf"), 1.0]), "no probabilities"),
        (answer([-0.5, 1.5]), "no probabilities"),
        (answer([0.5, 0.75]), "do not sum to 1"),
        (answer([0.5], shape=(1, 2)), "does not have as many values"),
        (
            response(written(Values(data_type(2), (1, 2), np.array([0.5, 0.5])))),
            "type DT_DOUBLE, not DT_FLOAT",
        ),
        (response(write_int(1, 1) + write_bytes(4, bytes(7))), "does not have as many values"),
    ],
)
def test_what_is_no_row_of_probabilities_is_a_bad_answer(wrong: bytes, reason: str) -> None:
    with pytest.raises(BadAnswerError) as caught:
        protobuf.prediction(MODEL, wrong)
    assert reason in str(caught.value)


FAMILIAR = dataclasses.replace(MODEL, familiarity="f")


def test_a_familiarity_is_asked_for_and_read() -> None:
    request = PredictRequest.FromString(protobuf.predict_request(FAMILIAR, PIXEL))
    assert list(request.output_filter) == ["o", "f"]
    both = answer([0.5], shape=(1,), name="f") + answer()
    assert protobuf.prediction(FAMILIAR, both).familiarity == 0.5


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (b"", "no output f"),
        (answer([0.5, 0.5], shape=(1, 2), name="f"), "more than one value"),
        (answer([0.5], shape=(), name="f"), "shape () for one picture"),
        (answer([1.5], shape=(1,), name="f"), "outside 0..1"),
    ],
)
def test_what_is_no_familiarity_is_a_bad_answer(wrong: bytes, reason: str) -> None:
    with pytest.raises(BadAnswerError) as caught:
        protobuf.prediction(FAMILIAR, wrong + answer())
    assert reason in str(caught.value)


def test_the_text_of_describe_is_a_value_or_length_and_bytes() -> None:
    text = b"x" * 200
    for as_content in (False, True):
        tensor = written(Values(data_type(7), (1,), [text]), as_content=as_content)
        assert protobuf.description_text(response(tensor)) == text


@pytest.mark.parametrize("tensor", [b"", written(Values(data_type(7), (2,), [b"a", b"b"])), write_int(1, 7)])
def test_describe_must_answer_with_one_text(tensor: bytes) -> None:
    with pytest.raises(BadAnswerError):
        protobuf.description_text(response(tensor))


@given(st.binary(max_size=40))
def test_no_answer_causes_anything_but_a_bad_answer(noise: bytes) -> None:
    row = partial(protobuf.prediction, MODEL)
    reads: list[Callable[[bytes], object]] = [protobuf.states, protobuf.signatures, protobuf.description_text, row]
    for read in reads:
        for data in (noise, response(noise)):
            with contextlib.suppress(BadAnswerError):
                read(data)


def recorded(name: str) -> bytes:
    (pair,) = (pair for pair in read_pairs("grpc.jsonl") if pair["name"] == name)
    return base64.b64decode(pair["response_b64"])


def test_recorded_status_and_metadata_are_understood() -> None:
    assert protobuf.states(recorded("status_ok")) == {123: VersionStatus("AVAILABLE")}
    found = protobuf.signatures(recorded("metadata_ok"))
    assert found["serving_default"].inputs == {"x": Tensor("DT_FLOAT", (-1, 1))}
    assert found["regress_x_to_y"].inputs == {"inputs": Tensor("DT_STRING", None)}
    assert found["regress_x_to_y"].outputs == {"outputs": Tensor("DT_FLOAT", (-1, 1))}


def test_a_recorded_prediction_is_understood_as_far_as_it_is_one() -> None:
    model = dataclasses.replace(MODEL, name="half_plus_two", version="123", output="y")
    with pytest.raises(BadAnswerError, match=r"shape \(3,\) for one picture"):
        protobuf.prediction(model, recorded("predict_version"))


def test_floats_travel_as_rest_would_print_them() -> None:
    request = PredictRequest.FromString(protobuf.predict_request(dataclasses.replace(MODEL, encoding="floats"), PIXEL))
    assert request.inputs["i"].tensor_content == struct.pack("<3f", -1, 1, -0.6)


def test_an_address_names_both_ports_or_leaves_grpc_to_the_usual_one() -> None:
    assert (rest_address("a:8501"), grpc_address("a:8501", 8500)) == ("a:8501", "a:8500")
    assert (rest_address("[::1]:8501/9000"), grpc_address("[::1]:8501/9000", 8500)) == ("[::1]:8501", "[::1]:9000")
