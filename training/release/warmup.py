"""Warm-up requests: a model server runs them on a version before that becomes AVAILABLE.

They are a TFRecord of `tensorflow.serving.PredictionLog`. The package with these protos, tensorflow-serving-api, would
add gRPC and a pinned TensorFlow for four nested messages, so they are encoded here, by field number.
Source: tensorflow_serving/apis/{prediction_log,predict,model}.proto.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

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
    """One serialized PredictionLog, without the model's name, which the server ignores."""
    model_spec = _field(3, signature.encode())
    entries = [
        _field(2, _field(1, name.encode()) + _field(2, tensor.SerializeToString())) for name, tensor in inputs.items()
    ]
    request = _field(1, model_spec) + b"".join(entries)
    return _field(6, _field(1, request))


def tensor(value: float | bytes, shape: list[int]) -> TensorProto:
    """A tensor of `value` in every element; TensorProto stores it once."""
    dtype = tf.string if isinstance(value, bytes) else np.float32
    return tf.make_tensor_proto(value, dtype=dtype, shape=shape)


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
