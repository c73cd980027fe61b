"""Looks at every replica on a timer and tells the pool which version, if any, it may be asked for."""

import asyncio

import structlog

from gateway.contract import ServedModel
from gateway.errors import ContractError, ReplicaError
from gateway.replicas.catalog import Catalog
from gateway.replicas.discovery import Discovery
from gateway.replicas.pool import Pool, Replica
from gateway.tfserving import TFServing

AVAILABLE = "AVAILABLE"

log = structlog.get_logger()


class Health:
    """Keeps the pool's picture of the replicas true."""

    def __init__(
        self,
        pool: Pool,
        client: TFServing,
        catalog: Catalog,
        discovery: Discovery,
        *,
        model_name: str,
        interval_s: float,
        timeout_s: float,
    ) -> None:
        self._pool = pool
        self._client = client
        self._catalog = catalog
        self._discovery = discovery
        self._model_name = model_name
        self._interval_s = interval_s
        self._timeout_s = timeout_s

    async def run(self) -> None:
        """Look for ever; ends by cancellation."""
        while True:
            try:
                await self.look()
            except Exception:  # a defect here must not leave the pool's picture standing still, unnoticed, for ever
                log.exception("probing failed")
            await asyncio.sleep(self._interval_s)

    async def look(self) -> None:
        """One round: who is there, and how are they."""
        self._pool.set_addresses(await self._discovery.addresses())
        await asyncio.gather(*(self.probe(replica) for replica in self._pool.replicas))
        self._catalog.keep({version for replica in self._pool.replicas for version in replica.versions})

    async def probe(self, replica: Replica) -> None:
        """Ask one replica for its versions; the newest AVAILABLE one that we accept is the one it serves."""
        try:
            async with asyncio.timeout(self._timeout_s):
                replica.versions = await self._client.status(replica.address, self._model_name)
                model, reason = await self._newest_accepted(replica)
        except TimeoutError:
            model, reason = None, f"no answer to the probe within {self._timeout_s:g} s"
        except ReplicaError as error:
            model, reason = None, str(error)
        self._tell(replica, model, reason)

    async def _newest_accepted(self, replica: Replica) -> tuple[ServedModel | None, str]:
        refusals: list[str] = []
        for version in sorted(replica.versions, reverse=True):
            if replica.versions[version] != AVAILABLE:
                continue
            verdict = await self._catalog.verdict(replica.address, version)
            if not isinstance(verdict, ContractError):
                return verdict, "; ".join(refusals)
            refusals.append(f"version {version} is refused: {verdict}")
        return None, "; ".join(refusals) or f"no version of {self._model_name} is {AVAILABLE}"

    def _tell(self, replica: Replica, model: ServedModel | None, reason: str) -> None:
        was, replica.model, replica.reason = replica.model, model, reason
        if model and (was is None or was.version != model.version):
            log.info("replica ready", replica=replica.address, version=model.version)
        elif was and not model:
            log.warning("replica not ready", replica=replica.address, reason=reason)
