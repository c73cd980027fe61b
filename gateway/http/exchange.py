"""One request and its answer on a connection: uvicorn's cycle, which can also fail and be cancelled.

The body is passed to the application in the pieces in which it arrives. uvicorn copies each piece twice, which made
other requests wait while twenty uploads of some megabytes arrived.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

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
from gateway.http.problems import stopping


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


CROWD = 2
"""So many requests of one caller must wait before one of them gives way to a new connection."""

Client = TypeVar("Client")


class Turns(Generic[Client]):
    """When requests begin: one in each round of the event loop, callers in turn.

    The event loop does what is ready in the order in which it became so. After a burst of some thousand cheap requests
    of one caller, each step of another's request would wait for all of them. So requests wait here, without a limit of
    time or number: each connection has at most one that waits.
    """

    def __init__(self, caller_of: Callable[[Any], str]) -> None:
        """`caller_of` names the caller of a request by its ASGI scope; it is asked only where requests wait."""
        self._caller_of = caller_of
        self._taken = False
        """A request has begun in this round; `_next` is called in the next one."""
        self._waiting: dict[str, dict[asyncio.Future[None], Client]] = {}
        """By caller, the one first whose turn is next."""

    async def begin(self, scope: Any, connection: Client) -> None:
        """Wait for the turn of a request of that connection."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._taken = True
            loop.call_soon(self._next)
            return
        caller, turn = self._caller_of(scope), loop.create_future()
        self._waiting.setdefault(caller, {})[turn] = connection
        try:
            await turn
        finally:
            self._leave(caller, turn)

    def _next(self) -> None:
        self._taken = bool(self._waiting)
        if self._taken:
            caller, waiting = next(iter(self._waiting.items()))
            turn = next(iter(waiting))
            self._leave(caller, turn)
            if rest := self._waiting.pop(caller, None):
                self._waiting[caller] = rest  # behind the other callers
            if not turn.done():  # else its client has left
                turn.set_result(None)
            asyncio.get_running_loop().call_soon(self._next)

    def _leave(self, caller: str, turn: "asyncio.Future[None]") -> None:
        waiting = self._waiting.get(caller, {})
        if turn in waiting:
            del waiting[turn]
            if not waiting:
                del self._waiting[caller]

    def crowding(self) -> Client | None:
        """Take out the latest of the requests that wait, of the caller that has most of them.

        Returns:
            Its connection, which must be closed. None: no caller has more than one request that waits.
        """
        caller = max(self._waiting, key=lambda each: len(self._waiting[each]), default="")
        if len(waiting := self._waiting.get(caller, {})) < CROWD:
            return None
        _, connection = waiting.popitem()
        return connection


class Exchange(RequestResponseCycle):
    """One request as the application sees it."""

    failure: GatewayError | None = None
    turns: Turns[Any]
    connection: Any
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
        """Run the application, in its turn. A client that leaves cancels it."""
        if self.failure is not None:
            return self.refuse(self.failure)
        try:
            await self.turns.begin(self.scope, self.connection)
        except asyncio.CancelledError:
            return None if self.disconnected else self.refuse(stopping())

        async def cancellable(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                if not self.disconnected:
                    raise

        return await super().run_asgi(cancellable)
