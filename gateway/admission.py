"""Every bound on work at once, and the queues before them.

`refusal` makes the error for every request or connection over a bound, and counts it in `gateway_shed_total{by}`.

| bound | setting | over it | `by` |
|---|---|---|---|
| connections | GATEWAY_MAX_CONNECTIONS | refused (`http.connections`) | connections |
| bytes of all bodies | GATEWAY_MAX_BODIES_BYTES | a slow body ends (`fairness`), else refused | slow-bodies, bodies |
| requests in flight | GATEWAY_MAX_IN_FLIGHT | wait for GATEWAY_QUEUE_WAIT_S, then refused | requests |
| a caller's share of these places | (`fairness`) | wait for GATEWAY_QUEUE_WAIT_S, then refused | share |
| requests that wait for a place, and a caller's share of them | GATEWAY_QUEUE_SIZE | refused | requests, share |
| a caller's share of the bytes | (`fairness`) | refused | share |
| pictures in progress, of all batches together | GATEWAY_MAX_IN_FLIGHT | wait | |
| pictures of one kind being decoded | GATEWAY_DECODE_PROCESSES | wait | |
| memory for large pictures | GATEWAY_DECODE_BUDGET_BYTES | wait for GATEWAY_DECODE_WAIT_S, then refused | decoding |
| attempts per replica | GATEWAY_REPLICA_MAX_IN_FLIGHT | wait for GATEWAY_QUEUE_WAIT_S, then refused | replicas |
| requests that wait for a replica, and a caller's share of them | GATEWAY_QUEUE_SIZE | refused | replicas |

Whatever waits is served by caller in turn, and for one caller first come, first served.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from itertools import zip_longest
from typing import Generic, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import RETRY_AFTER_S, GatewayError, OverloadedError, TooManyConnectionsError
from gateway.fairness import CALLER, Bodies, Body, FairShare, address_of
from gateway.observe import metrics
from gateway.settings import Network

Grant = TypeVar("Grant")


def refusal(by: metrics.Bound, detail: str) -> OverloadedError | TooManyConnectionsError:
    """The error for a request or connection that is over the bound `by`; counted in `gateway_shed_total`."""
    metrics.SHED.labels(by).inc()
    error = TooManyConnectionsError if by == "connections" else OverloadedError
    return error(detail, retry_after_s=RETRY_AFTER_S)


class QueueFullError(Exception):
    """As many requests wait as may, or as many of one caller."""


class _Waiter(Generic[Grant]):
    def __init__(self, take: Callable[[], Grant | None], need: Callable[[], Hashable]) -> None:
        self.take = take
        self.need = need
        self.caller = CALLER.get()
        self.granted: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()


class Queue(Generic[Grant]):
    """Requests that wait for a share of something bounded: callers in turn, and those of one caller as they came.

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
        self._places = FairShare(math.inf if size is None else size)
        self._in_order = in_order
        self.waiting: dict[_Waiter[Grant], None] = {}
        """The requests that wait, the longest waiting first."""
        self._by_caller: dict[str, dict[_Waiter[Grant], None]] = {}
        """The same, the caller first whose turn is next."""

    def full(self) -> bool:
        """Whether no more requests may wait, of all callers or of this one."""
        return self._places.lack(CALLER.get()) != ""

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
            QueueFullError: it would have to wait, and as many wait as may, of all callers or of this one.
            TimeoutError: nothing was free for it within `wait_s`.
        """
        if not self.waiting and (grant := take()) is not None:
            return grant
        waiter, full = _Waiter(take, need), self.full()
        self._enter(waiter)
        self.assign()
        if waiter in self.waiting and full:
            self._leave(waiter)
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
                self._leave(waiter)
                self.assign()  # the next one may need less

    def _enter(self, waiter: _Waiter[Grant]) -> None:
        self.waiting[waiter] = None
        self._by_caller.setdefault(waiter.caller, {})[waiter] = None
        self._places.take(waiter.caller)

    def _leave(self, waiter: _Waiter[Grant]) -> None:
        del self.waiting[waiter]
        del self._by_caller[waiter.caller][waiter]
        if not self._by_caller[waiter.caller]:
            del self._by_caller[waiter.caller]
        self._places.give_back(waiter.caller)

    def _in_turn(self) -> list[_Waiter[Grant]]:
        """The first of each caller, then the second of each, and so on."""
        if len(self._by_caller) == 1:
            return list(self.waiting)
        return [waiter for row in zip_longest(*self._by_caller.values()) for waiter in row if waiter]

    def assign(self) -> None:
        """Grant each waiting request, in order, what it can have."""
        in_vain: set[Hashable] = set()
        for waiter in self._in_turn():
            if waiter.granted.done():  # cancelled a moment ago; its task has not run since
                continue
            if (need := waiter.need()) in in_vain:
                continue
            if (grant := waiter.take()) is not None:
                self._leave(waiter)
                if rest := self._by_caller.pop(waiter.caller, None):
                    self._by_caller[waiter.caller] = rest  # the turn goes to the next caller
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


READ_AT_ONCE_BYTES, READ_EVERY_S = 512 * 1024, 0.005
"""Of large bodies, all together: 100 MiB/s. Without a limit the event loop reads from every connection that has bytes,
and other requests wait 50 ms at each of their steps while eighty large uploads arrive."""


class Admission:
    """ASGI middleware: bounds the bytes of all bodies in memory, and the requests in flight, by caller.

    A request is in flight from the end of its body to the beginning of its answer, so that a client that does not read
    keeps no place. One whose body is still arriving does not count, so slow clients cannot fill the places; but its
    body is not read while its caller can have no place and may not wait for one.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_in_flight: int,
        max_bodies_bytes: int,
        queue_size: int,
        queue_wait_s: float,
        trusted_proxies: tuple[Network, ...] = (),
    ) -> None:
        """`trusted_proxies` report the address of a caller that has no key."""
        self._app = app
        self.trusted_proxies = trusted_proxies
        self.places = FairShare(max_in_flight)
        self.queue: Queue[bool] = Queue(size=queue_size)
        """Requests whose body has arrived, and that wait for a place."""
        self._queue_wait_s = queue_wait_s
        self.bodies = Bodies(max_bodies_bytes, _ended_for_another)
        self.reading = Shares(READ_AT_ONCE_BYTES)
        metrics.IN_FLIGHT.set_function(lambda: self.places.total - self.places.free)
        metrics.BODY_BYTES.set_function(lambda: self.bodies.held_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if not _has_body(scope):
            CALLER.set(address_of(scope, self.trusted_proxies))
            return await self._app(scope, receive, send)
        CALLER.set("")  # known when the body is read
        admitted = _Admitted(self, scope, receive, send)
        try:
            return await self._app(scope, admitted.receive, admitted.send)
        finally:
            admitted.leave()

    async def wait_for_place(self, caller: str) -> None:
        """Take a place in flight when it is this caller's turn.

        Raises:
            OverloadedError: there was none in time, or too many wait.
        """

        def take() -> bool | None:
            if self.places.lack(caller):
                return None
            self.places.take(caller)
            return True

        try:
            await self.queue.get(take, lambda _: self.leave(caller), need=lambda: caller, wait_s=self._queue_wait_s)
        except (QueueFullError, TimeoutError):
            raise self.no_place(caller) from None

    def leave(self, caller: str) -> None:
        """Give the place back."""
        self.places.give_back(caller)
        if self.queue.waiting:
            self.queue.assign()

    def no_place(self, caller: str) -> GatewayError:
        """The error for a request that would be one too many in flight."""
        if self.places.lack(caller) == "share":
            return refusal("share", f"{self.places.held(caller)} of your requests are in progress already.")
        return refusal("requests", f"{self.places.total:.0f} requests are in progress already.")


class _Admitted:
    """A request with a body."""

    def __init__(self, bounds: Admission, scope: Scope, receive: Receive, send: Send) -> None:
        self._bounds = bounds
        self._scope, self._receive, self._send = scope, receive, send
        self._body: Body | None = None
        self._in_flight = self._left = False

    async def receive(self) -> Message:
        """The next ASGI message.

        Raises:
            OverloadedError: a bound is reached.
        """
        if self._in_flight or self._left:
            return await self._receive()
        bounds, body = self._bounds, self._body
        if body is None:
            announced_bytes = _announced_bytes(self._scope)
            if not CALLER.get():  # keys are checked before a body is read
                CALLER.set(address_of(self._scope, bounds.trusted_proxies))
            body = self._body = Body(CALLER.get(), announced_bytes, self._scope["state"].get("pace"))
        if bounds.places.lack(body.caller) and bounds.queue.full():
            raise bounds.no_place(body.caller)
        message = await self._receive()
        count, last = len(message.get("body", b"")), not message.get("more_body")
        if lack := bounds.bodies.grow(body, count, last=last):
            raise refusal("bodies", BODIES_FULL) if lack == "all" else refusal("share", SHARE_FULL)
        if count and not body.small:
            count = await bounds.reading.acquire(count)
            asyncio.get_running_loop().call_later(READ_EVERY_S, bounds.reading.release, count)
        if message["type"] == "http.request" and last:
            if bounds.queue.waiting or bounds.places.lack(body.caller):
                await bounds.wait_for_place(body.caller)
            else:
                bounds.places.take(body.caller)
            self._in_flight = True
        return message

    async def send(self, message: Message) -> None:
        """Send an ASGI message. With the beginning of the answer the work is done."""
        self.leave()
        await self._send(message)

    def leave(self) -> None:
        """Give back what the request holds."""
        if self._body and not self._left:
            self._left = True
            if self._in_flight:
                self._bounds.leave(self._body.caller)
            self._bounds.bodies.release(self._body)


BODIES_FULL = "The uploads in progress already fill the memory that is set aside."
SHARE_FULL = "Your uploads in progress already fill your share of the memory that is set aside."
MAX_LENGTH_DIGITS = 18
"""Of a Content-Length; a longer one is refused where it is read."""


def _ended_for_another() -> GatewayError:
    return refusal("slow-bodies", "Other uploads needed the memory and this one arrived slowly; send it again.")


def _has_body(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False


def _announced_bytes(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and len(value) <= MAX_LENGTH_DIGITS:
            return int(value)
    return None
