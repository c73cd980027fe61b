"""Running services in front of fake replicas."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest

from gateway.replicas.pool import Pool
from gateway.services import Services, running
from gateway.settings import Settings
from gateway.tfserving.contract import Prediction
from tests.fakes import FakeReplica, network
from tests.rounds import look

PIXELS = np.zeros((224, 224, 3), np.uint8)
Run = Callable[..., Awaitable[Services]]


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """Called with replicas and settings: running services that have looked at the replicas once."""
    async with AsyncExitStack() as stack:

        async def started(*replicas: FakeReplica, **settings: Any) -> Services:
            upstream = ",".join(replica.address for replica in replicas)
            chosen = Settings(**{"upstream": upstream, "probe_interval_s": 300, **settings})
            services = await stack.enter_async_context(running(chosen, network(*replicas)))
            await look(services)
            return services

        yield started


async def predict(services: Services) -> Prediction:
    return await services.dispatcher.predict(PIXELS, deadline=services.deadline())


async def until(claim: Callable[[], bool], *, within_s: float = 30) -> None:
    """Wait for it to come true."""
    async with asyncio.timeout(within_s):
        while not claim():
            await asyncio.sleep(0.001)


def states(services: Services) -> dict[str, str]:
    return {replica.address: replica.state(services.clock()) for replica in services.pool.replicas}


def reason(pool: Pool) -> str:
    return pool.replicas[0].reason
