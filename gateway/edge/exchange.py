"""One request and its answer on a connection: uvicorn's cycle, which can also fail and be cancelled."""

import asyncio
from collections.abc import Callable

from uvicorn._types import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
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
        message = await super().receive() if self.failure is None else None
        if self.failure is not None:
            raise self.failure
        assert message is not None
        return message

    async def send(self, message: ASGISendEvent) -> None:
        """As ASGI has it."""
        self.transport.head_is_next = message["type"] == "http.response.start"
        await super().send(message)

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
