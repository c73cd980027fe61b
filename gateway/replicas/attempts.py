"""One attempt at one replica: its time limit, and what the pool and the metrics learn from how it ended.

An attempt is a task of its own. TensorFlow Serving does not stop work when its client goes away
(docs/tensorflow-serving.md, "Timeouts"), so neither does the attempt when its request has been answered otherwise
or its client has left: it holds the replica's slot until the answer arrives or its time is up, and its outcome counts.

Beside it stand the two rules for further attempts: how many retries there may be, and when to hedge. Both are pure.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from gateway.failures import AttemptTimeoutError, ReplicaError
from gateway.observe import metrics, tracing
from gateway.observe.lag import LagProbe
from gateway.replicas.pool import Pool
from gateway.replicas.replica import Replica
from gateway.tfserving.contract import ServedModel

STALL_S = 0.1
"""A time-out seen while the event loop itself was this late shows nothing about the replica."""
GRACE_S = 0.25
"""For answers that are in the socket already when the event loop wakes from a stall."""

RETRY_SHARE = 0.1
RETRY_BURST = 20

REMEMBERED = 500
LEARN_FROM = 50
HEDGE_QUANTILE = 0.95
HEDGE_FACTOR = 2.0
HEDGE_AT_LEAST_S = 0.05
"""Sooner, a second attempt costs more than it saves: measured with max(50 ms, 2 x p95) on answers of 10 ms."""

Answer = TypeVar("Answer")
Ask = Callable[[Replica, ServedModel], Awaitable[Answer]]


class Attempts:
    """Starts attempts, and keeps those whose requests are over."""

    def __init__(self, pool: Pool, lag: LagProbe, *, clock: Callable[[], float], timeout_s: float) -> None:
        self._pool = pool
        self._lag = lag
        self._clock = clock
        self._timeout_s = timeout_s
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, replica: Replica, model: ServedModel, ask: Ask[Answer], in_flight: int) -> "asyncio.Task[Answer]":
        """The task ends with the answer or with a `ReplicaError`, and gives the replica's slot back.

        Args:
            in_flight: what `Pool.started` returned when the slot was taken.
        """
        task = asyncio.get_running_loop().create_task(self._attempt(replica, model, ask, in_flight))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log one whose request is over

    async def close(self) -> None:
        """Cancel those that are left."""
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _attempt(self, replica: Replica, model: ServedModel, ask: Ask[Answer], in_flight: int) -> Answer:
        started = self._clock()
        outcome = "abandoned"  # by us: the gateway stops
        try:
            with tracing.span("attempt", {"replica": replica.address, "model.version": model.version}):
                answer = await self._in_time(ask(replica, model), started)
            outcome = "ok"
            self._succeeded(replica, started, in_flight)
            return answer
        except ReplicaError as error:
            outcome = error.outcome
            self._failed(replica, error, started)
            raise
        finally:
            self._pool.finished(replica)
            metrics.attempt_finished(model.version, outcome, self._clock() - started)

    async def _in_time(self, asked: Awaitable[Answer], started: float) -> Answer:
        limit = asyncio.timeout(None)
        timer = asyncio.get_running_loop().call_at(started + self._timeout_s, self._time_is_up, limit, started)
        try:
            async with limit:
                return await asked
        except TimeoutError as cause:
            raise AttemptTimeoutError(f"no answer within {self._timeout_s:g} s") from cause
        finally:
            timer.cancel()
            del limit  # it refers to the task, whose failure refers to this frame: a cycle that would keep the picture

    def _time_is_up(self, limit: asyncio.Timeout, started: float) -> None:
        late = self._clock() - started - self._timeout_s
        limit.reschedule(self._clock() + (GRACE_S if late > STALL_S else 0))

    def _succeeded(self, replica: Replica, started: float, in_flight: int) -> None:
        now = self._clock()
        if self._stalled(started, now):
            replica.failures = 0
        else:
            self._pool.succeeded(replica, now, now - started, in_flight=in_flight)

    def _failed(self, replica: Replica, error: ReplicaError, started: float) -> None:
        now = self._clock()
        if error.rests:
            self._pool.busy(replica, now)
        if error.counts and not (error.timed_here and self._stalled(started, now)):
            self._pool.failed(replica, now, str(error))

    def _stalled(self, started: float, now: float) -> bool:
        return now - started > STALL_S and self._lag.most(started) > STALL_S


class RetryBudget:
    """How many retries there may be: a share of the requests, and a few in advance.

    Retries repair what one replica spoils; when all of them fail, retries multiply the load that made them fail. Every
    request pays a share of a retry into the budget and every retry takes one out. The budget holds a burst at most, so
    over any stretch of time attempts are at most (1 + share) x requests + burst. As in Finagle and Linkerd.
    """

    def __init__(self, share: float = RETRY_SHARE, burst: int = RETRY_BURST) -> None:
        """Full at first. `share`: of a retry, paid in by each request."""
        self._share = share
        self._burst = burst
        self._left = float(burst)

    def pay_in(self) -> None:
        """A request has come."""
        self._left = min(self._burst, self._left + self._share)

    def take(self) -> bool:
        """Take one retry if there is enough for it."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """The retry that was taken last is not made: no replica is left to ask."""
        self._left = min(self._burst, self._left + 1)


class HedgeDelay:
    """When to ask a second replica beside the first: after twice the 95th percentile of the last answers."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=REMEMBERED)
        self._new = 0
        self._delay_s: float | None = None

    def add(self, seconds: float) -> None:
        """One more answer."""
        self._times.append(seconds)
        self._new += 1
        if self._new >= LEARN_FROM:  # sorting 500 numbers for every answer would cost more than it gains
            self._new = 0
            ordered = sorted(self._times)
            self._delay_s = max(HEDGE_AT_LEAST_S, HEDGE_FACTOR * ordered[int(HEDGE_QUANTILE * len(ordered))])

    @property
    def seconds(self) -> float | None:
        """How long to wait for the first replica; None while too few answers are known."""
        return self._delay_s
