"""One request and its answer on a connection: uvicorn's cycle, which can also fail and be cancelled.

The body is handed on in the pieces in which it comes. uvicorn copies each of them twice on its way, which on twenty
uploads of some megabytes at once kept everybody else waiting.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn._types import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPRequestEvent,
    Scope,
)
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.errors import GatewayError


class Wire:
    """The transport as an exchange sees it: it writes, and in the end hangs up.

    The head of an answer waits for the body behind it: each write is a system call that wakes the client.
    """

    def __init__(self, transport: asyncio.Transport, hang_up: Callable[[], None]) -> None:
        self._transport = transport
        self._hang_up = hang_up
        self._head = b""
        self.head_is_next = False
        """What is written next is the head of an answer."""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """At once, or with what comes next."""
        if self.head_is_next:
            self._head, self.head_is_next = data, False
        elif self._head:
            self._transport.writelines((self._head, data))
            self._head = b""
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Nothing comes next."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        """After what was written."""
        self.flush()
        self._hang_up()


class Exchange(RequestResponseCycle):
    """What an application sees of one request."""

    failure: GatewayError | None = None
    refuse: Callable[[GatewayError], None]
    """Answer without the application."""
    transport: Wire  # type: ignore[assignment]  # as much of a transport as it uses

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pieces: list[bytes] = []
        self.waiting_bytes = 0
        """Of the body, for the application to take."""

    def take(self, piece: bytes) -> None:
        """A piece of the body has come."""
        self._pieces.append(piece)
        self.waiting_bytes += len(piece)
        self.message_event.set()

    def _taken(self) -> bytes:
        """All that waits, mostly one piece."""
        pieces, self._pieces, self.waiting_bytes = self._pieces, [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def fail(self, error: GatewayError) -> None:
        """The rest of the body will not come: whoever waits for it is told why, and answers with that."""
        self.failure = error
        self.keep_alive = False
        self.message_event.set()

    async def receive(self) -> ASGIReceiveEvent:
        """As ASGI has it.

        Raises:
            GatewayError: the body came too slowly, or broke off in a way that HTTP does not allow.
        """
        if self.failure is None:
            await self._news()
        if self.failure is not None:
            raise self.failure
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        message: HTTPRequestEvent = {"type": "http.request", "body": self._taken(), "more_body": self.more_body}
        return message

    async def send(self, message: ASGISendEvent) -> None:
        """As ASGI has it."""
        self.transport.head_is_next = message["type"] == "http.response.start"
        await super().send(message)

    async def _news(self) -> None:
        """Wait until something has come, or nothing will."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Let the application answer; when the client leaves, it is cancelled."""
        if self.failure is not None:
            return self.refuse(self.failure)

        async def cancellable(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                if not self.disconnected:
                    raise

        return await super().run_asgi(cancellable)
