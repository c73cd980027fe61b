"""Warm-up: the requests that a version brings along in assets.extra run before it is AVAILABLE.

The file is a TFRecord of tensorflow.serving.PredictionLog. Predict, classify and regress logs are run; others are
passed over.

Source: docs/tensorflow-serving.md, "Warm-up".
"""

from collections.abc import Iterator
from pathlib import Path

from serving.standin import protowire
from serving.standin.dtypes import STRING, Tensor
from serving.standin.errors import Code, StatusError
from serving.standin.examples import read_input
from serving.standin.protowire import Fields
from serving.standin.servable import Servable
from serving.standin.tensor_proto import read_tensor

_FILE = Path("assets.extra/tf_serving_warmup_requests")
_MOST_RECORDS = 1000

# Field numbers: tensorflow_serving/apis/prediction_log.proto, predict.proto, model.proto
_CLASSIFY_LOG, _REGRESS_LOG, _PREDICT_LOG = 2, 3, 6
_REQUEST = 1
_MODEL_SPEC, _INPUTS = 1, 2
_SIGNATURE_NAME = 3


def warm_up(servable: Servable, export: Path, iterations: int) -> None:
    """Does nothing where there is no such file.

    Raises StatusError: not TFRecord, too many records, or a request that fails.
    """
    path = export / _FILE
    if not path.is_file():
        return
    for count, record in enumerate(_records(path.read_bytes()), start=1):
        if count > _MOST_RECORDS:
            raise StatusError.invalid(f"Number of warmup records exceeds the maximum ({_MOST_RECORDS}) for {path}")
        for _ in range(max(1, iterations)):
            _replay(servable, protowire.read(record))


def _records(data: bytes) -> Iterator[bytes]:
    """TFRecord: length, its checksum, the data, its checksum. The one of the length tells files of another kind."""
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


def _replay(servable: Servable, entry: Fields) -> None:
    for log in protowire.messages(entry, _PREDICT_LOG):
        for request in protowire.messages(log, _REQUEST):
            signature = servable.signature(_signature_name(request))
            tensors = protowire.map_items(request, _INPUTS)
            if tensors.keys() != signature.inputs.keys():
                raise StatusError.invalid("The inputs of a warmup request are not those of its signature")
            servable.run(signature, {name: read_tensor(protowire.read(tensors[name])) for name in tensors})
    for number in (_CLASSIFY_LOG, _REGRESS_LOG):
        for log in protowire.messages(entry, number):
            for request in protowire.messages(log, _REQUEST):
                signature = servable.signature(_signature_name(request))
                if "inputs" not in signature.inputs:
                    raise StatusError.invalid("A warmup request has examples, but its signature takes none")
                examples = read_input(protowire.read(protowire.last_bytes(request, _INPUTS)))
                servable.run(signature, {"inputs": Tensor(STRING, (len(examples),), examples)})


def _signature_name(request: Fields) -> str:
    return protowire.text(protowire.read(protowire.last_bytes(request, _MODEL_SPEC)), _SIGNATURE_NAME)
