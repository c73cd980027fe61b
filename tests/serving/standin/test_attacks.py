"""Requests that would end the process, fill the memory or keep the CPU busy, sent to a real process."""

import gzip
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from protocol.tensorflow_serving_pb2 import DT_FLOAT, ModelSpec, PredictRequest, TensorProto, TensorShapeProto
from tests.contract.recorded import Conversation, ask
from tests.serving import graphs
from tests.serving.servers import PATIENCE_S, Server, running, wait_until
from tests.wire_format import write_bytes, write_int

pytestmark = pytest.mark.slow

PICTURE = (8, 8, 3)
PREDICT = "/tensorflow.serving.PredictionService/Predict"
SHAPES = [
    *[(size,) * rank for rank in range(7) for size in (0, 1, 2)],
    *[(1, *PICTURE[:axis], size, *PICTURE[axis + 1 :]) for axis in range(3) for size in (0, 1, 5, 100)],
    PICTURE,
    (1, 1, *PICTURE),
    (1, *PICTURE, 1),
    (1, 150_528),
]
"""All that a picture's tensor may not be: other ranks, wrong sizes, nothing at all."""


def write_convolution(folder: Path) -> None:
    """A SavedModel as Keras exports it: nothing stands between its float input and the convolution."""
    strides = write_bytes(1, write_bytes(3, b"\x01\x01\x01\x01"))
    attributes = {"T": write_int(6, graphs.FLOAT), "strides": strides, "padding": write_bytes(2, b"VALID")}
    nodes = [
        graphs.node("x", "Placeholder", dtype=graphs.FLOAT),
        graphs.constant("kernel", 0.5, shape=(3, 3, 3, 4)),
        graphs.node_with("y", "Conv2D", ("x", "kernel"), attributes),
    ]
    picture = graphs.tensor("x:0", graphs.FLOAT, (-1, *PICTURE))
    graphs.write(folder, nodes, {"serving_default": graphs.signature({"x": picture}, {"y": graphs.tensor("y:0", 1)})})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("attacked")
    graphs.write_saved_model(folder / "m/1", add=1)
    write_convolution(folder / "picture/1")
    models = "".join(
        f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" }}'
        for name in ("m", "picture")
    )
    (folder / "models.config").write_text(f"model_config_list {{ {models} }}")
    with running(folder, f"--model_config_file={folder / 'models.config'}") as started:
        yield started


def over_grpc(server: Server, shape: tuple[int, ...]) -> str:
    """Name of the status."""
    dims = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])
    tensor = TensorProto(dtype=DT_FLOAT, tensor_shape=dims, float_val=[1.0])
    message = PredictRequest(model_spec=ModelSpec(name="picture"), inputs={"x": tensor}).SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.unary_unary(PREDICT).future(message, timeout=PATIENCE_S)
        return str(call.code().name)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_shape_ends_the_process(server: Server, shape: tuple[int, ...]) -> None:
    value = np.ones(shape).tolist()
    rows = [{"x": item} for item in value] if isinstance(value, list) else value
    bodies = ({"instances": value}, {"instances": rows}, {"inputs": value}, {"inputs": {"x": value}})
    assert {server.predict(body, model="picture")[0] for body in bodies} == {400}
    assert over_grpc(server, shape) == "INVALID_ARGUMENT"
    assert server.process.poll() is None


def test_the_right_shape_is_answered_and_a_wrong_one_explained(server: Server) -> None:
    pictures = np.ones((2, *PICTURE)).tolist()
    assert server.predict({"instances": pictures}, model="picture")[0] == 200
    assert over_grpc(server, (2, *PICTURE)) == "OK"
    expected = "input x: expected shape [-1, 8, 8, 3], -1 standing for any size, got [2]"
    assert server.predict({"instances": [1.0, 2.0]}, model="picture") == (400, {"error": expected})


def test_shapes_of_other_graphs_are_not_held(server: Server) -> None:
    assert server.predict({"instances": [[[1.0]]]})[1] == {"predictions": [[[1.5]]]}


def predict(body: bytes, *headers: bytes) -> bytes:
    head = [b"POST /v1/models/m:predict HTTP/1.1", b"Content-Length: %d" % len(body), *headers, b"", b""]
    return b"\r\n".join(head) + body


