"""Pixels to a PredictRequest, and the answers to what they mean: TensorFlow Serving's gRPC messages. Pure.

Declared here, field by field, as far as they are used: the package that has them all, tensorflow-serving-api, brings
TensorFlow along. They live in a pool of their own, so that TensorFlow may be imported into the same process.

Sources: tensorflow_serving/apis/{model,predict,get_model_metadata,get_model_status}.proto,
tensorflow/core/framework/{tensor,tensor_shape,types}.proto, tensorflow/core/protobuf/meta_graph.proto,
google/protobuf/{wrappers,any}.proto.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from gateway.failures import BadAnswerError
from gateway.imaging import Pixels
from gateway.labels import Probabilities
from gateway.tfserving import VersionStatus
from gateway.tfserving.contract import DESCRIBE, ServedModel, Signature, Tensor
from gateway.tfserving.json import channel_values, checked

SIGNATURE_DEF = "signature_def"
DT_FLOAT, DT_STRING = 1, 7

_MESSAGES = """
Dim:                  int64 size = 1
TensorShape:          repeated Dim dim = 2; bool unknown_rank = 3
Tensor:               int32 dtype = 1; TensorShape tensor_shape = 2; bytes tensor_content = 4
                      repeated float float_val = 5; repeated bytes string_val = 8
Int64Value:           int64 value = 1
ModelSpec:            string name = 1; Int64Value version = 2; string signature_name = 3
PredictRequest:       ModelSpec model_spec = 1; map Tensor inputs = 2; repeated string output_filter = 3
PredictResponse:      map Tensor outputs = 1; ModelSpec model_spec = 2
StatusRequest:        ModelSpec model_spec = 1
StatusProto:          int32 error_code = 1; string error_message = 2
VersionStatus:        int64 version = 1; int32 state = 2; StatusProto status = 3
StatusResponse:       repeated VersionStatus model_version_status = 1
MetadataRequest:      ModelSpec model_spec = 1; repeated string metadata_field = 2
MetadataResponse:     ModelSpec model_spec = 1; map Any metadata = 2
Any:                  string type_url = 1; bytes value = 2
TensorInfo:           string name = 1; int32 dtype = 2; TensorShape tensor_shape = 3
SignatureDef:         map TensorInfo inputs = 1; map TensorInfo outputs = 2; string method_name = 3
SignatureDefMap:      map SignatureDef signature_def = 1
"""
"""Enumerations are int32 here, which is the same on the wire; a map's key is always a string."""

_FIELD = re.compile(r"(repeated |map |)(\w+) (\w+) = (\d+)")
_STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
_DTYPES = {DT_FLOAT: "DT_FLOAT", DT_STRING: "DT_STRING"}
_SCALARS = {
    "int64": FieldDescriptorProto.TYPE_INT64,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "float": FieldDescriptorProto.TYPE_FLOAT,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "string": FieldDescriptorProto.TYPE_STRING,
}
_PACKAGE = "specimen.tensorflow_serving"


