"""Reads a warm-up record."""

from collections.abc import Mapping

from protocol.tensorflow_serving_pb2 import PredictionLog, TensorProto


def parse(record: bytes) -> tuple[str, Mapping[str, TensorProto]]:
    """Signature name, and tensors by name of the input."""
    request = PredictionLog.FromString(record).predict_log.request
    return request.model_spec.signature_name, request.inputs
