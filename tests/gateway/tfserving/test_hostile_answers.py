"""JSON of a replica that no server of TensorFlow Serving sends: a bad answer, never a defect of the gateway."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.errors import UpstreamError
from gateway.failures import BadAnswerError
from gateway.labels import Description, Preprocessing
from gateway.replicas.versions import Versions
from gateway.tfserving import Call, Reply
from gateway.tfserving.contract import ServedModel
from gateway.tfserving.rest import RestClient

MODEL = ServedModel(
    name="m",
    version="1",
    description=Description(title="t", labels=("a", "b"), preprocessing=Preprocessing(fingerprint="f")),
    signature="serving_bytes",
    encoding="bytes",
    input_range=(0, 1),
    input="image",
    output="probabilities",
    softmax=True,
)
PIXELS = np.zeros((224, 224, 3), np.uint8)


def nested(levels: int) -> str:
    return "[" * levels + "1" + "]" * levels


VALUES = {
    "deeper than any parser goes": nested(100_000),
    "as deep as the parser goes": nested(1000),
    "deep objects": '{"a":' * 1000 + "1" + "}" * 1000,
    "a number of 5,000 digits": "1" * 5000,
    "5,000 digits as a text": f'"{"1" * 5000}"',
    "beyond any float": "1e999",
    "NaN": "NaN",
    "an infinite number": "1e400",
    "a large float": "1.7e308",
    "a negative number": "-1",
    "null": "null",
    "true": "true",
    "a text": '"x"',
    "an empty text": '""',
    "a lone surrogate": '"\\ud800"',
    "an empty list": "[]",
    "an empty object": "{}",
    "a list of lists": "[[]]",
}
"""What may stand anywhere in an answer."""

STATUS = '{"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK"}}]}'
METADATA = (
    '{"metadata": {"signature_def": {"signature_def": {"s": {"inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": '
    '{"dim": [{"size": "1"}], "unknown_rank": false}}}, "outputs": {}}}}}}'
)
DESCRIPTION = '{"title": "t", "labels": ["a"], "preprocessing": {"fingerprint": "f"}, "metrics": {"top_1": 0.5}}'
LABEL = '{"model_spec": {"version": "1"}}'
ROW = '{"predictions": [[0.5, 0.5]]}'

Ask = Callable[[RestClient], Awaitable[object]]


def client(body: str) -> RestClient:
    return RestClient(httpx.MockTransport(lambda _: httpx.Response(200, content=body.encode("utf-8", "surrogatepass"))))


class Answering:
    """A dispatcher whose replicas answer everything with one body."""

    def __init__(self, body: str) -> None:
        self._body = body.encode()

    async def __call__(self, call: Call, *, deadline: float) -> Reply:
        return Reply(200, "application/json", self._body)


def variants(document: str) -> list[str]:
    """The document with each of the values in the place of each part of it."""
    holed = [json.dumps(put(json.loads(document), part, "HERE")) for part in parts(json.loads(document))]
    return [text.replace('"HERE"', value, 1) for text in holed for value in VALUES.values()]


def parts(document: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [above, *(path for key, value in inner for path in parts(value, (*above, key)))]


def put(document: Any, part: tuple[Any, ...], value: Any) -> Any:
    if not part:
        return value
    document[part[0]] = put(document[part[0]], part[1:], value)
    return document


@pytest.mark.parametrize(
    ("document", "ask"),
    [
        (STATUS, lambda rest: rest.status("a:1", "m")),
        (METADATA, lambda rest: rest.signatures("a:1", "m", 1)),
        (ROW, lambda rest: rest.predict("a:1", MODEL, PIXELS)),
        ('{"predictions": ["x"]}', lambda rest: rest.describe("a:1", "m", 1)),
        ('{"predictions": [{"b64": "AAAA"}]}', lambda rest: rest.describe("a:1", "m", 1)),
    ],
    ids=["status", "metadata", "predict", "describe", "describe in base64"],
)
async def test_an_odd_value_anywhere_is_a_bad_answer_or_does_no_harm(document: str, ask: Ask) -> None:
    for body in variants(document):
        try:
            await ask(client(body))
        except BadAnswerError:
            continue


async def test_an_odd_value_in_a_description_is_a_bad_answer_or_does_no_harm() -> None:
    for text in variants(DESCRIPTION):
        body = json.dumps({"predictions": [text]})
        try:
            await client(body).describe("a:1", "m", 1)
        except BadAnswerError:
            continue


async def test_an_odd_value_in_the_look_up_of_a_label_is_a_bad_answer_or_does_no_harm() -> None:
    for body in variants(LABEL):
        versions = Versions(Answering(body), model_name="m", canary=None, caller_of=str)
        try:
            assert await versions.labelled("stable", deadline=0)
        except UpstreamError:
            continue
