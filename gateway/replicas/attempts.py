"""One attempt at one replica: its time limit, whose failure it was, and what the pool and the metrics learn from it.

An attempt is a task of its own. TensorFlow Serving does not stop work that nobody waits for, so neither does
the attempt when its request is answered otherwise or its client has left: it holds the replica's slot until the answer
comes or its time is up, and what it learns counts.

Source: docs/tensorflow-serving.md, "Timeouts".
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from gateway import metrics, tracing
from gateway.contract import ServedModel
from gateway.errors import AttemptTimeoutError, ReplicaBusyError, ReplicaError
from gateway.lag import LagProbe
from gateway.replicas.pool import Pool
from gateway.replicas.replica import Replica
from gateway.replicas.transitions import Transitions
from gateway.replicas.waiting import WaitingLine

STALL_S = 0.1
"""A time-out seen while the event loop itself was so late says nothing about the replica."""
GRACE_S = 0.25
"""For answers that lie in the socket already when the event loop wakes from a stall."""

Answer = TypeVar("Answer")
Ask = Callable[[Replica, ServedModel], Awaitable[Answer]]


class Attempts:
    """Starts them, and keeps those that nobody waits for any more."""

    def __init__(
        self,
        pool: Pool,
        transitions: Transitions,
        line: WaitingLine,
        lag: LagProbe,
        *,
        clock: Callable[[], float],
        timeout_s: float,
    ) -> None:
        self._pool = pool
        self._transitions = transitions
        self._line = line
        self._lag = lag
        self._clock = clock
        self._timeout_s = timeout_s
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, replica: Replica, model: ServedModel, ask: Ask[Answer]) -> "asyncio.Task[Answer]":
        """The slot is taken at once; the task ends with the answer or with a `ReplicaError`."""
        self._pool.started(replica)
        task = asyncio.get_running_loop().create_task(self._attempt(replica, model, ask))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen, so that one which nobody waits for is no defect

    async def close(self) -> None:
        """Give up those that are left."""
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _attempt(self, replica: Replica, model: ServedModel, ask: Ask[Answer]) -> Answer:
        started = self._clock()
        outcome = "abandoned"  # by us: the gateway stops
        try:
            with tracing.span("attempt", {"replica": replica.address, "model.version": model.version}):
                answer = await self._in_time(ask(replica, model), started)
            outcome = "ok"
            self._succeeded(replica, started)
            return answer
        except ReplicaError as error:
            outcome = error.outcome
            self._failed(replica, error, started)
            raise
        finally:
            self._pool.finished(replica)
            self._line.call()
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
            del limit  # it knows the task, whose failure leads back here: a circle that would keep picture and body

    def _time_is_up(self, limit: asyncio.Timeout, started: float) -> None:
        late = self._clock() - started - self._timeout_s
        limit.reschedule(self._clock() + (GRACE_S if late > STALL_S else 0))

    def _succeeded(self, replica: Replica, started: float) -> None:
        now = self._clock()
        if self._stalled(started, now):
            replica.failures = 0
        elif self._pool.succeeded(replica, now, now - started):
            self._transitions.ejected(replica, "slow")

    def _failed(self, replica: Replica, error: ReplicaError, started: float) -> None:
        now = self._clock()
        if isinstance(error, ReplicaBusyError):
            self._pool.busy(replica, now)
        if not error.counts or (isinstance(error, AttemptTimeoutError) and self._stalled(started, now)):
            return
        if self._pool.failed(replica, now, str(error)):
            self._transitions.ejected(replica, "failures")

    def _stalled(self, started: float, now: float) -> bool:
        return now - started > STALL_S and self._lag.most(started) > STALL_S
