"""One request and its answer on a connection: uvicorn's cycle, which can also fail and be cancelled.

The body is passed to the application in the pieces in which it arrives. uvicorn copies each piece twice, which made
other requests wait while twenty uploads of some megabytes arrived.
"""

import asyncio
from collections import deque
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


class CoalescingTransport:
    """The transport as an exchange uses it. The head of an answer is written together with the body after it.

    Each write is a system call and wakes the client.
    """

    def __init__(self, transport: asyncio.Transport, hang_up: Callable[[], None]) -> None:
        self._transport = transport
        self._hang_up = hang_up
        self._head = b""
        self.head_is_next = False
        """The next write is the head of an answer."""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Write now, or, for a head, together with the next write."""
        if self.head_is_next:
            self._head, self.head_is_next = data, False
        elif self._head:
            self._transport.writelines((self._head, data))
            self._head = b""
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Write the head that is held back."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._hang_up()


AT_ONCE = 4
"""A cheap request takes 0.2 to 1 ms of the event loop; an upload passes some eight rounds of it."""


class Turns:
    """When requests begin: a few in each round of the event loop, and callers in turn.

    The event loop does what is ready in the order in which it became so. After a burst of some hundred cheap requests
    of one caller, each step of another's request would wait for all of them. So only AT_ONCE requests begin in a round.
    Further ones wait without a limit of time or number: each connection has at most one that waits.
    """

    def __init__(self, caller_of: Callable[[Any], str]) -> None:
        """`caller_of` names the caller of a request by its ASGI scope; it is asked only where requests wait."""
        self._caller_of = caller_of
        self._left = AT_ONCE
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """By caller, the one first whose turn is next."""
        self._in_round = False

    def begins(self) -> bool:
        """Whether a request begins now; otherwise it must `wait`."""
        if not self._left or self._waiting:
            return False
        self._left -= 1
        self._go_on()
        return True

    async def wait(self, scope: Any) -> None:
        """Wait for the turn of this request."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(self._caller_of(scope), deque()).append(turn)
        self._go_on()
        await turn

    def _go_on(self) -> None:
        if not self._in_round:
            self._in_round = True
            asyncio.get_running_loop().call_soon(self._round)

    def _round(self) -> None:
        self._left, self._in_round = AT_ONCE, False
        while self._left and self._waiting:
            caller = next(iter(self._waiting))
            turns = self._waiting.pop(caller)
            turn = turns.popleft()
            if turns:
                self._waiting[caller] = turns  # behind the others
            if not turn.done():  # else its client has left
                turn.set_result(None)
                self._left -= 1
        if self._waiting or self._left < AT_ONCE:
            self._go_on()


class Exchange(RequestResponseCycle):
    """One request as the application sees it."""

    failure: GatewayError | None = None
    turns: Turns
    refuse: Callable[[GatewayError], None]
    """Answer without the application."""
    transport: CoalescingTransport  # type: ignore[assignment]  # the part of a transport that it uses

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pieces: list[bytes] = []
        self.waiting_bytes = 0
        """Bytes of the body that the application has not taken yet."""

    def take(self, piece: bytes) -> None:
        """Queue a piece of the body for the application."""
        self._pieces.append(piece)
        self.waiting_bytes += len(piece)
        self.message_event.set()

    def _taken(self) -> bytes:
        """Everything that is queued, mostly one piece."""
        pieces, self._pieces, self.waiting_bytes = self._pieces, [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def fail(self, error: GatewayError) -> None:
        """Let the application's next `receive` raise `error`, because the rest of the body will not arrive."""
        self.failure = error
        self.keep_alive = False
        self.message_event.set()

    async def receive(self) -> ASGIReceiveEvent:
        """The next ASGI message.

        Raises:
            GatewayError: the body arrived too slowly, or violated HTTP.
        """
        if self.failure is None:
            await self._wait_for_news()
        if self.failure is not None:
            raise self.failure
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        message: HTTPRequestEvent = {"type": "http.request", "body": self._taken(), "more_body": self.more_body}
        return message

    async def send(self, message: ASGISendEvent) -> None:
        """Send an ASGI message. An answer that begins before the body has arrived is the connection's last one.

        uvicorn would otherwise read and drop the rest of a refused upload, without bound, to reuse the connection.
        """
        self.transport.head_is_next = message["type"] == "http.response.start"
        if self.transport.head_is_next and self.more_body:
            self.keep_alive = False
        await super().send(message)

    async def send_500_response(self) -> None:
        """The application ended without an answer; uvicorn's own would be plain text."""
        self.refuse(GatewayError("The failure has been logged under this request id."))

    async def _wait_for_news(self) -> None:
        """Wait for bytes, the end of the body, or the client's leaving."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Run the application. A client that leaves cancels it."""
        if self.failure is not None:
            return self.refuse(self.failure)

        async def cancellable(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            try:
                if not self.turns.begins():
                    await self.turns.wait(scope)
                await app(scope, receive, send)
            except asyncio.CancelledError:
                if not self.disconnected:
                    raise

        return await super().run_asgi(cancellable)
