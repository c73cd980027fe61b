"""Convert pixels to a PredictRequest and the answers to what the gateway works with. Pure.

The messages are those of `protocol/tensorflow_serving.proto`.
"""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from gateway.failures import BadAnswerError
from gateway.imaging import Pixels
from gateway.tfserving import VersionStatus
from gateway.tfserving.contract import DESCRIBE, Prediction, ServedModel, Signature, Tensor
from gateway.tfserving.json import channel_values, checked
from protocol.tensorflow_serving_pb2 import (
    DT_FLOAT,
    DT_STRING,
    DataType,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelSpec,
    ModelVersionStatus,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
    TensorInfo,
    TensorProto,
    TensorShapeProto,
)

SIGNATURE_DEF = "signature_def"

_M = TypeVar("_M", bound=Message)


def predict_request(model: ServedModel, pixels: Pixels) -> bytes:
    """A PredictRequest for one picture: 0.15 MB as bytes, 0.6 MB as floats."""
    request = _predict(model.name, int(model.version), model.signature, model.input, _picture(model, pixels))
    request.output_filter.extend([model.output, model.familiarity] if model.familiarity else [model.output])
    return request.SerializeToString()


def _picture(model: ServedModel, pixels: Pixels) -> TensorProto:
    if model.encoding == "bytes":
        return TensorProto(dtype=DT_STRING, tensor_shape=_shape((1,)), string_val=[pixels.tobytes()])
    values = channel_values(*model.input_range)[pixels]
    return TensorProto(dtype=DT_FLOAT, tensor_shape=_shape((1, *pixels.shape)), tensor_content=values.tobytes())


def prediction(model: ServedModel, answer: bytes) -> Prediction:
    """The single row of a PredictResponse.

    Raises:
        BadAnswerError: another message, another version, not one row, or not probabilities.
    """
    response = _parsed(PredictResponse, answer)
    served = response.model_spec.version.value
    if served != int(model.version):
        raise BadAnswerError(f"version {served} answered, not {model.version}")
    return checked(model, _row(response, model.output), _familiarity(model, response))


def _familiarity(model: ServedModel, response: PredictResponse) -> float | None:
    row = _row(response, model.familiarity) if model.familiarity else None
    if row is not None and row.ndim:
        raise BadAnswerError(f"{model.familiarity} has more than one value for one picture")
    return None if row is None else float(row)


def _row(response: PredictResponse, output: str) -> NDArray[np.float32]:
    """What an output says of the one picture."""
    if output not in response.outputs:
        raise BadAnswerError(f"no output {output} in the answer")
    values = _floats(response.outputs[output])
    if values.ndim == 0 or len(values) != 1:
        raise BadAnswerError(f"{output} has shape {values.shape} for one picture")
    row: NDArray[np.float32] = np.asarray(values[0])
    return row


def describe_request(name: str, version: int, input_name: str) -> bytes:
    """A PredictRequest for the signature `describe`; its input is ignored."""
    ignored = TensorProto(dtype=DT_STRING, tensor_shape=_shape((1,)), string_val=[b""])
    return _predict(name, version, DESCRIBE, input_name, ignored).SerializeToString()


def description_text(answer: bytes) -> bytes:
    """The JSON document in the answer of `describe`.

    Raises:
        BadAnswerError: the answer is not one string.
    """
    outputs = list(_parsed(PredictResponse, answer).outputs.values())
    if len(outputs) != 1 or outputs[0].dtype != DT_STRING or _sizes(outputs[0].tensor_shape) != (1,):
        raise BadAnswerError("describe did not answer with a text")
    return _text(outputs[0])


def status_request(name: str) -> bytes:
    """A GetModelStatusRequest for all versions."""
    return GetModelStatusRequest(model_spec=ModelSpec(name=name)).SerializeToString()


def states(answer: bytes) -> dict[int, VersionStatus]:
    """Version -> status, from a GetModelStatusResponse."""
    listed = _parsed(GetModelStatusResponse, answer).model_version_status
    return {status.version: _version_status(status) for status in listed}


def _version_status(version: ModelVersionStatus) -> VersionStatus:
    known = version.state in ModelVersionStatus.State.values()
    state = ModelVersionStatus.State.Name(version.state) if known else "UNKNOWN"
    failed = version.status.error_code != 0
    return VersionStatus(state, (version.status.error_message or "unknown reason") if failed else "")


def metadata_request(name: str, version: int) -> bytes:
    """A GetModelMetadataRequest for the signatures."""
    request = GetModelMetadataRequest(metadata_field=[SIGNATURE_DEF])
    request.model_spec.name, request.model_spec.version.value = name, version
    return request.SerializeToString()


def signatures(answer: bytes) -> dict[str, Signature]:
    """Signatures by name, from a GetModelMetadataResponse.

    Raises:
        BadAnswerError: the answer has no signatures.
    """
    metadata = _parsed(GetModelMetadataResponse, answer).metadata
    if SIGNATURE_DEF not in metadata:
        raise BadAnswerError("the metadata has no signature_def, which TensorFlow Serving always sends")
    listed = _parsed(SignatureDefMap, metadata[SIGNATURE_DEF].value).signature_def
    return {name: Signature(_tensors(s.inputs), _tensors(s.outputs)) for name, s in listed.items()}


def _predict(name: str, version: int, signature: str, input_name: str, tensor: TensorProto) -> PredictRequest:
    request = PredictRequest(inputs={input_name: tensor})
    spec = request.model_spec
    spec.name, spec.version.value, spec.signature_name = name, version, signature
    return request


def _parsed(kind: type[_M], answer: bytes) -> _M:
    try:
        return kind.FromString(answer)
    except DecodeError as cause:
        raise BadAnswerError(f"the answer is no {kind.__name__}") from cause


def _floats(tensor: TensorProto) -> NDArray[np.float32]:
    if tensor.dtype != DT_FLOAT:
        raise BadAnswerError(f"the answer is of type {_dtype(tensor.dtype)}, not DT_FLOAT")
    content = tensor.tensor_content
    try:
        values = np.frombuffer(content, "<f4") if content else np.array(tensor.float_val, np.float32)
        return values.astype(np.float32, copy=False).reshape(_sizes(tensor.tensor_shape) or ())
    except ValueError as cause:
        raise BadAnswerError("the answer does not have as many values as its shape says") from cause


def _text(tensor: TensorProto) -> bytes:
    """The one string: a value, or its length and bytes where --enable_serialization_as_tensor_content is set."""
    if len(tensor.string_val) == 1:
        return tensor.string_val[0]
    length, at = 0, 0
    for at, byte in enumerate(tensor.tensor_content[:10]):
        length |= (byte & 0x7F) << 7 * at
        if byte < 0x80:
            break
    text = tensor.tensor_content[at + 1 :]
    if len(text) != length:
        raise BadAnswerError("describe did not answer with a text")
    return text


def _tensors(infos: Mapping[str, TensorInfo]) -> dict[str, Tensor]:
    return {name: Tensor(_dtype(info.dtype), _sizes(info.tensor_shape)) for name, info in infos.items()}


def _dtype(number: int) -> str:
    return DataType.Name(number) if number in DataType.values() else f"DT_{number}"


def _shape(sizes: tuple[int, ...]) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])


def _sizes(shape: TensorShapeProto) -> tuple[int, ...] | None:
    return None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