INSTANCES = b'{"instances":'
MEGABYTE = 1 << 20
BODIES = {
    "brackets": INSTANCES + b"[" * 60_000 + b"1" + b"]" * 60_000 + b"}",
    "megabytes of brackets": INSTANCES + b"[" * (5 * MEGABYTE),
    "objects": b'{"a":' * MEGABYTE,
    "objects in lists": b'[{"a":' * MEGABYTE,
    "empty lists": INSTANCES + b"[" + b"[]," * (4 * MEGABYTE) + b"1]}",
    "empty objects": INSTANCES + b"[" + b"{}," * (4 * MEGABYTE) + b"1]}",
    "base64 values": INSTANCES + b"[" + b'{"b64":"AAAA"},' * 200_000 + b"1]}",
    "strings": INSTANCES + b"[" + b'"a",' * MEGABYTE + b"1]}",
    "names": b'{"a":1,' + b'"a":1,' * MEGABYTE + b'"b":1}',
    "NaN": INSTANCES + b"[" + b"NaN," * MEGABYTE + b"1]}",
    "digits": INSTANCES + b"[" + b"1" * (2 * MEGABYTE) + b"]}",
    "digits of an exponent": INSTANCES + b"[1e" + b"1" * (2 * MEGABYTE) + b"]}",
    "1e999": INSTANCES + b"[1e999]}",
    "numbers and a text": INSTANCES + b"[" + b"1," * MEGABYTE + b'"a"]}',
    "numbers and a list": INSTANCES + b"[" + b"1," * MEGABYTE + b"[1]]}",
    "escapes": INSTANCES + b'"' + b"\\n" * (4 * MEGABYTE) + b'"}',
    "long name": b'{"instances":[{"' + b"\\n" * MEGABYTE + b'":1}]}',
    "no UTF-8": INSTANCES + b'["' + b"\xff" * (16 * MEGABYTE) + b'"]}',
    "NULs": bytes(MEGABYTE),
    "cut off": INSTANCES + b"[" + b"0.123," * MEGABYTE,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_no_body_ends_the_process(server: Server, body: bytes) -> None:
    assert ask(server.port, predict(body)).status == 400
    assert server.process.poll() is None


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(INSTANCES + b"[" * 4_000_000),
        gzip.compress(b"[]," * (20 * MEGABYTE)),
        gzip.compress(gzip.compress(bytes(50 * MEGABYTE))),
    ],
    ids=["brackets", "empty lists", "gzip in gzip"],
)
def test_no_packed_body_is_unpacked_beyond_its_limit(server: Server, body: bytes) -> None:
    assert ask(server.port, predict(body, b"Content-Encoding: gzip")).status == 400


@pytest.mark.parametrize("shape", [(1,) * 300, (1 << 40, 1 << 40, 0), (1 << 40, 1 << 40), (1 << 62,), (-1,)], ids=str)
def test_no_message_asks_for_a_tensor_that_tensorflow_cannot_hold(server: Server, shape: tuple[int, ...]) -> None:
    assert over_grpc(server, shape) == "INVALID_ARGUMENT"
    assert server.process.poll() is None


@pytest.mark.parametrize("flag", ["--rest_api_num_threads=1", "--tensorflow_inter_op_parallelism=1"])
def test_a_request_whose_caller_has_gone_is_not_begun(tmp_path: Path, flag: str) -> None:
    """It waits for the one worker, or for the one run, that another request keeps busy."""
    graphs.write_saved_model(tmp_path / "m/1", add=1)
    (tmp_path / "monitoring").write_text("prometheus_config { enable: true }")
    monitoring = f"--monitoring_config_file={tmp_path / 'monitoring'}"
    with (
        running(tmp_path, "--model_name=m", f"--model_base_path={tmp_path / 'm'}", monitoring, flag) as server,
        Conversation(server.port, timeout_s=PATIENCE_S) as busy,
    ):
        begin(busy, b'{"signature_name": "slow", "inputs": [3000]}')
        with Conversation(server.port) as gone:
            begin(gone, b'{"instances": [1.0]}')
            gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert busy.answer().status == 200
        wait_until(lambda: metric(server, 'request_count{model_name="m",status="CANCELLED"}') == 1)
        assert metric(server, 'runtime_latency_count{model_name="m",API="Predict",runtime="TF1"}') == 1


def begin(conversation: Conversation, body: bytes) -> None:
    """Return when the request has arrived: it was sent together with one that has its response."""
    conversation.socket.sendall(b"GET /v1/models/m HTTP/1.1\r\n\r\n" + predict(body))
    assert conversation.answer().status == 200


def metric(server: Server, name: str) -> float:
    text = ask(server.port, b"GET /monitoring/prometheus/metrics HTTP/1.1\r\n\r\n").body.decode()
    found = re.search(rf"{re.escape(name)} (\S+)", text)
    return float(found[1]) if found else 0.0
