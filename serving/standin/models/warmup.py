"""Warm-up: run the requests stored in a version's assets.extra before it becomes AVAILABLE.

The file is a TFRecord of tensorflow.serving.PredictionLog. Predict, classify and regress requests are run; others are
skipped (docs/tensorflow-serving.md, "Warm-up").
"""

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from protocol.tensorflow_serving_pb2 import ClassificationRequest, PredictionLog, PredictRequest, RegressionRequest
from serving.standin.errors import Code, StatusError
from serving.standin.models.servable import Servable
from serving.standin.tensors.dtypes import STRING, Tensor
from serving.standin.tensors.examples import read_input
from serving.standin.tensors.tensor_proto import read_tensor

_FILE = Path("assets.extra/tf_serving_warmup_requests")
_MOST_RECORDS = 1000


def warm_up(servable: Servable, export: Path, iterations: int) -> None:
    """Run each stored request `iterations` times, at least once. Without the file, do nothing.

    Raises:
        StatusError: the file is not a TFRecord or has too many records, or a request fails.
    """
    path = export / _FILE
    if not path.is_file():
        return
    for count, record in enumerate(_records(path.read_bytes()), start=1):
        if count > _MOST_RECORDS:
            raise StatusError.invalid(f"Number of warmup records exceeds the maximum ({_MOST_RECORDS}) for {path}")
        for _ in range(max(1, iterations)):
            _replay(servable, _parsed(record))


def _records(data: bytes) -> Iterator[bytes]:
    """A TFRecord is length, its checksum, data, its checksum. The length's checksum detects other kinds of files."""
    at = 0
    while at < len(data):
        header, checksum = data[at : at + 8], data[at + 8 : at + 12]
        size = int.from_bytes(header, "little")
        if int.from_bytes(checksum, "little") != _masked_crc32c(header) or at + 16 + size > len(data):
            raise StatusError(
                Code.DATA_LOSS,
                f"corrupted record at {at}. Please verify your warmup data is in TFRecord format.",
            )
        yield data[at + 12 : at + 12 + size]
        at += 16 + size


def _masked_crc32c(data: bytes) -> int:
    crc = 0xFFFF_FFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F6_3B78 if crc & 1 else 0)
    crc ^= 0xFFFF_FFFF
    return ((crc >> 15 | crc << 17) + 0xA282_EAD8) & 0xFFFF_FFFF


def _parsed(record: bytes) -> PredictionLog:
    try:
        return PredictionLog.FromString(record)
    except DecodeError as cause:
        raise StatusError(Code.DATA_LOSS, "Failed to parse warmup record") from cause


def _replay(servable: Servable, log: PredictionLog) -> None:
    match log.WhichOneof("log_type"):
        case "predict_log":
            _predict(servable, log.predict_log.request)
        case "classify_log":
            _on_examples(servable, log.classify_log.request)
        case "regress_log":
            _on_examples(servable, log.regress_log.request)


def _predict(servable: Servable, request: PredictRequest) -> None:
    signature = servable.signature(request.model_spec.signature_name)
    if request.inputs.keys() != signature.inputs.keys():
        raise StatusError.invalid("The inputs of a warmup request are not those of its signature")
    servable.run(signature, {name: read_tensor(tensor) for name, tensor in request.inputs.items()})


def _on_examples(servable: Servable, request: ClassificationRequest | RegressionRequest) -> None:
    signature = servable.signature(request.model_spec.signature_name)
    if "inputs" not in signature.inputs:
        raise StatusError.invalid("A warmup request has examples, but its signature takes none")
    examples = read_input(request.input)
    servable.run(signature, {"inputs": Tensor(STRING, (len(examples),), examples)})
