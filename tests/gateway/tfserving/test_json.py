"""TensorFlow Serving's JSON, both ways."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest

from gateway.failures import BadAnswerError
from gateway.tfserving.json import description_text, predict_body, prediction
from tests.gateway.replicas.pools import MODELS

FLOAT_MODEL = replace(MODELS["1"], encoding="floats", signature="serving_default")
TWO = replace(MODELS["1"], description=MODELS["1"].description.model_copy(update={"labels": ("a", "b")}))
FAMILIAR = replace(TWO, familiarity="familiarity")
PIXELS = np.random.default_rng(1).integers(0, 256, (224, 224, 3), dtype=np.uint8)


def test_bytes_travel_as_base64_of_the_raw_pixels() -> None:
    body = json.loads(predict_body(MODELS["1"], PIXELS))
    assert body["signature_name"] == "serving_bytes"
    assert base64.b64decode(body["instances"][0]["b64"]) == PIXELS.tobytes()


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255)])
def test_floats_travel_as_nested_lists_exact_to_the_last_bit_of_float32(low: float, high: float) -> None:
    body = json.loads(predict_body(replace(FLOAT_MODEL, input_range=(low, high)), PIXELS))
    sent = np.asarray(body["instances"], np.float64).astype(np.float32)
    assert sent.shape == (1, 224, 224, 3)
    np.testing.assert_array_equal(sent[0], (low + PIXELS / 255 * (high - low)).astype(np.float32))


def test_an_answer_becomes_float32_probabilities() -> None:
    found = prediction(TWO, b'{"predictions": [[0.25, 0.75]]}').probabilities
    assert found.dtype == np.float32
    assert found.tolist() == [0.25, 0.75]


def test_among_several_outputs_the_accepted_one_is_read() -> None:
    found = prediction(TWO, b'{"predictions": [{"probabilities": [0, 1], "x": 3}]}')
    assert found.probabilities.tolist() == [0, 1]
    assert found.familiarity is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"predictions": []}',
        b'{"predictions": [[0.5, 0.5], [0.5, 0.5]]}',
        b'{"predictions": [[]]}',
        b'{"predictions": [[1.0]]}',
        b'{"predictions": [[0.2, 0.3, 0.5]]}',
        b'{"predictions": [[[0.5, 0.5]]]}',
        b'{"predictions": [["a", "b"]]}',
        b'{"predictions": [[null, 1.0]]}',
        b'{"predictions": [[NaN, 1.0]]}',
        b'{"predictions": [[1e400, 0]]}',
        b'{"predictions": [[-0.5, 1.5]]}',
        b'{"predictions": [[0.2, 0.2]]}',
        b'{"predictions": [{"other": [0.5, 0.5]}]}',
        b'{"predictions": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_prediction_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswerError):
        prediction(TWO, body)


def test_sigmoids_of_a_foreign_model_need_not_sum_to_one() -> None:
    assert prediction(replace(TWO, softmax=False), b'{"predictions": [[0.9, 0.8]]}').probabilities.shape == (2,)


def test_where_labels_are_not_exhaustive_probabilities_may_sum_to_less_than_one_and_never_to_more() -> None:
    open_ended = replace(TWO, description=TWO.description.model_copy(update={"exhaustive": False}))
    assert prediction(open_ended, b'{"predictions": [[0.2, 0.1]]}').probabilities.shape == (2,)
    with pytest.raises(BadAnswerError):
        prediction(open_ended, b'{"predictions": [[0.9, 0.8]]}')


def test_the_familiarity_comes_with_the_probabilities() -> None:
    found = prediction(FAMILIAR, b'{"predictions": [{"probabilities": [0, 1], "familiarity": 0.25}]}')
    assert found.familiarity == 0.25
    lifted = b'{"predictions": [{"probabilities": [0, 1], "familiarity": 1.0000005}]}'
    assert prediction(FAMILIAR, lifted).familiarity == 1


@pytest.mark.parametrize("familiarity", ["-0.1", "1.1", "NaN", "null", '"a"', "[0.5]"])
def test_a_familiarity_outside_of_0_to_1_is_a_bad_answer(familiarity: str) -> None:
    body = f'{{"predictions": [{{"probabilities": [0, 1], "familiarity": {familiarity}}}]}}'
    with pytest.raises(BadAnswerError):
        prediction(FAMILIAR, body.encode())


def test_a_familiarity_that_is_missing_is_a_bad_answer() -> None:
    for body in (b'{"predictions": [[0.25, 0.75]]}', b'{"predictions": [{"probabilities": [0, 1]}]}'):
        with pytest.raises(BadAnswerError):
            prediction(FAMILIAR, body)


def test_a_probability_that_rounding_lifted_above_one_is_one() -> None:
    found = prediction(replace(TWO, softmax=False), b'{"predictions": [[1.0000007, 0.5]]}')
    assert found.probabilities.tolist() == [1, 0.5]
    with pytest.raises(BadAnswerError):
        prediction(replace(TWO, softmax=False), b'{"predictions": [[1.00001, 0.5]]}')


@pytest.mark.parametrize(
    "body",
    [
        b'{"predictions": ["{\\"labels\\": []}"]}',
        b'{"predictions": [{"b64": "eyJsYWJlbHMiOiBbXX0="}]}',
        b'{"predictions": [{"text": "{\\"labels\\": []}"}]}',
    ],
)
def test_a_description_is_read_in_every_form_a_server_may_give_it(body: bytes) -> None:
    assert description_text(body) == b'{"labels": []}'


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"predictions": []}', b'{"predictions": [1]}', b'{"predictions": [{}]}']
)
def test_a_description_that_is_no_text_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswerError):
        description_text(body)
