"""What a real socket may do to a call, and which error that becomes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager

import pytest

from gateway.failures import (
    BadAnswerError,
    ConnectionLostError,
    ConnectionStaleError,
    NoDescriptorError,
    ReplicaError,
    ReplicaUnreachableError,
)
from gateway.tfserving import Call, VersionStatus
from gateway.tfserving.rest import MAX_REPLY_BYTES, RestClient
from tests.exhausted import no_descriptors

POST = Call("POST", "/v1/models/my_model:predict", {}, b"{}")
"""A POST: aiohttp repeats a GET by itself, but never a POST."""
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
STATUS = b'{"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}'


def reply(body: bytes, *, length: int | None = None) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % (len(body) if length is None else length)
        + body
    )


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    """A server that handles every connection with `handler`; the end of the block closes it and its connections."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def client() -> AsyncIterator[RestClient]:
    async with RestClient(connect_timeout_s=10) as client:
        yield client


async def test_connections_are_kept_and_used_again(client: RestClient) -> None:
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(reply(STATUS))

    async with listening(handler) as address:
        for _ in range(5):
            assert await client.status(address, "my_model") == {1: VersionStatus("AVAILABLE")}
    assert connections == 1


async def test_a_port_without_a_listener_is_unreachable(client: RestClient) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError

    async with listening(never) as address:
        pass
    with pytest.raises(ReplicaUnreachableError):
        await client.status(address, "my_model")


async def test_a_connection_that_is_not_taken_up_is_unreachable_within_the_connect_timeout() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):  # fill the backlog: the kernel drops every further SYN
            knocking = stack.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(listener.getsockname())
        async with asyncio.timeout(30), RestClient(connect_timeout_s=0.2) as client:
            with pytest.raises(ReplicaUnreachableError):
                await client.status(f"127.0.0.1:{listener.getsockname()[1]}", "my_model")


async def closes_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def breaks_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(reply(STATUS[:20], length=len(STATUS)))


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()


async def speaks_no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")


@pytest.mark.parametrize("handler", [closes_at_once, breaks_off, resets, speaks_no_http])
async def test_a_connection_that_breaks_after_the_request_is_lost(client: RestClient, handler: Handler) -> None:
    async with listening(handler) as address:
        with pytest.raises(ConnectionLostError):
            await client.forward(address, Call("POST", "/v1/models/my_model:predict", {}, b"{}"))


async def test_a_kept_connection_that_was_closed_is_stale_and_the_next_call_gets_a_new_one(client: RestClient) -> None:
    """The server takes the second request, too, and only then closes: as when its close crosses the request."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(STATUS))
        await reader.readuntil(b"\r\n\r\n")

    async with listening(once) as address:
        await client.forward(address, POST)
        with pytest.raises(ConnectionStaleError) as failure:
            await client.forward(address, POST)
        assert failure.value.free
        assert not failure.value.counts
        assert (await client.forward(address, POST)).status == 200


async def test_after_a_stale_connection_kept_ones_are_not_used_for_a_while(client: RestClient) -> None:
    served: list[int] = []
    """Answers on each connection."""

    async def keeps_all_but_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(0)
        number = len(served)
        while await reader.readuntil(b"\r\n\r\n") and not (number == 1 and served[0] == 1):
            served[number - 1] += 1
            writer.write(reply(STATUS))

    async with listening(keeps_all_but_the_first) as address:
        await client.forward(address, POST)
        with pytest.raises(ConnectionStaleError):
            await client.forward(address, POST)
        for _ in range(3):
            await client.forward(address, POST)
    assert served == [1, 1, 1, 1]


async def test_a_fresh_connection_that_breaks_is_not_stale(client: RestClient) -> None:
    async with listening(closes_at_once) as address:
        for _ in range(3):
            with pytest.raises(ConnectionLostError) as failure:
                await client.forward(address, POST)
            assert not isinstance(failure.value, ConnectionStaleError)


async def test_a_kept_connection_that_breaks_in_the_middle_of_an_answer_is_not_stale(client: RestClient) -> None:
    async def then_half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(STATUS))
        await breaks_off(reader, writer)

    async with listening(then_half) as address:
        await client.forward(address, POST)
        with pytest.raises(ConnectionLostError) as failure:
            await client.forward(address, POST)
        assert not isinstance(failure.value, ConnectionStaleError)


async def test_reading_stops_at_the_limit_of_an_answer(client: RestClient) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()

    async with listening(endless) as address:
        with pytest.raises(BadAnswerError, match=str(MAX_REPLY_BYTES)):
            await client.status(address, "my_model")


async def test_ten_thousand_given_up_calls_leave_the_client_working(client: RestClient) -> None:
    slow = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            await slow.wait()
            writer.write(reply(STATUS))

    async with listening(handler) as address:
        for turn in range(500):
            calls = [asyncio.ensure_future(client.status(address, "my_model")) for _ in range(20)]
            for _ in range(turn % 4):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        slow.set()
        assert await client.status(address, "my_model") == {1: VersionStatus("AVAILABLE")}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"model_version_status": [{}]}',
        b'{"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": [1]}]}',
        b"<html>",
    ],
)
async def test_a_status_that_is_none_is_a_bad_answer(client: RestClient, body: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(body))

    async with listening(handler) as address:
        for ask in (client.status(address, "m"), client.signatures(address, "m", 1), client.describe(address, "m", 1)):
            with pytest.raises(ReplicaError):
                await ask


async def test_without_a_free_descriptor_the_failure_is_not_the_replicas(client: RestClient) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(STATUS))

    async with listening(handler) as address:
        with no_descriptors(), pytest.raises(NoDescriptorError):
            await client.status(address, "my_model")
        assert await client.status(address, "my_model") == {1: VersionStatus("AVAILABLE")}
