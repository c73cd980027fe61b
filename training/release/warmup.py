"""Warm-up requests: a model server runs them on a version before that becomes AVAILABLE.

They are a TFRecord of `tensorflow.serving.PredictionLog` messages.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from protocol.tensorflow_serving_pb2 import (
    DT_FLOAT,
    DT_STRING,
    ModelSpec,
    PredictionLog,
    PredictLog,
    PredictRequest,
    TensorProto,
    TensorShapeProto,
)

FILE = "assets.extra/tf_serving_warmup_requests"
"""Where TensorFlow Serving looks for them, inside the version's folder."""

Request = tuple[str, Mapping[str, TensorProto]]
"""Signature name, inputs by name."""


def write(version: Path, requests: Sequence[Request]) -> None:
    """Store the requests, in this order."""
    file = version / FILE
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as records:
        for signature, inputs in requests:
            records.write(prediction_log(signature, inputs))


def prediction_log(signature: str, inputs: Mapping[str, TensorProto]) -> bytes:
    """One serialized PredictionLog. The model's name is left out: the server ignores it."""
    request = PredictRequest(model_spec=ModelSpec(signature_name=signature), inputs=inputs)
    return PredictionLog(predict_log=PredictLog(request=request)).SerializeToString()


def tensor(value: float | bytes, shape: Sequence[int]) -> TensorProto:
    """`value` in every element; stored once, as TensorProto allows. float32 or string."""
    sizes = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])
    if isinstance(value, bytes):
        return TensorProto(dtype=DT_STRING, tensor_shape=sizes, string_val=[value])
    return TensorProto(dtype=DT_FLOAT, tensor_shape=sizes, float_val=[value])
