"""One round of probes, so that a test need not wait for a timer."""

import asyncio

from gateway.services import Services


async def look(services: Services) -> None:
    """Look the addresses up and probe every replica; returns when all probes have ended."""
    await services.health.discover()
    await asyncio.gather(*(services.health.probe(replica) for replica in services.pool.replicas))
