"""One request: which replica is asked, which is asked next, and when it is given up.

A request has one deadline. It waits in the queue while every replica that it could use is full (`admission`), then the
replica whose turn it is gets an attempt. After a failure that another replica may do better (`failures`) it goes there,
while the retry budget lasts (`retries`). One that takes unusually long (hedging, where it is set) or whose replica has
meanwhile been ejected gets a second attempt beside the first; then the first answer counts. One that may itself have
cost a replica its process is tried once more at most, and not anywhere (`trials`). The version stays the same while any
replica has it (`versions`).

An attempt is a task of its own. TensorFlow Serving does not stop work when its client goes away
(docs/tensorflow-serving.md, "Timeouts"), so neither does the attempt when its request has been answered otherwise or
its client has left: it holds the replica's slot until the answer arrives or its time is up, and its outcome counts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import random
from typing import Any, Generic, TypeVar

import numpy as np
import structlog

from gateway.admission import QueueFullError, refusal
from gateway.errors import DeadlineError
from gateway.failures import AttemptTimeoutError, BadAnswerError, ReplicaError
from gateway.imaging import Pixels
from gateway.observe import metrics, tracing
from gateway.observe.lag import STALL_S, LagProbe
from gateway.replicas.pool import Pool, Slot
from gateway.replicas.quarantine import WEIGHTS, Body
from gateway.replicas.replica import Replica
from gateway.replicas.retries import HedgeDelay, RetryBudget
from gateway.replicas.trials import Case, Trials
from gateway.replicas.versions import Binding, not_served
from gateway.tfserving import Call, Reply, TFServing
from gateway.tfserving.contract import Prediction, ServedModel

MAX_ATTEMPTS = 3
BUSY_PAUSE_S = 0.02
"""Before the retry after a 429 or 503; doubled for the next, and spread, so that clients do not march in step."""
GRACE_S = 0.25
"""For answers that are in the socket already when the event loop wakes from a stall."""

log = structlog.get_logger()
add_to_request_line = structlog.contextvars.bind_contextvars
"""A request is one line of the log, however many attempts it takes. Pictures of a batch are tasks of their own, whose
context ends with them."""

Answer = TypeVar("Answer")
Ask = Callable[[Replica, ServedModel], Awaitable[Answer]]


@dataclass
class _Progress(Generic[Answer]):
    """How far one request has come."""

    ask: Ask[Answer]
    binding: Binding
    deadline: float
    case: Case
    measured: Callable[[Answer], bool] | None = None
    """Whether the time of an answer shows how fast its replica is; None: always."""
    tried: list[Replica] = field(default_factory=list)
    running: "dict[asyncio.Task[Answer | ReplicaError], Replica]" = field(default_factory=dict)
    started: float = 0
    may_hedge: bool = True
    """A second replica may still be asked beside the first."""
    free_used: bool = False
    """The one free retry after a stale connection has been made."""
    winner: Replica | None = None


class Dispatcher:
    """Sends each request to the replica whose turn it is."""

    def __init__(
        self,
        pool: Pool,
        client: TFServing,
        lag: LagProbe,
        *,
        clock: Callable[[], float],
        queue_wait_s: float,
        attempt_timeout_s: float,
        hedge: bool,
        refresh: Callable[[Replica], Awaitable[None]],
        look_again: Callable[[], None],
    ) -> None:
        """`refresh` probes one replica now, `look_again` looks the addresses up soon."""
        self._pool = pool
        self._queue = pool.queue
        self._client = client
        self._lag = lag
        self._clock = clock
        self._queue_wait_s = queue_wait_s
        self._attempt_timeout_s = attempt_timeout_s
        self._running: set[asyncio.Task[Any]] = set()
        """Attempts, those included whose requests are over."""
        self._hedge = HedgeDelay() if hedge else None
        self._budget = RetryBudget()
        self._trials = Trials(pool, self._budget, clock=clock, refresh=refresh, look_again=look_again)
        self._quarantine = self._trials.quarantine
        self._refresh = refresh
        self._look_again = look_again

    async def predict(self, pixels: Pixels, *, deadline: float, binding: Binding | None = None) -> Prediction:
        """The answer for one picture, uint8 (224, 224, 3).

        Args:
            deadline: moment on the event loop's clock.
            binding: the version; shared by the pictures of a batch.

        Raises:
            NoReplicaError, OverloadedError, DeadlineError, UpstreamError, VersionNotServedError,
                RequestQuarantinedError: as an answer to the client.
        """

        async def ask(replica: Replica, model: ServedModel) -> Prediction:
            return await self._client.predict(replica.address, model, pixels, timeout_s=deadline - self._clock())

        key = int(np.dot(pixels.reshape(-1).view(np.uint64), WEIGHTS))
        case = Case(Body(("upload", key), pixels))
        try:
            return await self._until(_Progress(ask, binding or Binding(), deadline, case))
        except ReplicaError as error:
            error.__traceback__ = None  # it refers to the attempt: a cycle that would keep picture and body in memory
            raise self._trials.refusal(case) or error.as_answer() from error

    async def forward(self, call: Call, *, deadline: float, binding: Binding | None = None) -> Reply:
        """A TensorFlow Serving client's own call; where every replica refuses, the last one's answer.

        Raises:
            NoReplicaError, OverloadedError, DeadlineError, UpstreamError, RequestQuarantinedError: as an answer to the
                client.
        """
        last: Reply | None = None
        binding = binding or Binding()
        unknown = binding.version is not None and not self._pool.serves(binding.version)
        never_found = unknown or "?" in call.target  # docs/tensorflow-serving.md, "URLs"

        async def ask(replica: Replica, model: ServedModel) -> Reply:
            nonlocal last
            reply = await self._client.forward(replica.address, call.to(model))
            if not reply.is_json:  # a page for a browser, which would take it for ours
                reply.body_if_200()
                raise BadAnswerError("the answer is not JSON")
            last = reply
            if last.status == 400 or (last.status == 404 and never_found):
                return last  # the client's own mistake, in the replica's words
            last.body_if_200()
            return last

        def measured(reply: Reply) -> bool:
            return call.method == "POST" and reply.status == 200

        case = Case(Body.of_call(call))
        may_hedge = self._trials.harmless(case)
        try:
            return await self._until(_Progress(ask, binding, deadline, case, measured, may_hedge=may_hedge))
        except ReplicaError as error:
            refusal = self._trials.refusal(case)
            if last is not None and refusal is None:
                return last
            error.__traceback__ = None  # as above
            raise refusal or error.as_answer() from error

    async def close(self) -> None:
        """Cancel the attempts that are left."""
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._trials.close()

    async def _until(self, progress: _Progress[Answer]) -> Answer:
        self._budget.requests += 1
        try:
            async with asyncio.timeout_at(progress.deadline):
                if self._quarantine.held:
                    await self._trials.admit(progress.case)
                self._start(progress, await self._first(progress.binding, progress.case))
                return await self._run(progress)
        except TimeoutError as cause:
            raise DeadlineError("no replica answered before the deadline") from cause
        finally:
            progress.case.closed = True
            if progress.case.loss or progress.case.lost:
                self._trials.close_case(progress.case)
            if progress.tried:
                asked = progress.winner or progress.tried[-1]
                add_to_request_line(replica=asked.address, attempts=len(progress.tried))

    # --- the first attempt ------------------------------------------------------------------------------------

    async def _first(self, binding: Binding, case: Case) -> Slot:
        """A slot on the replica whose turn it is; if all are full, after a wait in the queue."""
        if not self._queue.waiting and (slot := self._take_first(binding, case)):
            return slot
        if not self._pool.serves(binding.version if binding.strict else None):
            raise not_served(binding, {version for replica in self._pool.replicas for version in replica.models})
        try:
            return await self._queue.get(
                lambda: self._take_first(binding, case),
                lambda slot: self._pool.finished(slot.replica),
                need=lambda: (binding.version, binding.strict, case.body and case.body.name in self._quarantine.held),
                wait_s=self._queue_wait_s,
            )
        except (QueueFullError, TimeoutError) as cause:
            raise self._trials.refusal(case) or refusal(
                "replicas", "every replica is at its limit of requests in flight"
            ) from cause

    def _take_first(self, binding: Binding, case: Case) -> Slot | None:
        if not case.body or not (self._quarantine.held or case.body.name in self._trials.at_work):
            return self._take(binding)
        slots = (self._take(binding, left_out) for left_out in self._trials.left_out(case.body))
        return next(filter(None, slots), None)

    def _take(self, binding: Binding, tried: Sequence[Replica] = ()) -> Slot | None:
        """By version where the request is bound to one, while any replica has it."""
        now = self._clock()
        slot = self._pool.take(now, version=binding.version, tried=tried)
        if slot is None and binding.version and not binding.strict:
            others = [replica for replica in self._pool.replicas if replica not in tried]
            if not any(replica.model(binding.version) for replica in others):
                slot = self._pool.take(now, tried=tried)
        if slot:
            binding.version = slot.model.version
        return slot

    # --- and then ---------------------------------------------------------------------------------------------

    def _start(self, progress: _Progress[Answer], slot: Slot) -> None:
        progress.started = progress.started or self._clock()
        progress.tried.append(slot.replica)
        if progress.case.body:
            self._trials.at_work.setdefault(progress.case.body.name, slot)
        attempt = self._attempt(slot, progress)
        task = asyncio.get_running_loop().create_task(attempt)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        progress.running[task] = slot.replica

    async def _run(self, progress: _Progress[Answer]) -> Answer:
        """The first good answer, or the failure after which no further replica is asked."""
        while True:
            await self._next_event(progress)
            failed: ReplicaError | None = None
            for task, replica in tuple(progress.running.items()):
                if not task.done():
                    continue
                outcome = task.result()
                if not isinstance(outcome, ReplicaError):
                    progress.winner = replica
                    measured = progress.measured is None or progress.measured(outcome)
                    if self._hedge and len(progress.tried) == 1 and measured:
                        self._hedge.add(self._clock() - progress.started)
                    return outcome
                del progress.running[task]
                failed, failed_at = outcome, replica
            if failed:  # of two that fail at once, one retry takes the place
                await self._lost(progress, failed_at, failed)
            else:  # it takes unusually long, or its replica has been ejected
                self._hedge_now(progress)

    async def _next_event(self, progress: _Progress[Answer]) -> None:
        """Wait until an attempt ends, or until something calls for a second one beside the first."""
        if not progress.may_hedge:
            await asyncio.wait(progress.running, return_when=asyncio.FIRST_COMPLETED)
            return
        ejected: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        replica = progress.tried[-1]
        replica.on_ejection.add(ejected)
        try:
            patience_s = self._hedge.seconds if self._hedge else None
            await asyncio.wait([*progress.running, ejected], timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            replica.on_ejection.discard(ejected)

    def _hedge_now(self, progress: _Progress[Answer]) -> None:
        """Ask a second replica; the first of the two answers counts."""
        progress.may_hedge = False
        if not self._trials.may_hedge(progress.case, beside=progress.tried[-1]) or not self._budget.grants("hedge"):
            return
        if (other := self._take(progress.binding, progress.tried)) is None:
            self._budget.give_back()
        else:
            log.debug("hedge", replica=other.replica.address, beside=progress.tried[-1].address)
            self._start(progress, other)

    async def _lost(self, progress: _Progress[Answer], replica: Replica, error: ReplicaError) -> None:
        """An attempt failed: ask another replica, wait for the attempts that still run, or give up by raising."""
        progress.may_hedge = False
        again = await self._next(progress, replica, error)
        if again:
            log.debug("retry", replica=again.replica.address, after=replica.address, reason=str(error))
            add_to_request_line(after=replica.address, reason=str(error))
            self._start(progress, again)
        elif not progress.running:
            raise error

    async def _next(self, progress: _Progress[Answer], replica: Replica, error: ReplicaError) -> Slot | None:
        """A slot for the retry: on another replica, or on the same one where our view of it was out of date."""
        if error.gone:
            self._look_again()
        if not error.elsewhere or len(progress.tried) >= MAX_ATTEMPTS or progress.case.over:
            return None
        if progress.case.loss:
            if progress.running:  # the other attempt goes on
                return None
            take = partial(self._take, progress.binding)
            return await self._trials.slot(progress.case, error, take, tried=progress.tried, deadline=progress.deadline)
        free = error.free and not progress.free_used
        if not free and not self._budget.grants("retry"):
            return None
        progress.free_used = progress.free_used or free
        if error.refreshes:
            await self._refresh(replica)
        if error.rests:
            await asyncio.sleep(BUSY_PAUSE_S * 2 ** (len(progress.tried) - 1) * (0.5 + random()))  # noqa: S311
        slot = self._take(progress.binding, progress.tried)
        if slot is None and error.same_again and progress.tried.count(replica) == 1:
            slot = self._take(progress.binding, [tried for tried in progress.tried if tried is not replica])
        if slot is None and not free:
            self._budget.give_back()
        return slot

    # --- one attempt ------------------------------------------------------------------------------------------

    async def _attempt(self, slot: Slot, progress: _Progress[Answer]) -> Answer | ReplicaError:
        """The answer, or why there is none; gives the slot back.

        The failure is returned, since an exception of a task whose request is over would never be retrieved.
        """
        started = self._clock()
        outcome = "abandoned"  # by us: the gateway stops
        try:
            with tracing.span("attempt", {"replica": slot.replica.address, "model.version": slot.model.version}):
                answer = await self._in_time(progress.ask(slot.replica, slot.model), started)
            outcome = "ok"
            now = self._clock()
            if body := progress.case.body:
                self._quarantine.answers.append((body.name, body.target, now))
            if self._quarantine.held or self._quarantine.losses:
                self._trials.answered(progress.case, now)
            counts = (progress.measured is None or progress.measured(answer)) and not self._lag.stalled(started)
            self._pool.succeeded(slot.replica, now, now - started if counts else None, in_flight=slot.in_flight)
            return answer
        except ReplicaError as error:
            outcome = error.outcome()
            self._trials.failed(progress.case, slot.replica, error, since=started)
            self._failed(slot.replica, error, started)
            return error
        finally:
            if (body := progress.case.body) and self._trials.at_work.get(body.name) is slot:
                del self._trials.at_work[body.name]
            if progress.case.tried_at is slot.replica:
                self._trials.ended(progress.case)
            self._pool.finished(slot.replica)  # last: a request that waits is not to get a replica that has just failed
            metrics.attempt_seconds(slot.model.version, outcome).observe(self._clock() - started)

    async def _in_time(self, asked: Awaitable[Answer], started: float) -> Answer:
        limit, until = asyncio.timeout(None), started + self._attempt_timeout_s
        timer = asyncio.get_running_loop().call_at(until, self._time_is_up, limit, until)
        try:
            async with limit:
                return await asked
        except TimeoutError as cause:
            raise AttemptTimeoutError(f"no answer within {self._attempt_timeout_s:g} s") from cause
        finally:
            timer.cancel()
            del limit  # it refers to the task, whose failure refers to this frame: a cycle that would keep the picture

    def _time_is_up(self, limit: asyncio.Timeout, until: float) -> None:
        now = self._clock()
        limit.reschedule(now + (GRACE_S if now - until > STALL_S else 0))

    def _failed(self, replica: Replica, error: ReplicaError, started: float) -> None:
        now = self._clock()
        if error.rests:
            self._pool.busy(replica, now)
        if error.counts and not (error.timed_here and self._lag.stalled(started)):
            self._pool.failed(replica, now, str(error), suspect=error.suspect)
