"""Connections on a fake transport, with an application and a connection limiter behind them."""

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway.http.connection import Connection
from gateway.http.connections import ConnectionLimiter, Limited
from gateway.http.exchange import Turns
from gateway.http.lifecycle import Lifecycle
from gateway.settings import Settings

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"


class Transport(asyncio.Transport):
    """Keeps what is written; accepts no more than the test allows."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.writes = 0
        self.kept: list[Any] | None = None
        """Where the test sets a list: what was written, piece by piece and not copied."""
        self.unsent = self.descriptor = 0
        self.closed = self.aborted = self.half_closed = self.paused = False

    def write(self, data: Any) -> None:
        self.written += data
        self.writes += 1

    def writelines(self, pieces: Any) -> None:
        pieces = list(pieces)
        if self.kept is not None:
            self.kept += pieces
        self.write(b"".join(pieces))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" and self.descriptor else default

    def fileno(self) -> int:
        return self.descriptor

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 8080

    getpeername = getsockname

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    @property
    def statuses(self) -> list[int]:
        return [int(part[:3]) for part in self.written.split(b"HTTP/1.1 ")[1:]]


class App:
    """Answers once it has read the body, unless the test makes it wait."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.reads = True
        self.ended = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            message: Message = {"more_body": self.reads}
            while message.get("more_body"):
                message = await receive()
            await self.go_on.wait()
        except BaseException as failure:
            self.ended = type(failure).__name__
            if isinstance(failure, Exception):
                await self._answer(send, b"408")
                return
            raise
        await self._answer(send, b"ok")

    async def _answer(self, send: Send, body: bytes) -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 408 if body == b"408" else 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Bench:
    """A connection limiter, an application, and connections to them."""

    def __init__(self, app: ASGIApp | None = None, **settings: Any) -> None:
        self.lifecycle = Lifecycle()
        turns: Turns[Limited] = Turns(lambda scope: dict(scope["headers"]).get(b"x-api-key", b"").decode())
        self.limiter = ConnectionLimiter(Settings(upstream="a:1", **settings), turns, self.lifecycle)
        self.app = App()
        self.config = Config(app or self.app, loop="none", ws="none", log_config=None, lifespan="off")

    def connect(self, *, descriptor: int = 0) -> tuple[Connection, Transport]:
        connection = Connection(self.config, ServerState(), {}, asyncio.get_running_loop(), limiter=self.limiter)
        transport = Transport()
        transport.descriptor = descriptor
        connection.connection_made(transport)
        return connection, transport


async def turns() -> None:
    """Let every task that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


def after(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
