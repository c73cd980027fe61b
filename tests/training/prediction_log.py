"""Reads `tensorflow.serving.PredictionLog` by descriptors of its own, written from the .proto files."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

FIELD = descriptor_pb2.FieldDescriptorProto
MESSAGES: dict[str, list[tuple[str, int, int, str]]] = {
    "ModelSpec": [("name", 1, FIELD.TYPE_STRING, ""), ("signature_name", 3, FIELD.TYPE_STRING, "")],
    "Input": [("key", 1, FIELD.TYPE_STRING, ""), ("value", 2, FIELD.TYPE_BYTES, "")],
    "PredictRequest": [("model_spec", 1, FIELD.TYPE_MESSAGE, "ModelSpec"), ("inputs", 2, FIELD.TYPE_MESSAGE, "Input")],
    "PredictLog": [("request", 1, FIELD.TYPE_MESSAGE, "PredictRequest")],
    "PredictionLog": [("predict_log", 6, FIELD.TYPE_MESSAGE, "PredictLog")],
}
"""Field name, number, type and message; a map is a repeated Input."""


def parse(record: bytes) -> tuple[str, dict[str, Any]]:
    """Signature name, and TensorProto by input name. Fields that we did not write are an error."""
    log = _message("PredictionLog")()
    log.ParseFromString(record)
    request = log.predict_log.request
    tensors = {entry.key: tensor_pb2.TensorProto.FromString(entry.value) for entry in request.inputs}
    return request.model_spec.signature_name, tensors


def _message(name: str) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="prediction_log.proto", package="check", syntax="proto3")
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for field, number, kind, of in fields:
            label = FIELD.LABEL_REPEATED if field == "inputs" else FIELD.LABEL_OPTIONAL
            described.field.add(
                name=field, number=number, type=kind, label=label, type_name=f".check.{of}" if of else None
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"check.{name}"))
