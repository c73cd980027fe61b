"""The gRPC behaviour that is not recorded: limits, flags and the end of the process."""

import re
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from protocol.tensorflow_serving_pb2 import (
    DT_FLOAT,
    DT_INT32,
    DataType,
    GetModelStatusRequest,
    HealthCheckRequest,
    HealthCheckResponse,
    ModelSpec,
    PredictRequest,
    PredictResponse,
    TensorProto,
    TensorShapeProto,
)
from tests.contract.recorded import ask
from tests.serving.graphs import write_saved_model
from tests.serving.servers import PATIENCE_S, Server, running, start, wait_until

pytestmark = pytest.mark.slow

PREDICT = "tensorflow.serving.PredictionService/Predict"
HEALTH = "grpc.health.v1.Health/Check"
MONITORED = b"GET /monitoring/prometheus/metrics HTTP/1.1\r\n\r\n"


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Server]:
    write_saved_model(folder / "m/1", add=1)
    with running(folder, "--model_name=m", f"--model_base_path={folder / 'm'}", *flags) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with all flags that do not change each other's answers."""
    folder = tmp_path_factory.mktemp("grpc")
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }")
    with serving(
        folder,
        "--enable_grpc_healthcheck_service",
        "--enable_serialization_as_tensor_content",
        f"--grpc_socket_path={folder / 'grpc.sock'}",
        "--grpc_channel_arguments=grpc.max_concurrent_streams=100",
        f"--monitoring_config_file={folder / 'monitoring.config'}",
    ) as server:
        yield server


def request(kind: DataType, name: str, content: bytes, *, signature: str = "", label: str = "") -> bytes:
    """A PredictRequest for model m with one input of one element."""
    spec = ModelSpec(name="m", signature_name=signature, version_label=label or None)
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=kind, tensor_shape=shape, tensor_content=content)
    return PredictRequest(model_spec=spec, inputs={name: tensor}).SerializeToString()


def slow(size: int) -> bytes:
    return request(DT_INT32, "n", struct.pack("<i", size), signature="slow")


HALF_OF_ONE_AND_ONE = request(DT_FLOAT, "x", struct.pack("<f", 1))


def call(server: Server, method: str, message: bytes, *, target: str = "", timeout: float | None = PATIENCE_S) -> bytes:
    with grpc.insecure_channel(target or f"127.0.0.1:{server.grpc_port}") as channel:
        answer: bytes = channel.unary_unary(f"/{method}")(message, timeout=timeout)
        return answer


def refusal(server: Server, method: str, message: bytes, **options: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(server, method, message, **options)
    failure: Any = caught.value
    return failure.code().name, failure.details()


def test_numbers_of_an_answer_come_in_one_piece_where_the_flag_asks_for_it(server: Server) -> None:
    outputs = PredictResponse.FromString(call(server, PREDICT, HALF_OF_ONE_AND_ONE)).outputs
    assert outputs["y"].tensor_content == struct.pack("<f", 1.5)
    assert not outputs["y"].float_val


def test_a_unix_socket_serves_as_the_port_does(server: Server) -> None:
    target = f"unix:{server.log.parent / 'grpc.sock'}"
    assert call(server, PREDICT, HALF_OF_ONE_AND_ONE, target=target)


@pytest.mark.parametrize("timeout", [None, 1e9])
def test_a_call_may_have_no_deadline_or_one_beyond_all_limits(server: Server, timeout: float | None) -> None:
    assert call(server, PREDICT, HALF_OF_ONE_AND_ONE, timeout=timeout)


def test_the_health_check_knows_the_services(server: Server) -> None:
    serving = HealthCheckResponse(status=HealthCheckResponse.SERVING).SerializeToString()
    assert call(server, HEALTH, b"") == serving == b"\x08\x01"
    assert call(server, HEALTH, HealthCheckRequest(service="PredictionService").SerializeToString()) == serving
    assert refusal(server, HEALTH, HealthCheckRequest(service="other").SerializeToString())[0] == "NOT_FOUND"


def test_a_long_message_is_cut(server: Server) -> None:
    code, details = refusal(server, PREDICT, request(DT_FLOAT, "x", bytes(4), label="L" * 3000))
    text = "Unrecognized servable version label: " + "L" * 3000
    assert (code, details) == ("INVALID_ARGUMENT", text[:1024] + "...TRUNCATED")


@pytest.mark.parametrize("message", [b"\xff", b"\x0a\x01\xff"])
def test_what_is_no_message_is_refused(server: Server, message: bytes) -> None:
    assert refusal(server, PREDICT, message)[0] == "DATA_LOSS"


def test_a_run_ends_with_the_deadline_of_the_call_and_is_counted_so(server: Server) -> None:
    counted = re.compile(rb'request_count\{model_name="m",status="DEADLINE_EXCEEDED"\}')

    def ended_and_was_counted() -> bool:
        """Each poll sends a new call: on a busy machine the deadline may pass before it arrives."""
        code, _ = refusal(server, PREDICT, slow(3000), timeout=0.3)
        assert code in ("DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")
        return counted.search(ask(server.port, MONITORED).body) is not None

    wait_until(ended_and_was_counted)


def test_calls_beyond_the_threads_are_turned_away(tmp_path: Path) -> None:
    with serving(tmp_path, "--grpc_max_threads=1") as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            predict = channel.unary_unary(f"/{PREDICT}")
            first, second = (predict.future(slow(1500), timeout=PATIENCE_S) for _ in range(2))
            codes = {call.code().name for call in (first, second)}
        assert codes == {"OK", "RESOURCE_EXHAUSTED"}
        assert refusal(server, HEALTH, b"")[0] == "UNIMPLEMENTED"


def test_a_call_under_way_is_finished_after_sigterm(tmp_path: Path) -> None:
    with serving(tmp_path) as server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        answer = channel.unary_unary(f"/{PREDICT}").future(slow(1500), timeout=PATIENCE_S)
        status = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
        assert status(
            GetModelStatusRequest(model_spec=ModelSpec(name="m")).SerializeToString(), timeout=PATIENCE_S
        )  # the call before it has arrived, too
        server.process.send_signal(signal.SIGTERM)
        assert answer.result()
        assert server.process.wait(PATIENCE_S) == 0


def test_a_port_that_is_taken_ends_the_process(server: Server, tmp_path: Path) -> None:
    flags = ("--model_name=m", f"--model_base_path={server.log.parent / 'm'}", f"--port={server.grpc_port}")
    second = start(tmp_path, *flags)
    assert second.process.wait(PATIENCE_S) == 255
    assert "cannot be used for gRPC" in second.log.read_text()
