"""The stand-in gives the recorded answers of the real server over gRPC, byte for byte.

Maps have no order on the wire, so their entries are sorted before they are compared.
"""

import base64
from collections.abc import Iterator

import grpc
import pytest

from tests import wire_format
from tests.contract.recorded import Pair, up_to_node
from tests.contract.test_conformance import recorded
from tests.serving.servers import Server

pytestmark = pytest.mark.slow

TIMEOUT_S = {"predict_deadline": 0.1}


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield channel


@pytest.mark.parametrize("pair", recorded("grpc.jsonl", ""))
def test_grpc_is_answered_as_by_the_real_server(channel: grpc.Channel, pair: Pair) -> None:
    call = channel.unary_unary(f"/tensorflow.serving.{pair['service']}/{pair['method']}")
    code, details, answer = asked(call, base64.b64decode(pair["request_b64"]), TIMEOUT_S.get(pair["name"], 30))
    assert (code, up_to_node(details)) == (pair["code"], up_to_node(pair.get("details", "")))
    assert in_order(answer, pair["method"]) == in_order(base64.b64decode(pair.get("response_b64", "")), pair["method"])


def asked(call: grpc.UnaryUnaryMultiCallable, message: bytes, timeout_s: float) -> tuple[str, str, bytes]:
    """Code, details and answer; no details with OK, no answer with an error."""
    try:
        return "OK", "", call(message, timeout=timeout_s)
    except grpc.RpcError as error:
        return error.code().name, error.details(), b""


def in_order(message: bytes, method: str) -> object:
    """The fields of an answer, the entries of its maps sorted."""
    fields = wire_format.read(message)
    if not fields or method != "GetModelMetadata":
        return {number: sorted(values, key=repr) for number, values in fields.items()}
    metadata = wire_format.read(wire_format.map_items(fields, 2)["signature_def"])
    signatures = wire_format.map_items(wire_format.read(wire_format.last_bytes(metadata, 2)), 1)
    return fields[1], metadata[1], {name: signature(value) for name, value in signatures.items()}


def signature(message: bytes) -> object:
    """A SignatureDef: inputs, outputs, method."""
    fields = wire_format.read(message)
    return wire_format.map_items(fields, 1), wire_format.map_items(fields, 2), fields[3]
