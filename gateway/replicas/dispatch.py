"""Attempts at one request: who is asked, who is asked next, and when it is given up.

A request has one deadline, whatever happens inside it. It waits for a place if all replicas are full (`waiting`), and
its attempt goes to the replica whose turn it is. A failed attempt that another replica may do better goes there while
the retry budget lasts; so does one that takes unusually long (hedging, where it is set) or whose replica has meanwhile
been ejected, and then the first answer counts. The version stays the same while any replica has it (`versions`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import random
from typing import Any, Generic, NoReturn

import structlog

from gateway.errors import (
    AttemptTimeoutError,
    ConnectionLostError,
    DeadlineError,
    GatewayError,
    NoReplicaError,
    OverloadedError,
    ReplicaBusyError,
    ReplicaError,
    ReplicaUnreachableError,
    UpstreamError,
    VersionGoneError,
    VersionNotServedError,
)
from gateway.imaging import Pixels
from gateway.labels import Probabilities
from gateway.observe import metrics
from gateway.replicas.attempts import Answer, Ask, Attempts
from gateway.replicas.budget import RetryBudget
from gateway.replicas.pool import Pool
from gateway.replicas.quantile import HedgeDelay
from gateway.replicas.replica import Replica
from gateway.replicas.transitions import Transitions
from gateway.replicas.versions import Binding
from gateway.replicas.waiting import WaitingLine
from gateway.tfserving import Call, Reply, TFServing
from gateway.tfserving.contract import ServedModel

MAX_ATTEMPTS = 3
RETRY_AFTER_S = 1
BUSY_PAUSE_S = 0.02
"""Before somebody else is asked after a 429 or 503; doubled for the next, and spread, so that clients do not march."""

log = structlog.get_logger()
told_with_the_request = structlog.contextvars.bind_contextvars
"""A request is one line of the log, however many attempts it takes. Pictures of a batch are tasks apart: not theirs."""
Chosen = tuple[Replica, ServedModel]


@dataclass(frozen=True)
class Prediction:
    """The model's answer for one picture, and which version gave it."""

    probabilities: Probabilities
    model: ServedModel


@dataclass
class _Race(Generic[Answer]):
    """The attempts at one request."""

    ask: Ask[Answer]
    binding: Binding
    tried: list[Replica] = field(default_factory=list)
    running: "dict[asyncio.Task[Answer], Replica]" = field(default_factory=dict)
    started: float = 0
    watching: bool = True
    """Whether a second replica may still be asked beside the first."""
    gone_again: bool = False
    """The one free try after a stale connection has been had."""
    winner: Replica | None = None

    @property
    def latest(self) -> Replica:
        return self.tried[-1]

    @property
    def answered_by(self) -> Replica:
        """Who did; where nobody did, who was asked last."""
        return self.winner or self.latest


