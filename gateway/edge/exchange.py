"""One request and its answer on a connection: uvicorn's cycle, which can also fail and be cancelled."""

import asyncio
from collections.abc import Callable

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable, Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.errors import GatewayError


class Exchange(RequestResponseCycle):
    """What an application sees of one request."""

    failure: GatewayError | None = None
    refuse: Callable[[GatewayError], None]
    """Answer without the application."""

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
