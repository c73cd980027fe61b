"""What is refused before any work is done: bytes while they arrive, requests in flight."""

from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import metrics
from gateway.errors import BodyTooLargeError, OverloadedError

RETRY_AFTER_S = 1


async def stream_body(request: Request, *, max_bytes: int) -> AsyncIterator[bytes]:
    """The chunks of the body as they arrive, counted; nothing is kept here and nothing goes to disk.

    Raises:
        BodyTooLargeError: at once where Content-Length says so, else with the first byte too many.
        ClientDisconnect: nobody sends any more.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise too_large(max_bytes)
    received, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        if chunk := message.get("body"):
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
    """Requests at work at once. While its body is on its way it is not: slow clients must not fill the places."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = 0
        metrics.IN_FLIGHT.set_function(lambda: self._now)

    def check(self) -> None:
        """Is there a place? Asked before the body is read, which a refusal then saves.

        Raises:
            OverloadedError: there is none.
        """
        if self._now >= self._most:
            raise OverloadedError(f"{self._most} requests are at work already.", retry_after_s=RETRY_AFTER_S)

    def __enter__(self) -> None:
        """Hold a place for one request, for as long as the block runs.

        Raises:
            OverloadedError: there is none.
        """
        self.check()
        self._now += 1

    def __exit__(self, *failure: object) -> None:
        self._now -= 1


class Bodies:
    """Bytes of all bodies that are at hand at once, whatever stage their requests are in."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._now = 0
        metrics.BODY_BYTES.set_function(lambda: self._now)

    def add(self, count: int) -> None:
        """Bytes have come.

        Raises:
            OverloadedError: more than there is room for; they do not count.
        """
        if self._now + count > self._most_bytes:
            raise OverloadedError("The uploads that are at work already fill the memory.", retry_after_s=RETRY_AFTER_S)
        self._now += count

    def drop(self, count: int) -> None:
        """They are not needed any more."""
        self._now -= count


class CountBodies:
    """Counts the bytes of all bodies, and says `Connection: close` where an answer goes out before the body is in.

    uvicorn would otherwise read and drop the rest of a refused upload, without bound, to reuse the connection.
    """

    def __init__(self, app: ASGIApp, bodies: Bodies) -> None:
        self._app = app
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            return await self._app(scope, receive, send)
        unread = True
        held = 0

        async def counted_receive() -> Message:
            nonlocal unread, held
            message = await receive()
            unread = unread and bool(message.get("more_body"))
            if count := len(message.get("body", b"")):
                self._bodies.add(count)
                held += count
            return message

        async def closing_send(message: Message) -> None:
            if unread and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        try:
            return await self._app(scope, counted_receive, closing_send)
        finally:
            self._bodies.drop(held)


def _has_body(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False
