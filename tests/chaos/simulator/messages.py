"""The gRPC messages that a simulated replica reads and writes. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf import any_pb2
from google.protobuf.wrappers_pb2 import Int64Value

from protocol.tensorflow_serving_pb2 import (
    DT_FLOAT,
    DT_STRING,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusResponse,
    ModelSpec,
    ModelVersionStatus,
    PredictRequest,
    PredictResponse,
    SignatureDef,
    SignatureDefMap,
    StatusProto,
    TensorInfo,
    TensorProto,
    TensorShapeProto,
)

INTERNAL = 13
"""The gRPC status code, as an error code in a version's status."""
TYPE_URL = "type.googleapis.com/tensorflow.serving.SignatureDefMap"


class Predict(NamedTuple):
    """The parts of a PredictRequest that the replica looks at."""

    version: str
    signature: str
    values: Sequence[bytes]
    """Strings of its one input: the pixels of one picture each."""


def read_version(message: bytes) -> str:
    """The version that a metadata request names."""
    return str(GetModelMetadataRequest.FromString(message).model_spec.version.value)


def read_predict(message: bytes) -> Predict:
    request = PredictRequest.FromString(message)
    (tensor,) = request.inputs.values()
    return Predict(str(request.model_spec.version.value), request.model_spec.signature_name, list(tensor.string_val))


def floats(rows: Sequence[Sequence[float]], version: int) -> bytes:
    """A PredictResponse of probabilities."""
    shape = _shape([len(rows), len(rows[0]) if rows else 0])
    values = [value for row in rows for value in row]
    tensor = TensorProto(dtype=DT_FLOAT, tensor_shape=shape, float_val=values)
    return PredictResponse(outputs={"probabilities": tensor}, model_spec=_spec(version)).SerializeToString()


def text(document: str, version: int) -> bytes:
    """A PredictResponse of one string."""
    tensor = TensorProto(dtype=DT_STRING, tensor_shape=_shape([1]), string_val=[document.encode()])
    return PredictResponse(outputs={"text": tensor}, model_spec=_spec(version)).SerializeToString()


def status(versions: Mapping[str, str], errors: Mapping[str, str]) -> bytes:
    """A GetModelStatusResponse, from states and load errors by version."""
    states = [
        ModelVersionStatus(version=int(version), state=state, status=_load_status(errors.get(version)))
        for version, state in versions.items()
    ]
    return GetModelStatusResponse(model_version_status=states).SerializeToString()


def _load_status(error: str | None) -> StatusProto:
    return StatusProto() if error is None else StatusProto(error_code=INTERNAL, error_message=error)


def metadata(signatures: Mapping[str, Any], version: int) -> bytes:
    """A GetModelMetadataResponse, from signatures in the form of the REST API."""
    listed = SignatureDefMap(signature_def={name: _signature(one) for name, one in signatures.items()})
    packed = any_pb2.Any(type_url=TYPE_URL, value=listed.SerializeToString())
    return GetModelMetadataResponse(model_spec=_spec(version), metadata={"signature_def": packed}).SerializeToString()


def _signature(rest: Mapping[str, Any]) -> SignatureDef:
    inputs, outputs = ({name: _info(tensor) for name, tensor in rest[kind].items()} for kind in ("inputs", "outputs"))
    return SignatureDef(inputs=inputs, outputs=outputs)


def _info(tensor: Mapping[str, Any]) -> TensorInfo:
    sizes = [int(dim["size"]) for dim in tensor["tensor_shape"]["dim"]]
    return TensorInfo(name="x:0", dtype=tensor["dtype"], tensor_shape=_shape(sizes))


def _shape(sizes: Sequence[int]) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])


def _spec(version: int) -> ModelSpec:
    return ModelSpec(name="my_model", version=Int64Value(value=version))