class Dispatcher:
    """Sends each request to the replica whose turn it is."""

    def __init__(
        self,
        pool: Pool,
        client: TFServing,
        attempts: Attempts,
        line: WaitingLine,
        transitions: Transitions,
        *,
        clock: Callable[[], float],
        queue_wait_s: float,
        hedge: bool,
        refresh: Callable[[Replica], Awaitable[None]],
        look_again: Callable[[], None],
    ) -> None:
        """`refresh` looks at one replica now: its versions have changed; `look_again` at all: one is not there."""
        self._pool = pool
        self._client = client
        self._attempts = attempts
        self._line = line
        self._transitions = transitions
        self._clock = clock
        self._queue_wait_s = queue_wait_s
        self._budget = RetryBudget()
        self._hedge = HedgeDelay() if hedge else None
        self._refresh = refresh
        self._look_again = look_again

    async def predict(self, pixels: Pixels, *, deadline: float, binding: Binding | None = None) -> Prediction:
        """Probabilities of one picture, uint8 (224, 224, 3).

        Args:
            deadline: moment on the event loop's clock.
            binding: the version; shared by the pictures of a batch.

        Raises:
            NoReplicaError, OverloadedError, DeadlineError, UpstreamError, VersionNotServedError: as an answer to the
                client.
        """

        async def ask(replica: Replica, model: ServedModel) -> Prediction:
            left_s = deadline - self._clock()
            return Prediction(await self._client.predict(replica.address, model, pixels, timeout_s=left_s), model)

        try:
            return await self._until(deadline, _Race(ask, binding or Binding()))
        except ReplicaError as error:
            _give_up(error)

    async def forward(self, call: Call, *, deadline: float, binding: Binding | None = None) -> Reply:
        """A TensorFlow Serving client's own call; where every replica refuses, the last one's answer.

        Raises:
            NoReplicaError, OverloadedError, DeadlineError, UpstreamError: as an answer to the client.
        """
        last: Reply | None = None
        binding = binding or Binding()
        nowhere = binding.version is not None and not self._pool.serves(binding.version)

        async def ask(replica: Replica, model: ServedModel) -> Reply:
            nonlocal last
            last = await self._client.forward(replica.address, call)
            if last.status == 400 or (last.status == 404 and nowhere):
                return last  # the client's own mistake, told in the replica's words
            last.body_if_200()
            return last

        try:
            return await self._until(deadline, _Race(ask, binding))
        except ReplicaError as error:
            if last is not None:
                return last
            _give_up(error)

    async def _until(self, deadline: float, race: _Race[Answer]) -> Answer:
        self._budget.pay_in()
        try:
            async with asyncio.timeout_at(deadline):
                self._start(race, await self._admit(race.binding))
                return await self._run(race)
        except TimeoutError as cause:
            raise DeadlineError("no replica answered before the deadline") from cause
        finally:
            if race.tried:
                told_with_the_request(replica=race.answered_by.address, attempts=len(race.tried))

    # --- who is asked first -----------------------------------------------------------------------------------

    async def _admit(self, binding: Binding) -> Chosen:
        """The replica whose turn it is; if all are full, after a wait."""
        if not len(self._line) and (chosen := self._pick(binding)):
            return chosen
        if not self._pool.serves(binding.version if binding.strict else None):
            raise self._nobody(binding)
        until, first = self._clock() + self._queue_wait_s, False
        while not self._line.full and await self._line.wait(until, first=first):
            if chosen := self._pick(binding):
                return chosen
            first = True
        metrics.SHED.labels("replicas").inc()
        raise OverloadedError("every replica is at its limit of requests in flight", retry_after_s=RETRY_AFTER_S)

    def _pick(self, binding: Binding, tried: list[Replica] | None = None) -> Chosen | None:
        """By version where the request is bound to one, while any replica has it."""
        now, tried = self._clock(), tried or []
        chosen = self._pool.pick(now, version=binding.version, tried=tried)
        if chosen is None and binding.version and not binding.strict:
            others = [replica for replica in self._pool.replicas if replica not in tried]
            if not any(replica.model(binding.version) for replica in others):
                chosen = self._pool.pick(now, tried=tried)
        if chosen:
            binding.to(chosen[1].version)
        return chosen

    def _nobody(self, binding: Binding) -> GatewayError:
        if binding.strict and self._pool.serves(None):
            served = sorted({version for replica in self._pool.replicas for version in replica.models}, key=int)
            return VersionNotServedError(f"Version {binding.version} is not served; served: {', '.join(served)}.")
        return NoReplicaError("no replica serves this model at the moment", retry_after_s=RETRY_AFTER_S)

    # --- and then ---------------------------------------------------------------------------------------------

    def _start(self, race: _Race[Answer], chosen: Chosen) -> None:
        replica, model = chosen
        race.started = race.started or self._clock()
        race.tried.append(replica)
        race.running[self._attempts.start(replica, model, race.ask)] = replica

    async def _run(self, race: _Race[Answer]) -> Answer:
        """The first good answer of the race, or the failure after which nobody else is asked."""
        while True:
            done, _ = await self._next_event(race)
            ended = [task for task in race.running if task in done]
            if not ended:  # it takes unusually long, or its replica has been ejected
                self._ask_another_beside(race)
            for task in ended:
                replica = race.running.pop(task)
                error = task.exception()
                if error is None:
                    race.winner = replica
                    self._won(race)
                    return task.result()
                if not isinstance(error, ReplicaError):
                    raise error
                await self._lost(race, replica, error)

    async def _next_event(self, race: _Race[Answer]) -> tuple[set[asyncio.Future[Any]], object]:
        """An attempt ends; or something happens upon which another replica is asked beside the first."""
        watched: list[asyncio.Future[Any]] = [*race.running]
        patience = None
        if race.watching:
            watched.append(self._transitions.alarm(race.latest))
            patience = self._hedge.seconds if self._hedge else None
        return await asyncio.wait(watched, timeout=patience, return_when=asyncio.FIRST_COMPLETED)

    def _won(self, race: _Race[Answer]) -> None:
        if self._hedge and len(race.tried) == 1:
            self._hedge.took(self._clock() - race.started)

    def _ask_another_beside(self, race: _Race[Answer]) -> None:
        """A hedge: the first of the two answers counts."""
        race.watching = False
        if not self._may_retry("hedge"):
            return
        if (other := self._pick(race.binding, race.tried)) is None:
            self._budget.give_back()
        else:
            log.debug("hedge", replica=other[0].address, beside=race.latest.address)
            self._start(race, other)

    async def _lost(self, race: _Race[Answer], replica: Replica, error: ReplicaError) -> None:
        """One attempt failed: ask another, wait for those that still run, or give up by raising."""
        race.watching = False
        again = await self._another(race, replica, error)
        if again:
            log.debug("retry", replica=again[0].address, after=replica.address, reason=str(error))
            told_with_the_request(after=replica.address, reason=str(error))
            self._start(race, again)
        elif not race.running:
            raise error

    async def _another(self, race: _Race[Answer], replica: Replica, error: ReplicaError) -> Chosen | None:
        """Who gets the next turn: somebody else, or the same one where its failure was only our stale view of it."""
        if isinstance(error, ReplicaUnreachableError):
            self._look_again()
        if not error.retriable or len(race.tried) >= MAX_ATTEMPTS:
            return None
        free = error.free and not race.gone_again
        if not free and not self._may_retry("retry"):
            return None
        if isinstance(error, VersionGoneError):
            await self._refresh(replica)
        if isinstance(error, ReplicaBusyError):
            await asyncio.sleep(BUSY_PAUSE_S * 2 ** (len(race.tried) - 1) * (0.5 + random()))  # noqa: S311
        other = self._pick(race.binding, race.tried) or self._same_again(race, replica, error)
        if other is None and not free:
            self._budget.give_back()
        race.gone_again = race.gone_again or free
        return other

    def _same_again(self, race: _Race[Answer], replica: Replica, error: ReplicaError) -> Chosen | None:
        if not isinstance(error, VersionGoneError | ConnectionLostError) or race.tried.count(replica) > 1:
            return None
        return self._pick(race.binding, [tried for tried in race.tried if tried is not replica])

    def _may_retry(self, what: metrics.Again) -> bool:
        """Taken from the budget before the turn moves on: a retry that is denied must not cost anybody theirs."""
        granted = self._budget.take()
        metrics.RETRIES.labels(what, "granted" if granted else "denied").inc()
        return granted


def _give_up(error: ReplicaError) -> NoReturn:
    """The last attempt's failure as an answer to the client, who is not told what a replica said."""
    error.__traceback__ = None  # it leads back to the attempt: a circle that would keep picture and body in memory
    if isinstance(error, ReplicaBusyError):
        raise OverloadedError("every replica that was asked is busy", retry_after_s=RETRY_AFTER_S) from error
    if isinstance(error, VersionGoneError):
        raise NoReplicaError("the model is being replaced", retry_after_s=RETRY_AFTER_S) from error
    if isinstance(error, ReplicaUnreachableError | ConnectionLostError):
        raise NoReplicaError("no replica could be reached", retry_after_s=RETRY_AFTER_S) from error
    if isinstance(error, AttemptTimeoutError):
        raise DeadlineError("no replica that was asked answered in time") from error
    raise UpstreamError("no replica that was asked gave a usable answer") from error
