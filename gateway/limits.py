"""What is refused before any work is done: bytes while they arrive, requests in flight."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import metrics
from gateway.errors import BodyTooLargeError, OverloadedError

RETRY_AFTER_S = 1


async def stream_body(request: Request, *, max_bytes: int) -> AsyncIterator[bytes]:
    """The chunks of the body as they arrive, counted; nothing is kept here and nothing goes to disk.

    Raises:
        BodyTooLargeError: at once where Content-Length says so, else with the first byte too many.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise too_large(max_bytes)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise too_large(max_bytes)
        yield chunk


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """The whole body, of at most `max_bytes`."""
    return b"".join([chunk async for chunk in stream_body(request, max_bytes=max_bytes)])


def too_large(max_bytes: int) -> BodyTooLargeError:
    """In the same words wherever it is found."""
    return BodyTooLargeError(f"The body may have at most {max_bytes:,} bytes; send a smaller picture or fewer.")


class InFlight:
    """Requests at work at once: their bodies and pixels are what the gateway's memory goes into."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place for one request.

        Raises:
            OverloadedError: there is none.
        """
        if self._now >= self._most:
            raise OverloadedError(f"{self._most} requests are at work already.", retry_after_s=RETRY_AFTER_S)
        self._now += 1
        metrics.IN_FLIGHT.set(self._now)
        try:
            yield
        finally:
            self._now -= 1
            metrics.IN_FLIGHT.set(self._now)


class CloseUnreadBodies:
    """An answer that goes out before the body is in says `Connection: close`.

    uvicorn would otherwise read and drop the rest of a refused upload, without bound, to reuse the connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            return await self._app(scope, receive, send)
        unread = True

        async def counted_receive() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and bool(message.get("more_body"))
            return message

        async def closing_send(message: Message) -> None:
            if unread and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        return await self._app(scope, counted_receive, closing_send)


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )
