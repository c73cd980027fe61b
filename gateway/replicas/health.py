"""Looks at every replica on a timer and tells the pool which versions, if any, it may be asked for.

A replica is ready when a version is AVAILABLE, its contract is accepted (`catalog`), and this very replica has answered
for the golden picture with it; a status of 200 alone says little. Each replica has a watch of its own, so
that one which hangs delays nobody else's probe, and the pauses are spread by a tenth, so that gateways do not march.

Source: docs/tensorflow-serving.md, "Status" and "Load states".
"""

import asyncio
from collections.abc import Callable
from random import uniform

import structlog

from gateway import metrics
from gateway.contract import ServedModel
from gateway.errors import (
    AttemptTimeoutError,
    BadAnswerError,
    ContractError,
    ReplicaError,
    ReplicaFailedError,
    ReplicaRejectedError,
    ReplicaUnreachableError,
)
from gateway.lag import LagProbe
from gateway.replicas.attempts import STALL_S
from gateway.replicas.catalog import Catalog
from gateway.replicas.discovery import Discovery
from gateway.replicas.pool import Pool
from gateway.replicas.replica import Replica
from gateway.replicas.transitions import Transitions
from gateway.replicas.waiting import WaitingLine
from gateway.tfserving import TFServing

AVAILABLE = "AVAILABLE"
LEAST_PAUSE_S = 0.1
"""Between two looks, however often somebody asks for one."""

log = structlog.get_logger()


class Health:
    """Keeps the pool's picture of the replicas true."""

    def __init__(
        self,
        pool: Pool,
        client: TFServing,
        catalog: Catalog,
        discovery: Discovery,
        transitions: Transitions,
        line: WaitingLine,
        lag: LagProbe,
        *,
        clock: Callable[[], float],
        model_name: str,
        interval_s: float,
        timeout_s: float,
        golden_timeout_s: float,
    ) -> None:
        """`timeout_s` for its status; `golden_timeout_s` for all that a new version is asked."""
        self._pool = pool
        self._client = client
        self._catalog = catalog
        self._discovery = discovery
        self._transitions = transitions
        self._line = line
        self._lag = lag
        self._clock = clock
        self._model_name = model_name
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._golden_timeout_s = golden_timeout_s
        self._watches: dict[Replica, asyncio.Task[None]] = {}
        self._probes: dict[Replica, asyncio.Task[None]] = {}
        self._wanted = asyncio.Event()

    # --- on a timer -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look for ever; ends by cancellation."""
        try:
            while True:
                try:
                    await self._discover()
                except Exception:  # a defect here must not leave the pool's picture standing still for ever, unnoticed
                    log.exception("discovery failed")
                await self._pause()
        finally:
            for task in (*self._watches.values(), *self._probes.values()):
                task.cancel()

    async def look(self) -> None:
        """One round now: who is there, and how are they."""
        self._pool.set_addresses(await self._discovery.addresses())
        await asyncio.gather(*(self.probe(replica) for replica in self._pool.replicas))
        self._forget()

    def look_again(self) -> None:
        """Soon: a connection failed, so somebody has gone or moved."""
        self._discovery.expire()
        self._wanted.set()

    async def _pause(self) -> None:
        self._wanted.clear()
        try:
            async with asyncio.timeout(self._interval_s):
                await self._wanted.wait()
        except TimeoutError:
            return
        for replica in self._pool.replicas:
            if replica.models:
                self._probing(replica)
        await asyncio.sleep(LEAST_PAUSE_S)

    async def _discover(self) -> None:
        self._pool.set_addresses(await self._discovery.addresses())
        metrics.DISCOVERY_UP.set(not self._discovery.trouble)
        present = set(self._pool.replicas)
        for gone in self._watches.keys() - present:
            log.info("replica removed", replica=gone.address, in_flight=gone.in_flight)
            self._watches.pop(gone).cancel()
        for new in present - self._watches.keys():
            self._watches[new] = asyncio.create_task(self._watch(new))
        self._forget()

    def _forget(self) -> None:
        """Versions that nobody has any more."""
        self._catalog.keep({version for replica in self._pool.replicas for version in replica.versions})

    async def _watch(self, replica: Replica) -> None:
        while True:
            try:
                await self.probe(replica)
            except Exception:  # as above
                log.exception("probe failed", replica=replica.address)
            await asyncio.sleep(self._interval_s * uniform(0.9, 1.1))  # noqa: S311

    # --- one replica ------------------------------------------------------------------------------------------

    async def probe(self, replica: Replica) -> None:
        """Look at one replica now. Who asks while a look is under way gets that one."""
        await asyncio.shield(self._probing(replica))

    def _probing(self, replica: Replica) -> "asyncio.Task[None]":
        if (probe := self._probes.get(replica)) is None:
            self._probes[replica] = probe = asyncio.create_task(self._probe(replica))
            probe.add_done_callback(lambda _: self._probes.pop(replica, None))
        return probe

    async def _probe(self, replica: Replica) -> None:
        started = self._clock()
        try:
            await self._ask(replica)
        except ReplicaError as error:
            if not (isinstance(error, AttemptTimeoutError) and self._lag.most(started) > STALL_S):
                gone = isinstance(error, ReplicaUnreachableError)
                if self._pool.missed(replica, self._clock(), f"probe: {error}", gone=gone):
                    self._transitions.ejected(replica, "probes")
        self._transitions.note(replica)
        if replica.models:
            self._line.call()

    async def _ask(self, replica: Replica) -> None:
        """Its status, and what is new in it.

        Raises:
            ReplicaError: it did not answer, or wrongly.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                replica.versions = await self._client.status(replica.address, self._model_name)
        except TimeoutError as cause:
            raise AttemptTimeoutError(f"no status within {self._timeout_s:g} s") from cause
        try:
            async with asyncio.timeout(self._golden_timeout_s):
                models, reason = await self._acceptable(replica)
        except TimeoutError as cause:
            raise AttemptTimeoutError(f"no answer for the golden picture in {self._golden_timeout_s:g} s") from cause
        self._pool.found(replica, self._clock(), models, reason)

    async def _acceptable(self, replica: Replica) -> tuple[dict[str, ServedModel], str]:
        """The versions it may be asked for, and why not for others."""
        models: dict[str, ServedModel] = {}
        refusals: list[str] = []
        for version in sorted(replica.versions, reverse=True):
            if replica.versions[version] != AVAILABLE:
                continue
            verdict = await self._catalog.verdict(replica.address, version)
            if isinstance(verdict, ContractError):
                refusals.append(f"version {version} is refused: {verdict}")
            elif refusal := await self._failing(replica, verdict):
                refusals.append(f"version {version} fails here: {refusal}")
            else:
                models[verdict.version] = verdict
        return models, "; ".join(refusals) or ("" if models else f"no version of {self._model_name} is {AVAILABLE}")

    async def _failing(self, replica: Replica, model: ServedModel) -> str:
        """What is wrong with the golden picture's answer; empty where it is right, or was and need not be asked for.

        Asked for is it once for each version on each replica, and after an ejection until it is right.
        """
        known = replica.models.get(model.version) is model
        if known and not replica.doubted:
            return ""
        started = self._clock()
        try:
            await self._catalog.prove(replica.address, model)
        except (BadAnswerError, ReplicaFailedError, ReplicaRejectedError) as error:
            return "" if known else str(error)  # a known one is ejected already, and stays so
        self._pool.proved(replica, self._clock(), self._clock() - started)
        return ""
