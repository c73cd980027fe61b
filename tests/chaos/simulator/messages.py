"""The gRPC messages that a simulated replica reads and writes, over the stand-in's protocol-buffer wire format. Pure.

Source of the field numbers: tensorflow_serving/apis/*.proto, tensorflow/core/framework/tensor.proto.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from serving.standin import protowire
from serving.standin.protowire import write_bytes, write_int

STATES = {"UNKNOWN": 0, "START": 10, "LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40, "END": 50}
DTYPES = {"DT_FLOAT": 1, "DT_STRING": 7}


class Predict(NamedTuple):
    """A PredictRequest, as far as it is looked at."""

    version: str
    signature: str
    values: Sequence[bytes]
    """Strings of its one input: a picture's pixels each."""


def read_version(message: bytes) -> str:
    """Which version a request is about."""
    (spec,) = protowire.messages(protowire.read(message), 1)
    (version,) = protowire.messages(spec, 2)
    return str(protowire.last_int(version, 1))


def read_predict(message: bytes) -> Predict:
    request = protowire.read(message)
    (spec,) = protowire.messages(request, 1)
    (tensor,) = protowire.map_items(request, 2).values()
    values = [value for value in protowire.read(tensor).get(8, []) if isinstance(value, bytes)]
    return Predict(read_version(message), protowire.text(spec, 3), values)


def floats(rows: Sequence[Sequence[float]], version: int) -> bytes:
    """A PredictResponse of probabilities."""
    values = [value for row in rows for value in row]
    shape = (len(rows), len(rows[0]) if rows else 0)
    content = write_bytes(5, struct.pack(f"<{len(values)}f", *values))
    return _predict_response("probabilities", _tensor("DT_FLOAT", shape) + content, version)


def text(document: str, version: int) -> bytes:
    """A PredictResponse of one string."""
    return _predict_response("text", _tensor("DT_STRING", (1,)) + write_bytes(8, document.encode()), version)


def _predict_response(output: str, tensor: bytes, version: int) -> bytes:
    return write_bytes(1, _entry(output, tensor)) + write_bytes(2, _spec(version))


def status(versions: Mapping[str, str]) -> bytes:
    """A GetModelStatusResponse, from states by version."""
    told = (write_int(1, int(version)) + write_int(2, STATES[state]) for version, state in versions.items())
    return b"".join(write_bytes(1, one) for one in told)


def metadata(signatures: Mapping[str, Any], version: int) -> bytes:
    """A GetModelMetadataResponse, from signatures as REST tells them."""
    listed = b"".join(write_bytes(1, _entry(name, _signature(one))) for name, one in signatures.items())
    packed = write_bytes(1, b"type.googleapis.com/tensorflow.serving.SignatureDefMap") + write_bytes(2, listed)
    return write_bytes(1, _spec(version)) + write_bytes(2, _entry("signature_def", packed))


def _signature(told: Mapping[str, Any]) -> bytes:
    inputs = (write_bytes(1, _entry(name, _info(tensor))) for name, tensor in told["inputs"].items())
    outputs = (write_bytes(2, _entry(name, _info(tensor))) for name, tensor in told["outputs"].items())
    return b"".join([*inputs, *outputs])


def _info(tensor: Mapping[str, Any]) -> bytes:
    shape = [int(dim["size"]) for dim in tensor["tensor_shape"]["dim"]]
    return write_bytes(1, b"x:0") + write_int(2, DTYPES[tensor["dtype"]]) + write_bytes(3, _shape(shape))


def _tensor(dtype: str, shape: Sequence[int]) -> bytes:
    return write_int(1, DTYPES[dtype]) + write_bytes(2, _shape(shape))


def _shape(sizes: Sequence[int]) -> bytes:
    return b"".join(write_bytes(2, write_int(1, size)) for size in sizes)


def _spec(version: int) -> bytes:
    return write_bytes(1, b"my_model") + write_bytes(2, write_int(1, version))


def _entry(key: str, value: bytes) -> bytes:
    return write_bytes(1, key.encode()) + write_bytes(2, value)
