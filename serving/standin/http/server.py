"""HTTP connections on asyncio. Each handles one request at a time; `message` parses and formats."""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable
from typing import cast

from serving.standin.http.message import Await, HttpError, Request, RequestReader, Response, html_error, write_head

log = logging.getLogger(__name__)

Reply = Callable[[Response], None]
Waits = Callable[[], bool]
Answer = Callable[[Request, Reply, Waits], None]
"""Handles a request and calls the second argument with the response, in the event loop, at once or later. The third,
which any thread may call, says whether the client still waits for the response."""

_BACKLOG = 128
_LINGER_S = 1.0
"""How long a refused connection drops incoming bytes: closing at once would reset it and could lose the response."""
_HALF_OPEN_S = 1.0
"""How long a client that has closed its side counts as waiting. One that is gone for good looks the same."""
_UNREADABLE = Request("GET", "", (1, 1), {})


class Connection(asyncio.Protocol):
    def __init__(self, server: "HttpServer") -> None:
        self._server = server
        self._transport: asyncio.Transport
        self._reader = RequestReader()
        self._answering: Request | None = None
        self._reading_on = False
        self._paused = False
        self._ended_at: float | None = None
        self._closing = False
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = self._lost = True
        self._server.connection_lost(self)

    def data_received(self, data: bytes) -> None:
        if self._closing and not self._answering:
            return
        self._reader.feed(data)
        if self._answering and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._read_on()

    def eof_received(self) -> bool:
        """Keep the connection half open while a response is pending: the client may still read it."""
        self._ended_at = time.monotonic()
        return self._answering is not None

    def _waits(self) -> bool:
        """Whether the client still waits for the response; any thread may ask."""
        half_open = self._ended_at is None or time.monotonic() - self._ended_at < _HALF_OPEN_S
        return half_open and not self._lost

    def close_when_idle(self) -> None:
        self._closing = True
        if not self._answering:
            self._transport.close()

    def abort(self) -> None:
        self._closing = True
        self._transport.abort()

    def _read_on(self) -> None:
        """Handle the requests that have arrived. A response given at once calls this again, which then does nothing."""
        if self._reading_on:
            return
        self._reading_on = True
        while not self._answering and not self._closing:
            try:
                request = self._reader.next_request()
            except HttpError as error:
                self._refuse(error)
                break
            if request is Await.BYTES:
                if self._ended_at is not None:
                    self._transport.close()
                break
            if isinstance(request, Request):
                self._answering = request
                self._server.answer(request, self._reply, self._waits)
            else:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._reading_on = False

    def _reply(self, response: Response) -> None:
        request, self._answering = self._answering or _UNREADABLE, None
        if self._transport.is_closing():
            return
        self._closing |= response.closes or not request.keeps_open
        self._write(request, response)
        if self._closing:
            self._transport.close()
            return
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._read_on()

    def _refuse(self, error: HttpError) -> None:
        self._closing = True
        self._write(_UNREADABLE, html_error(error.status))
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_S, self._transport.close)

    def _write(self, request: Request, response: Response) -> None:
        head = write_head(response, request.version, keeps_open=not self._closing)
        self._transport.write(head if request.method == "HEAD" else head + response.body)


class HttpServer:
    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.connections: set[Connection] = set()
        self._server: asyncio.Server
        self._connection_closed = asyncio.Event()

    async def start(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), sock=listener, backlog=_BACKLOG)

    async def stop(self, grace_s: float) -> None:
        """Accept no more connections, and return when every request in progress has its response.

        After `grace_s` the connections that are left are cut: their clients do not read, or a run takes too long.
        """
        self._server.close()
        for connection in list(self.connections):
            connection.close_when_idle()
        try:
            async with asyncio.timeout(grace_s):
                await self._all_closed()
        except TimeoutError:
            log.warning("Closing %d connections after %g s", len(self.connections), grace_s)
            for connection in list(self.connections):
                connection.abort()
            await self._all_closed()

    async def _all_closed(self) -> None:
        while self.connections:
            self._connection_closed.clear()
            await self._connection_closed.wait()

    def connection_lost(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self._connection_closed.set()


def bind(host: str, port: int) -> socket.socket:
    """A bound socket. Clients cannot connect before `HttpServer.start` listens on it.

    Args:
        host: an address; empty for all IPv6 and IPv4 addresses, or all IPv4 addresses on a machine without IPv6.

    Raises:
        OSError: the port is in use, or this user may not bind it.
    """
    if host:
        return _bound(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)
    try:
        return _bound(socket.AF_INET6, host, port)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise
        return _bound(socket.AF_INET, host, port)


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listener = socket.socket(family)
    try:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
