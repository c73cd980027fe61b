"""Every bound on work at once, and the queues before them.

`refusal` makes the error for every request or connection over a bound, and counts it in `gateway_shed_total{by}`.

| bound | setting | over it | `by` |
|---|---|---|---|
| connections | GATEWAY_MAX_CONNECTIONS | refused (`http.connections`) | connections |
| bytes of all bodies | GATEWAY_MAX_BODIES_BYTES | refused | bodies |
| requests in flight | GATEWAY_MAX_IN_FLIGHT | refused | requests |
| pictures in progress, of all batches together | GATEWAY_MAX_IN_FLIGHT | wait | |
| pictures of one kind being decoded | GATEWAY_DECODE_PROCESSES | wait | |
| memory for large pictures | GATEWAY_DECODE_BUDGET_BYTES | wait for GATEWAY_DECODE_WAIT_S, then refused | decoding |
| attempts per replica | GATEWAY_REPLICA_MAX_IN_FLIGHT | wait for GATEWAY_QUEUE_WAIT_S, then refused | replicas |
| requests that wait for a replica | GATEWAY_QUEUE_SIZE | refused | replicas |
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import RETRY_AFTER_S, OverloadedError, TooManyConnectionsError
from gateway.observe import metrics

Grant = TypeVar("Grant")


def refusal(by: metrics.Bound, detail: str) -> OverloadedError | TooManyConnectionsError:
    """The error for a request or connection that is over the bound `by`; counted in `gateway_shed_total`."""
    metrics.SHED.labels(by).inc()
    error = TooManyConnectionsError if by == "connections" else OverloadedError
    return error(detail, retry_after_s=RETRY_AFTER_S)


class QueueFullError(Exception):
    """As many requests wait as may."""


class _Waiter(Generic[Grant]):
    def __init__(self, take: Callable[[], Grant | None], need: Callable[[], Hashable]) -> None:
        self.take = take
        self.need = need
        self.granted: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()


class Queue(Generic[Grant]):
    """Requests that wait for a share of something bounded, first come, first served.

    The rule is `assign`: whenever something changes, one synchronous step walks the waiting requests in order and
    grants each what it can have. So no request that could be served waits behind one that could not.
    """

    def __init__(self, *, size: int | None = None, in_order: bool = False) -> None:
        """An empty queue.

        Args:
            size: the most that may wait; None: any number.
            in_order: no request overtakes another. Needed where shares differ in size: small ones would otherwise
                starve a large one.
        """
        self._size = size
        self._in_order = in_order
        self.waiting: dict[_Waiter[Grant], None] = {}
        """The requests that wait, the first first."""

    async def get(
        self,
        take: Callable[[], Grant | None],
        give_back: Callable[[Grant], None],
        *,
        need: Callable[[], Hashable],
        wait_s: float | None = None,
    ) -> Grant:
        """What `take` returns: now, or once it returns something other than None.

        Args:
            take: takes what this request needs if it is free; called synchronously, once per change at most.
            give_back: the opposite, for a request that was cancelled in the moment of its grant.
            need: what this request needs now. Where one gets nothing, no other with an equal need is asked at that
                change: without it each change would walk all `take`s, just when there is the most to do.
            wait_s: None: without end.

        Raises:
            QueueFullError: it would have to wait, and as many wait as may.
            TimeoutError: nothing was free for it within `wait_s`.
        """
        if not self.waiting and (grant := take()) is not None:
            return grant
        waiter = _Waiter(take, need)
        self.waiting[waiter] = None
        self.assign()
        if self._size is not None and waiter in self.waiting and len(self.waiting) > self._size:
            del self.waiting[waiter]
            raise QueueFullError
        try:
            async with asyncio.timeout(wait_s):
                return await waiter.granted
        except TimeoutError:
            if waiter.granted.done() and not waiter.granted.cancelled():
                return waiter.granted.result()  # in the same moment
            raise
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled():
                give_back(waiter.granted.result())
            raise
        finally:
            if waiter in self.waiting:
                del self.waiting[waiter]
                self.assign()  # the next one may need less

    def assign(self) -> None:
        """Grant each waiting request, in order, what it can have."""
        in_vain: set[Hashable] = set()
        for waiter in tuple(self.waiting):
            if waiter.granted.done():  # cancelled a moment ago; its task has not run since
                continue
            if (need := waiter.need()) in in_vain:
                continue
            if (grant := waiter.take()) is not None:
                del self.waiting[waiter]
                waiter.granted.set_result(grant)
            elif self._in_order:
                return
            else:
                in_vain.add(need)


class Shares:
    """A bounded quantity: like `asyncio.Semaphore`, but with shares of any size."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._queue: Queue[int] = Queue(in_order=True)

    @property
    def free(self) -> int:
        """What is not held."""
        return self._free

    @asynccontextmanager
    async def held(self, share: int, *, wait_s: float | None = None) -> AsyncIterator[None]:
        """Hold a share for as long as the block runs. More than the total is taken as the total.

        Raises:
            TimeoutError: it was not free within `wait_s`.
        """
        share = await self.acquire(share, wait_s=wait_s)
        try:
            yield
        finally:
            self.release(share)

    async def acquire(self, share: int = 1, *, wait_s: float | None = None) -> int:
        """Take a share that `release` gives back, from this task or another.

        Returns:
            The size of the share.

        Raises:
            TimeoutError: it was not free within `wait_s`.
        """
        share = min(share, self._total)
        if share <= self._free and not self._queue.waiting:
            self._free -= share
            return share
        return await self._queue.get(lambda: self._take(share), self.release, need=lambda: share, wait_s=wait_s)

    def _take(self, share: int) -> int | None:
        if share > self._free:
            return None
        self._free -= share
        return share

    def release(self, share: int = 1) -> None:
        """Give a share back."""
        self._free += share
        self._queue.assign()


class Admission:
    """ASGI middleware: bounds the bytes of all bodies in memory, and the requests in flight.

    A request is in flight from the end of its body to the end of its answer. One whose body is still arriving does not
    count, so slow clients cannot fill the places; but its body is not read while every place is taken.
    """

    def __init__(self, app: ASGIApp, *, max_in_flight: int, max_bodies_bytes: int) -> None:
        self._app = app
        self._max_in_flight = max_in_flight
        self._max_bodies_bytes = max_bodies_bytes
        self._in_flight = self._bodies_bytes = 0
        metrics.IN_FLIGHT.set_function(lambda: self._in_flight)
        metrics.BODY_BYTES.set_function(lambda: self._bodies_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            return await self._app(scope, receive, send)
        held_bytes, in_flight = 0, False

        async def admitted_receive() -> Message:
            """Raises OverloadedError: a bound is reached."""
            nonlocal held_bytes, in_flight
            if in_flight:
                return await receive()
            self._check_place()
            message = await receive()
            if count := len(message.get("body", b"")):
                if self._bodies_bytes + count > self._max_bodies_bytes:
                    raise refusal("bodies", "The uploads in progress already fill the memory that is set aside.")
                self._bodies_bytes += count
                held_bytes += count
            if message["type"] == "http.request" and not message.get("more_body"):
                self._check_place()
                self._in_flight += 1
                in_flight = True
            return message

        try:
            return await self._app(scope, admitted_receive, send)
        finally:
            self._bodies_bytes -= held_bytes
            self._in_flight -= in_flight

    def _check_place(self) -> None:
        if self._in_flight >= self._max_in_flight:
            raise refusal("requests", f"{self._max_in_flight} requests are in progress already.")


def _has_body(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False
