"""Attempts at one request: which replica, how long, whose failure it was, and whether another one gets a turn.

A request has one deadline, whatever happens inside it. A failed attempt that another replica may do better
(`ReplicaError.retriable`) goes back to `pool.pick` without those already tried, while the retry budget lasts.
This is the place for hedging.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import structlog

from gateway import metrics
from gateway.contract import ServedModel
from gateway.errors import (
    AttemptTimeoutError,
    ConnectionLostError,
    DeadlineError,
    NoReplicaError,
    OverloadedError,
    ReplicaBusyError,
    ReplicaError,
    UpstreamError,
    VersionGoneError,
)
from gateway.imaging import Pixels
from gateway.labels import Probabilities
from gateway.replicas.budget import RetryBudget
from gateway.replicas.pool import Pool, Replica
from gateway.tfserving import Call, Reply, TFServing

MAX_ATTEMPTS = 3
RETRY_AFTER_S = 1

log = structlog.get_logger()
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Prediction:
    """The model's answer for one picture, and which version gave it."""

    probabilities: Probabilities
    model: ServedModel


class Dispatcher:
    """Sends each request to the replica whose turn it is."""

    def __init__(
        self,
        pool: Pool,
        client: TFServing,
        *,
        clock: Callable[[], float],
        attempt_timeout_s: float,
        refresh: Callable[[Replica], Awaitable[None]],
    ) -> None:
        """`refresh` looks at one replica at once: its versions have changed under a request."""
        self._pool = pool
        self._client = client
        self._clock = clock
        self._attempt_timeout_s = attempt_timeout_s
        self._budget = RetryBudget()
        self._refresh = refresh

    async def predict(self, pixels: Pixels, *, deadline: float) -> Prediction:
        """Probabilities of one picture, uint8 (224, 224, 3).

        Args:
            deadline: moment on the event loop's clock.

        Raises:
            NoReplicaError, OverloadedError, DeadlineError, UpstreamError: as an answer to the client.
        """

        async def ask(replica: Replica) -> Prediction:
            model = replica.model
            assert model is not None, "pick returns ready replicas only"
            return Prediction(await self._client.predict(replica.address, model, pixels), model)

        try:
            return await self._until(deadline, ask)
        except ReplicaError as error:
            _give_up(error)

    async def forward(self, call: Call, *, deadline: float) -> Reply:
        """A TensorFlow Serving client's own call; where every replica refuses, the last one's answer.

        Raises:
            NoReplicaError, OverloadedError, DeadlineError, UpstreamError: as an answer to the client.
        """
        last: Reply | None = None

        async def ask(replica: Replica) -> Reply:
            nonlocal last
            last = await self._client.forward(replica.address, call)
            if last.status != 400:  # the client's own mistake, told in the replica's words
                last.body_if_200()
            return last

        try:
            return await self._until(deadline, ask)
        except ReplicaError as error:
            if last is not None:
                return last
            _give_up(error)

    async def _until(self, deadline: float, ask: Callable[[Replica], Awaitable[Answer]]) -> Answer:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._attempts(ask)
        except TimeoutError as cause:
            raise DeadlineError("no replica answered before the deadline") from cause

    async def _attempts(self, ask: Callable[[Replica], Awaitable[Answer]]) -> Answer:
        tried: list[Replica] = []
        self._budget.pay_in()
        replica = self._pool.pick(self._clock())
        if replica is None:
            self._turn_away()
        for attempts_left in reversed(range(MAX_ATTEMPTS)):
            try:
                return await self._attempt(replica, ask)
            except ReplicaError as error:
                tried.append(replica)
                again = await self._next(replica, error, tried) if error.retriable and attempts_left else None
                if again is None or not self._may_retry():
                    raise
                log.info("retry", replica=again.address, after=replica.address, reason=str(error))
                replica = again
        raise AssertionError("unreachable")

    def _may_retry(self) -> bool:
        granted = self._budget.take()
        metrics.RETRIES.labels("granted" if granted else "denied").inc()
        return granted

    async def _next(self, replica: Replica, error: ReplicaError, tried: list[Replica]) -> Replica | None:
        """Who gets the next turn: somebody else, or the same one where its failure was only our stale view of it."""
        if isinstance(error, VersionGoneError):
            await self._refresh(replica)
        other = self._pool.pick(self._clock(), tried=tried)
        stale = isinstance(error, VersionGoneError | ConnectionLostError) and tried.count(replica) == 1
        return other or (self._pool.pick(self._clock(), tried=set(tried) - {replica}) if stale else None)

    async def _attempt(self, replica: Replica, ask: Callable[[Replica], Awaitable[Answer]]) -> Answer:
        started = self._clock()
        outcome = "abandoned"  # by the client or by the deadline: nobody's failure
        self._pool.started(replica)
        try:
            async with asyncio.timeout(self._attempt_timeout_s):
                answer = await ask(replica)
            outcome = "ok"
            self._pool.succeeded(replica)
            return answer
        except TimeoutError as cause:
            outcome = "timeout"
            error = AttemptTimeoutError(f"no answer within {self._attempt_timeout_s:g} s")
            self._failed(replica, error)
            raise error from cause
        except ReplicaError as error:
            outcome = type(error).__name__.removesuffix("Error")
            self._failed(replica, error)
            raise
        finally:
            self._pool.finished(replica)
            metrics.attempt_finished(replica.address, outcome, self._clock() - started)

    def _failed(self, replica: Replica, error: ReplicaError) -> None:
        if error.counts and self._pool.failed(replica, self._clock()):
            log.warning("replica ejected", replica=replica.address, reason=str(error))

    def _turn_away(self) -> NoReturn:
        if self._pool.ready:
            raise OverloadedError("every replica is at its limit of requests in flight", retry_after_s=RETRY_AFTER_S)
        raise NoReplicaError("no replica serves this model at the moment", retry_after_s=RETRY_AFTER_S)


def _give_up(error: ReplicaError) -> NoReturn:
    """The last attempt's failure as an answer to the client, who is not told what a replica said."""
    if isinstance(error, ReplicaBusyError):
        raise OverloadedError("every replica that was asked is busy", retry_after_s=RETRY_AFTER_S) from error
    if isinstance(error, VersionGoneError):
        raise NoReplicaError("the model is being replaced", retry_after_s=RETRY_AFTER_S) from error
    raise UpstreamError("no replica that was asked gave a usable answer") from error
