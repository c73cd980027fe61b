"""TensorFlow Serving's JSON: pixels to the body of a predict request, and its answer to a prediction. Pure.

Source: docs/tensorflow-serving.md, "Predict over REST" and "Predict answers".
"""

from functools import lru_cache

import numpy as np
import orjson
import pybase64
from numpy.typing import NDArray

from gateway.failures import BadAnswerError
from gateway.imaging import Pixels
from gateway.tfserving import MALFORMED
from gateway.tfserving.contract import Prediction, ServedModel

_SUM_TOLERANCE = 1e-2
"""A softmax in half precision still sums to 1 within this."""
_ROUNDING = 1e-6
"""How far float32 arithmetic may lift a probability above 1."""


def predict_body(model: ServedModel, pixels: Pixels) -> bytes:
    """The body of a predict request for one picture: 0.2 MB as bytes, 1.7 MB as floats."""
    head = b'{"signature_name":"%s","instances":[' % model.signature.encode()
    if model.encoding == "bytes":
        return b'%s{"b64":"%s"}]}' % (head, pybase64.b64encode(pixels.data))
    return b"%s%s]}" % (head, nested_floats(pixels, model.input_range))


def nested_floats(pixels: Pixels, input_range: tuple[float, float]) -> bytes:
    """The picture as nested JSON lists of float32, as `(low + pixels / 255 * span).tolist()` would print it.

    Only 256 numbers can occur, so each is printed once and then looked up: 3 ms instead of 300.
    """
    texts = _texts(*input_range)
    cells = np.stack([np.take(texts[channel], pixels[:, :, channel]) for channel in range(3)], axis=2)
    return b"[[" + b"],[".join(row.tobytes()[1:] for row in cells) + b"]]"


@lru_cache(maxsize=3)
def channel_values(low: float, high: float) -> NDArray[np.float32]:
    """The model's input for each of the 256 levels of a channel that spans `low` to `high`; shape (256,)."""
    return (low + np.arange(256) / 255 * (high - low)).astype(np.float32)


@lru_cache(maxsize=3)
def _texts(low: float, high: float) -> NDArray[np.bytes_]:
    """Shape (3, 256): each value as the red, green and blue of a pixel: `,[0.5` `,0.5` `,0.5]`, padded with spaces."""
    numbers = [np.format_float_positional(value, unique=True, trim="-") for value in channel_values(low, high)]
    width = max(len(number) for number in numbers) + 2
    cells = [
        [f"{before}{n}{after}".ljust(width) for n in numbers] for before, after in ((",[", ""), (",", ""), (",", "]"))
    ]
    return np.array(cells, dtype="S")


def prediction(model: ServedModel, body: bytes) -> Prediction:
    """The one row of a predict answer.

    Raises:
        BadAnswerError: not JSON, not one row, or not what `checked` accepts.
    """
    try:
        (row,) = orjson.loads(body)["predictions"]
        with np.errstate(over="ignore"):  # beyond float32 is infinite, which `checked` refuses
            values = np.asarray(row[model.output] if isinstance(row, dict) else row, dtype=np.float32)
        familiarity = float(row[model.familiarity]) if model.familiarity else None
    except MALFORMED as cause:  # NaN and Infinity are not JSON: ValueError
        raise BadAnswerError("no predictions in the answer") from cause
    return checked(model, values, familiarity)


def checked(model: ServedModel, values: NDArray[np.float32], familiarity: float | None) -> Prediction:
    """`values` as probabilities of this model's labels, each in 0..1, and the familiarity in 0..1.

    Here, where answers enter the gateway, what rounding has lifted above 1 becomes 1, so that no part of the gateway
    and no client ever sees a confidence above 1.

    Raises:
        BadAnswerError: another width than the labels, or no probabilities.
    """
    if values.shape != (len(model.description.labels),):
        raise BadAnswerError(f"the answer has shape {values.shape} for {len(model.description.labels)} labels")
    if not (values.min() >= 0 and values.max() <= 1 + _ROUNDING):  # false for NaN too
        raise BadAnswerError(
            "the answer holds no probabilities: a value is outside 0..1; a model must end in a softmax or sigmoids"
        )
    if model.softmax:
        lacks = 1 - float(values.sum())
        if lacks < -_SUM_TOLERANCE or (model.description.exhaustive and lacks > _SUM_TOLERANCE):
            raise BadAnswerError("the probabilities do not sum to 1")
    if familiarity is not None and not 0 <= familiarity <= 1 + _ROUNDING:
        raise BadAnswerError("the familiarity is outside 0..1")
    # Of the familiarity all that float32 holds, no more: over gRPC it comes with the digits of a double.
    return Prediction(model, np.minimum(values, 1), familiarity and float(f"{min(familiarity, 1.0):.7g}"))


def describe_body() -> bytes:
    """The body that asks a model to describe itself."""
    return orjson.dumps({"signature_name": "describe", "instances": [""]})


def description_text(body: bytes) -> bytes:
    """The JSON document inside the answer of `describe`.

    Raises:
        BadAnswerError: the answer holds no text.
    """
    try:
        (text,) = orjson.loads(body)["predictions"]
        if isinstance(text, dict):  # an output whose name ends in _bytes comes as {"b64": ...}
            return (
                pybase64.b64decode(text["b64"], validate=True) if "b64" in text else next(iter(text.values())).encode()
            )
        return bytes(text.encode())
    except (*MALFORMED, StopIteration) as cause:
        raise BadAnswerError("describe did not answer with a text") from cause
