"""Probes every replica on a timer and tells the pool which versions, if any, it may be asked for.

A replica is probed for its status; which of its versions serve is `acceptance`'s business, and no version can be held
against the replica. Each replica has a timer of its own, so that one which hangs delays no other's probe, and the
pauses are spread by a tenth, so that gateways do not march in step.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from random import uniform

import structlog

from gateway.failures import AttemptTimeoutError, ReplicaError
from gateway.observe import metrics
from gateway.observe.lag import LagProbe
from gateway.replicas.acceptance import Acceptance
from gateway.replicas.discovery import Discovery
from gateway.replicas.pool import Pool
from gateway.replicas.replica import AVAILABLE, Replica
from gateway.tfserving import TFServing, VersionStatus

LEAST_PAUSE_S = 0.1
"""Between two rounds, however often one is asked for."""

log = structlog.get_logger()


class Health:
    """Keeps the pool's picture of the replicas true."""

    def __init__(
        self,
        pool: Pool,
        client: TFServing,
        acceptance: Acceptance,
        discovery: Discovery,
        lag: LagProbe,
        *,
        clock: Callable[[], float],
        model_name: str,
        interval_s: float,
        timeout_s: float,
    ) -> None:
        """`timeout_s`: for the status, and again for waiting until new versions are examined."""
        self._pool = pool
        self._client = client
        self._acceptance = acceptance
        self._discovery = discovery
        self._lag = lag
        self._clock = clock
        self._model_name = model_name
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._watches: dict[Replica, asyncio.Task[None]] = {}
        self._probes: dict[Replica, asyncio.Task[None]] = {}
        self._wanted = asyncio.Event()

    # --- on a timer -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Probe for ever; ends by cancellation."""
        try:
            while True:
                try:
                    await self.discover()
                except Exception:  # a defect here must not leave the pool's picture standing still unnoticed
                    log.exception("discovery failed")
                await self._pause()
        finally:
            for task in (*self._watches.values(), *self._probes.values()):
                task.cancel()
            self._acceptance.close()

    def look_again(self) -> None:
        """One round soon: a connection failed, so a replica has gone or moved."""
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

    async def discover(self) -> None:
        """Look the addresses up, and begin to probe those that are new."""
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
        """Drop what is known of versions that no replica has any more: a number may come back as another model."""
        replicas = self._pool.replicas
        self._acceptance.keep({version for replica in replicas for version in replica.held})
        metrics.forget_versions({str(version) for replica in replicas for version in replica.versions})

    async def _watch(self, replica: Replica) -> None:
        while True:
            try:
                await self.probe(replica)
            except Exception:  # as above
                log.exception("probe failed", replica=replica.address)
            await asyncio.sleep(self._interval_s * uniform(0.9, 1.1))  # noqa: S311

    # --- one replica ------------------------------------------------------------------------------------------

    async def probe(self, replica: Replica) -> None:
        """Probe one replica now. During a probe, further callers get the same one."""
        await asyncio.shield(self._probing(replica))

    def _probing(self, replica: Replica) -> "asyncio.Task[None]":
        if (probe := self._probes.get(replica)) is None:
            # In an empty context: a request may ask for it, whose id the probe must not carry.
            self._probes[replica] = probe = asyncio.create_task(self._probe(replica), context=Context())
            probe.add_done_callback(lambda _: self._probes.pop(replica, None))
        return probe

    async def _probe(self, replica: Replica) -> None:
        started = self._clock()
        try:
            replica.versions = await self._status(replica)
        except ReplicaError as error:
            if not (error.ours or (error.timed_here and self._lag.stalled(started))):
                self._pool.missed(replica, self._clock(), f"probe: {error}", gone=error.gone)
            return
        finally:
            self._forget()
        models, refused = await self._acceptance.of(replica, wait_s=self._timeout_s)
        reason = "" if models else f"no version of {self._model_name} is {AVAILABLE}"
        self._pool.found(replica, self._clock(), models, refused, reason=reason)

    async def _status(self, replica: Replica) -> dict[int, VersionStatus]:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._client.status(replica.address, self._model_name)
        except TimeoutError as cause:
            raise AttemptTimeoutError(f"no status within {self._timeout_s:g} s") from cause
