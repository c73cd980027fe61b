"""One connection of the simulated replica: requests in, answers and faults out."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol, cast

from tests.chaos.simulator.faults import After, Early, Sent, early_reply

NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Request:
    """The parts of a request that a model server reads."""

    method: str
    path: str
    body: bytes


class Replica(Protocol):
    """The replica, as its connections use it."""

    connections: int

    def strikes(self, fault: Early) -> bool:
        """Whether this fault strikes now."""

    def answer(self, request: Request) -> Awaitable[Sent]:
        """Do the work; return what to send."""

    def idle_s(self) -> float | None:
        """How long this connection may lie idle now; None: for ever."""


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time. As in TensorFlow Serving, work goes on after its client left."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._received = bytearray()
        self._used = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection; a fault may end it at once."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by behaviour only
        self._replica.connections += 1
        if self._replica.strikes("reset on accept"):
            self._end("reset")

    def pause_writing(self) -> None:
        """The gateway reads more slowly than we send."""
        self._flowing.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._flowing.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake the task that waits to send, so that it finds the connection closed."""
        self._flowing.set()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; answer once it is whole, unless a fault strikes first."""
        if self._idle is not None:
            self._idle.cancel()
        first = not self._received
        self._received += data
        if first and data.startswith(b"POST") and self._refuses():
            return
        if (request := self._take()) is not None:
            self._task = asyncio.create_task(self._answer(request))

    def _refuses(self) -> bool:
        """Whether a fault strikes before the request is complete; if so, let it."""
        strikes = self._replica.strikes
        if strikes("reset on the first bytes") or (self._used and strikes("reset on reuse")):
            self._end("reset")
        elif strikes("hang"):
            self._transport.pause_reading()
        elif strikes("early reply"):
            sent = early_reply()
            self._transport.writelines(sent.pieces)
            self._end(sent.after)
        else:
            return False
        return True

    def _take(self) -> Request | None:
        """The request, once it is complete."""
        head, found, body = bytes(self._received).partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return None
        self._received.clear()
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        return Request(method, path, body)

    async def _answer(self, request: Request) -> None:
        sent = await self._replica.answer(request)
        first = True
        for piece in sent.pieces:
            if not first:
                await asyncio.sleep(sent.pause_s)
            await self._flowing.wait()
            if self._transport.is_closing():
                return
            self._transport.write(piece)
            first = False
        self._used = True
        self._end(sent.after)

    def _end(self, after: After) -> None:
        if after == "reset":
            with contextlib.suppress(OSError):
                raw: socket.socket = self._transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            self._transport.abort()
        elif after == "close":
            self._transport.close()
        elif (idle_s := self._replica.idle_s()) is not None:
            self._idle = asyncio.get_running_loop().call_later(idle_s, self._transport.close)


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0