def _classes() -> Mapping[str, Any]:
    """Message class by name."""
    file = FileDescriptorProto(name="tensorflow_serving.proto", package=_PACKAGE, syntax="proto3")
    declared = re.sub(r"\n +", "; ", _MESSAGES).strip().splitlines()
    for name, _, fields in (line.partition(":") for line in declared):
        message = file.message_type.add(name=name)
        for field in fields.split(";"):
            ((kind, type_, field_name, number),) = _FIELD.findall(field)
            _declare(message, kind, type_, field_name, int(number))
    pool = DescriptorPool()
    pool.Add(file)
    return {m.name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{m.name}")) for m in file.message_type}


def _declare(message: DescriptorProto, kind: str, type_: str, name: str, number: int) -> None:
    label = FieldDescriptorProto.LABEL_REPEATED if kind else FieldDescriptorProto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    if kind == "map ":
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _declare(entry, "", "string", "key", 1)
        _declare(entry, "", type_, "value", 2)
        type_ = f"{message.name}.{entry.name}"
    if type_ in _SCALARS:
        field.type = _SCALARS[type_]
    else:
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{type_}"


_CLASSES = _classes()


def predict_request(model: ServedModel, pixels: Pixels) -> bytes:
    """A PredictRequest for one picture: 0.15 MB as bytes, 0.6 MB as floats."""
    request = _request(model.name, int(model.version), model.signature)
    request.output_filter.append(model.output)
    tensor = request.inputs[model.input]
    if model.encoding == "bytes":
        _set(tensor, DT_STRING, (1,))
        tensor.string_val.append(pixels.tobytes())
    else:
        _set(tensor, DT_FLOAT, (1, *pixels.shape))
        tensor.tensor_content = channel_values(*model.input_range)[pixels].tobytes()
    return bytes(request.SerializeToString())


def probabilities(model: ServedModel, answer: bytes) -> Probabilities:
    """The one row of a PredictResponse.

    Raises:
        BadAnswerError: no such message, another version, not one row, or no probabilities.
    """
    response = _parsed("PredictResponse", answer)
    served = response.model_spec.version.value
    if served != int(model.version):
        raise BadAnswerError(f"version {served} answered, not {model.version}")
    if model.output not in response.outputs:
        raise BadAnswerError(f"no output {model.output} in the answer")
    values = _floats(response.outputs[model.output])
    if values.ndim == 0 or len(values) != 1:
        raise BadAnswerError(f"the answer has shape {values.shape} for one picture")
    return checked(model, values[0])


def describe_request(name: str, version: int, input_name: str) -> bytes:
    """A PredictRequest that asks a model to describe itself."""
    request = _request(name, version, DESCRIBE)
    _set(request.inputs[input_name], DT_STRING, (1,))
    request.inputs[input_name].string_val.append(b"")
    return bytes(request.SerializeToString())


def description_text(answer: bytes) -> bytes:
    """The JSON document inside the answer of `describe`.

    Raises:
        BadAnswerError: the answer holds no text.
    """
    outputs = list(_parsed("PredictResponse", answer).outputs.values())
    if len(outputs) != 1 or outputs[0].dtype != DT_STRING or _shape(outputs[0].tensor_shape) != (1,):
        raise BadAnswerError("describe did not answer with a text")
    return _text(outputs[0])


def status_request(name: str) -> bytes:
    """A GetModelStatusRequest for all versions."""
    request = _CLASSES["StatusRequest"]()
    request.model_spec.name = name
    return bytes(request.SerializeToString())


def states(answer: bytes) -> dict[int, VersionStatus]:
    """Version -> status, from a GetModelStatusResponse."""
    listed = _parsed("StatusResponse", answer).model_version_status
    return {
        int(told.version): VersionStatus(
            _STATES.get(told.state, "UNKNOWN"),
            (told.status.error_message or "unknown reason") if told.status.error_code else "",
        )
        for told in listed
    }


def metadata_request(name: str, version: int) -> bytes:
    """A GetModelMetadataRequest for the signatures."""
    request = _CLASSES["MetadataRequest"](metadata_field=[SIGNATURE_DEF])
    request.model_spec.name, request.model_spec.version.value = name, version
    return bytes(request.SerializeToString())


def signatures(answer: bytes) -> dict[str, Signature]:
    """Signatures by name, from a GetModelMetadataResponse.

    Raises:
        BadAnswerError: it holds none.
    """
    metadata = _parsed("MetadataResponse", answer).metadata
    if SIGNATURE_DEF not in metadata:
        raise BadAnswerError("the metadata is not as TensorFlow Serving writes it")
    listed = _parsed("SignatureDefMap", metadata[SIGNATURE_DEF].value).signature_def
    return {name: Signature(_tensors(s.inputs), _tensors(s.outputs)) for name, s in listed.items()}


def _request(name: str, version: int, signature: str) -> Any:
    request = _CLASSES["PredictRequest"]()
    spec = request.model_spec
    spec.name, spec.version.value, spec.signature_name = name, version, signature
    return request


def _set(tensor: Any, dtype: int, shape: tuple[int, ...]) -> None:
    tensor.dtype = dtype
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)


def _parsed(kind: str, answer: bytes) -> Any:
    try:
        return _CLASSES[kind].FromString(answer)
    except DecodeError as cause:
        raise BadAnswerError(f"the answer is no {kind}") from cause


def _floats(tensor: Any) -> NDArray[np.float32]:
    if tensor.dtype != DT_FLOAT:
        raise BadAnswerError(f"the answer is of type {tensor.dtype}, not floats")
    content = tensor.tensor_content
    try:
        values = np.frombuffer(content, "<f4") if content else np.array(tensor.float_val, np.float32)
        return values.astype(np.float32, copy=False).reshape(_shape(tensor.tensor_shape) or ())
    except ValueError as cause:
        raise BadAnswerError("the answer has not the values that its shape announces") from cause


def _text(tensor: Any) -> bytes:
    """Its one string: a value; or length and bytes, with --enable_serialization_as_tensor_content."""
    if len(tensor.string_val) == 1:
        return bytes(tensor.string_val[0])
    length, at = 0, 0
    for at, byte in enumerate(tensor.tensor_content[:10]):
        length |= (byte & 0x7F) << 7 * at
        if byte < 0x80:
            break
    text = bytes(tensor.tensor_content[at + 1 :])
    if len(text) != length:
        raise BadAnswerError("describe did not answer with a text")
    return text


def _tensors(listed: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        name: Tensor(_DTYPES.get(info.dtype, f"DT_{info.dtype}"), _shape(info.tensor_shape))
        for name, info in listed.items()
    }


def _shape(told: Any) -> tuple[int, ...] | None:
    return None if told.unknown_rank else tuple(int(dim.size) for dim in told.dim)
