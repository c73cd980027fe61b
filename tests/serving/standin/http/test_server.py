"""How the server stops while clients read, or do not read, their responses."""

import asyncio
import socket
import struct

import pytest

from serving.standin.http import server as http_server
from serving.standin.http.message import Request, Response
from serving.standin.http.server import HttpServer, Reply, Waits, bind

BODY = bytes(64 << 20)
"""More than the buffers of both ends of a connection hold."""


def answer(_: Request, reply: Reply, __: Waits) -> None:
    reply(Response(200, BODY))


async def test_a_client_that_reads_nothing_does_not_keep_the_server_from_stopping() -> None:
    server = HttpServer(answer)
    listener = bind("127.0.0.1", 0)
    await server.start(listener)
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, listener.getsockname())
        await loop.sock_sendall(client, b"GET / HTTP/1.1\r\n\r\n")
        assert await loop.sock_recv(client, 4) == b"HTTP"
        async with asyncio.timeout(20):
            await server.stop(grace_s=0.1)
    assert not server.connections


async def test_a_client_that_reads_gets_its_whole_answer_before_the_server_stops() -> None:
    server = HttpServer(answer)
    listener = bind("127.0.0.1", 0)
    await server.start(listener)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    stopped = asyncio.create_task(server.stop(grace_s=60))
    assert len(await reader.read()) == len(BODY)
    writer.close()
    await writer.wait_closed()
    await stopped
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")


def asked_once() -> tuple[HttpServer, "asyncio.Future[tuple[Reply, Waits]]"]:
    """A server for one request, and what that request brings: how to answer it, and whether its client waits."""
    arrived: asyncio.Future[tuple[Reply, Waits]] = asyncio.get_running_loop().create_future()
    return HttpServer(lambda _, reply, waits: arrived.set_result((reply, waits))), arrived


@pytest.mark.parametrize("reset", [True, False])
async def test_a_client_that_closes_does_not_wait_any_more(monkeypatch: pytest.MonkeyPatch, *, reset: bool) -> None:
    monkeypatch.setattr(http_server, "_HALF_OPEN_S", 0.05)
    server, arrived = asked_once()
    listener = bind("127.0.0.1", 0)
    await server.start(listener)
    _, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    reply, waits = await arrived
    assert waits()
    if reset:
        client = writer.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
    async with asyncio.timeout(20):
        while waits():
            await asyncio.sleep(0.01)
    reply(Response(200))
    async with asyncio.timeout(20):
        await server.stop(grace_s=10)


async def test_a_client_that_closed_its_side_alone_waits_for_a_moment() -> None:
    server, arrived = asked_once()
    listener = bind("127.0.0.1", 0)
    await server.start(listener)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    writer.write_eof()
    reply, _ = await arrived
    reply(Response(200, b"late"))
    assert (await reader.read()).endswith(b"late")
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(20):
        await server.stop(grace_s=10)
