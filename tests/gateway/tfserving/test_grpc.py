"""What a gRPC server, or another server at its port, may do to a call, and which error that becomes."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import psutil
import pytest

from gateway.failures import (
    BadAnswerError,
    ConnectionLostError,
    ReplicaBusyError,
    ReplicaError,
    ReplicaFailedError,
    ReplicaGaveUpError,
    ReplicaRejectedError,
    ReplicaUnreachableError,
    VersionGoneError,
)
from gateway.tfserving import VersionStatus
from gateway.tfserving import grpc as client_module
from gateway.tfserving.grpc import GrpcClient
from gateway.tfserving.rest import MAX_REPLY_BYTES, RestClient
from protocol.tensorflow_serving_pb2 import GetModelStatusResponse, ModelVersionStatus
from tests.gateway.tfserving.test_protobuf import MODEL, PIXEL, answer
from tests.serving.servers import wait_until

Method = Callable[[bytes, grpc.ServicerContext], bytes]
SERVICES = {"PredictionService": ("Predict", "GetModelMetadata"), "ModelService": ("GetModelStatus",)}
AVAILABLE = GetModelStatusResponse(
    model_version_status=[ModelVersionStatus(version=1, state=ModelVersionStatus.AVAILABLE)]
).SerializeToString()
PATIENCE_S = 20


@contextmanager
def serving(method: Method, port: int = 0) -> Iterator[str]:
    """A server that answers every call with `method`; yields its address. Its end cancels the calls in progress."""
    server = grpc.server(
        ThreadPoolExecutor(4),
        handlers=[
            grpc.method_handlers_generic_handler(
                f"tensorflow.serving.{service}",
                {name: grpc.unary_unary_rpc_method_handler(method) for name in names},
            )
            for service, names in SERVICES.items()
        ],
        options=[("grpc.so_reuseport", 0)],
    )
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:1/{port}"
    finally:
        server.stop(0).wait()


@pytest.fixture
async def client() -> AsyncIterator[GrpcClient]:
    async with GrpcClient(RestClient(), connect_timeout_s=PATIENCE_S) as client:
        yield client


async def failure(client: GrpcClient, address: str) -> ReplicaError:
    with pytest.raises(ReplicaError) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await client.status(address, "m")
    return caught.value


def refusing(code: grpc.StatusCode, details: str = "") -> Method:
    def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(code, details)
        raise AssertionError("abort raises")

    return refuse


QUEUE_FULL = "The batch scheduling queue to which this task was submitted is full; currently 10 batches enqueued"


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        ("INVALID_ARGUMENT", "", ReplicaRejectedError),
        ("FAILED_PRECONDITION", 'Serving signature key "s" not found.', ReplicaRejectedError),
        ("NOT_FOUND", "Servable not found for request: Specific(m, 1)", VersionGoneError),
        ("RESOURCE_EXHAUSTED", "", ReplicaBusyError),
        ("UNAVAILABLE", QUEUE_FULL, ReplicaBusyError),
        ("UNAVAILABLE", "", ConnectionLostError),
        ("CANCELLED", "", ConnectionLostError),
        ("DEADLINE_EXCEEDED", "", ReplicaGaveUpError),
        ("UNIMPLEMENTED", "", ReplicaFailedError),
        ("INTERNAL", "", ReplicaFailedError),
        ("DATA_LOSS", "", ReplicaFailedError),
    ],
)
async def test_a_status_becomes_the_error_it_means(
    client: GrpcClient, code: str, details: str, expected: type[ReplicaError]
) -> None:
    with serving(refusing(grpc.StatusCode[code], details)) as address:
        assert type(await failure(client, address)) is expected


async def test_states_and_probabilities_come_back(client: GrpcClient) -> None:
    with serving(lambda *_: AVAILABLE) as address:
        assert await client.status(address, "m") == {1: VersionStatus("AVAILABLE")}
    with serving(lambda *_: answer()) as address:
        assert (await client.predict(address, MODEL, PIXEL)).probabilities.tolist() == [0.25, 0.75]


async def test_a_port_without_a_listener_is_unreachable(client: GrpcClient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening
        for _ in range(3):
            error = await failure(client, f"127.0.0.1:1/{taken.getsockname()[1]}")
            assert isinstance(error, ReplicaUnreachableError)


async def test_a_connection_that_is_not_taken_up_is_unreachable_within_the_connect_timeout() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with GrpcClient(RestClient(), connect_timeout_s=0.3) as client:
            error = await failure(client, f"127.0.0.1:1/{silent.getsockname()[1]}")
    assert isinstance(error, ReplicaUnreachableError)


async def test_the_port_that_was_tried_is_named(client: GrpcClient) -> None:
    assert str(await failure(client, "127.0.0.1:8501/1")) == "no gRPC connection to 127.0.0.1:1"


async def test_a_name_without_an_address_is_unreachable(client: GrpcClient) -> None:
    assert isinstance(await failure(client, "no-such-host.invalid:1/1"), ReplicaUnreachableError)


async def test_a_server_of_another_protocol_is_unreachable(client: GrpcClient) -> None:
    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(10)
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(speak_http, "127.0.0.1", 0) as server:
        error = await failure(client, f"127.0.0.1:1/{server.sockets[0].getsockname()[1]}")
        assert isinstance(error, ReplicaUnreachableError)


async def test_a_connection_that_breaks_after_the_request_is_lost(client: GrpcClient) -> None:
    arrived, release = threading.Event(), threading.Event()

    def hang(*_: object) -> bytes:
        arrived.set()
        release.wait(PATIENCE_S)
        return b""

    with serving(hang) as address:
        call = asyncio.create_task(failure(client, address))
        await asyncio.to_thread(arrived.wait, PATIENCE_S)
    release.set()
    assert isinstance(await call, ConnectionLostError)


async def test_a_server_that_comes_back_is_found_again(client: GrpcClient) -> None:
    with serving(lambda *_: AVAILABLE) as address:
        assert await client.status(address, "m")
    assert isinstance(await failure(client, address), ReplicaUnreachableError)
    with serving(lambda *_: AVAILABLE, int(address.partition("/")[2])):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(ReplicaUnreachableError):
                    await client.status(address, "m")
                    break
                await asyncio.sleep(0.02)


async def test_an_answer_beyond_the_limit_is_a_bad_one(client: GrpcClient) -> None:
    with serving(lambda *_: bytes(MAX_REPLY_BYTES + 1)) as address:
        assert isinstance(await failure(client, address), BadAnswerError)


@pytest.mark.parametrize("garbage", [b"\xff", b"<html>"])
async def test_an_answer_that_is_no_message_is_a_bad_one(client: GrpcClient, garbage: bytes) -> None:
    with serving(lambda *_: garbage) as address:
        assert isinstance(await failure(client, address), BadAnswerError)


async def test_the_time_limit_is_handed_on(client: GrpcClient) -> None:
    told: list[float] = []

    def note(_: bytes, context: grpc.ServicerContext) -> bytes:
        told.append(context.time_remaining())
        return answer()

    with serving(note) as address:
        await client.predict(address, MODEL, PIXEL, timeout_s=100)
    assert 0 < told[0] <= 110  # it travels in whole units, rounded up


async def test_the_server_learns_that_a_call_was_given_up(client: GrpcClient) -> None:
    arrived, over = threading.Event(), threading.Event()

    def hang(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(over.set)
        arrived.set()
        over.wait(PATIENCE_S)
        return b""

    with serving(hang) as address:
        call = asyncio.create_task(client.status(address, "m"))
        assert await asyncio.to_thread(arrived.wait, PATIENCE_S)
        call.cancel()
        assert await asyncio.to_thread(over.wait, PATIENCE_S)


async def test_a_thousand_given_up_calls_leave_the_client_working(client: GrpcClient) -> None:
    with serving(lambda *_: AVAILABLE) as address:
        for turns in range(1000):
            call = asyncio.create_task(client.status(address, "m"))
            for _ in range(turns % 10):  # given up at every stage
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        assert await client.status(address, "m") == {1: VersionStatus("AVAILABLE")}
        assert connections(address) == 1


def connections(address: str) -> int:
    """Of this process to that server."""
    port = int(address.partition("/")[2])
    return sum(bool(c.raddr) and c.raddr.port == port for c in psutil.Process().net_connections("tcp"))


async def test_the_channel_of_an_address_that_is_gone_is_closed(
    client: GrpcClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(lambda *_: AVAILABLE) as old, serving(lambda *_: AVAILABLE) as new:
        await client.status(old, "m")
        assert connections(old) == 1
        monkeypatch.setattr(client_module, "IDLE_S", 0)
        await client.status(new, "m")
        await asyncio.to_thread(wait_until, lambda: not connections(old))
        assert connections(new) == 1
        assert await client.status(old, "m") == {1: VersionStatus("AVAILABLE")}
