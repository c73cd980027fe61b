"""Random schedules of requests that come, leave and run out of time, over replicas that fail and change."""

import asyncio
from random import Random

import httpx
import pytest

from gateway.errors import GatewayError
from gateway.replicas.versions import Binding
from gateway.services import Services, running
from gateway.settings import Settings
from tests.fakes import FakeModel, FakeReplica, answer, is_golden, network
from tests.gateway.replicas.conftest import PIXELS, until
from tests.rounds import look

NAMES = ("a:1", "b:1", "c:1")
FAULTS: list[httpx.Response | Exception | None] = [
    httpx.ReadError("reset"),
    httpx.ConnectError("refused"),
    *(answer(status, {}) for status in (400, 404, 500, 503)),
    *[None] * 12,
]


class Erratic(httpx.AsyncBaseTransport):
    """Replicas whose predictions take some turns of the event loop, and sometimes fail."""

    def __init__(self, random: Random, *replicas: FakeReplica) -> None:
        self.inner = network(*replicas)
        self.random = random

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        if b'"b64"' not in body or is_golden(body):
            return await self.inner.handle_async_request(request)
        for _ in range(self.random.choice((0, 1, 5, 20))):
            await asyncio.sleep(0)
        fault = self.random.choice(FAULTS)
        if isinstance(fault, Exception):
            raise fault
        return fault or await self.inner.handle_async_request(request)


async def request(services: Services, random: Random) -> str:
    """What became of it."""
    bound = random.choice((Binding(), Binding("1", strict=True), Binding("2", strict=True), Binding("2")))
    deadline = services.clock() + random.choice((0, 0.001, 30, 30))
    pixels = PIXELS.copy()
    pixels[0, 0] = [random.randrange(256) for _ in range(3)]
    try:
        await services.dispatcher.predict(pixels, deadline=deadline, binding=bound)
    except GatewayError as error:
        return type(error).__name__
    return "answered"


@pytest.mark.parametrize("seed", range(6))
async def test_no_schedule_loses_a_slot_or_ends_in_an_unforeseen_error(seed: int) -> None:
    random = Random(seed)
    replicas = [FakeReplica(name, versions={1: FakeModel(), 2: FakeModel()}) for name in NAMES]
    del replicas[0].versions[2]
    settings = Settings(
        upstream=",".join(NAMES),
        replica_max_in_flight=random.choice((1, 3)),
        queue_wait_s=random.choice((0, 0.001, 30)),
        queue_size=random.choice((1, 64)),
        hedge=seed % 2 == 0,
        probe_interval_s=300,
    )
    async with running(settings, Erratic(random, *replicas)) as services:
        await look(services)
        tasks: list[asyncio.Task[str]] = []
        ever = set(services.pool.replicas)
        for _ in range(300):
            step = random.random()
            if step < 0.75:
                tasks.append(asyncio.create_task(request(services, random)))
            elif step < 0.95 and tasks:
                random.choice(tasks[-20:]).cancel()
            elif step > 0.98:
                services.pool.set_addresses(random.sample(NAMES, random.randint(1, 3)))
                ever.update(services.pool.replicas)
                await look(services)
                ever.update(services.pool.replicas)
            for _ in range(random.choice((0, 0, 1, 3))):
                await asyncio.sleep(0)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert "answered" in outcomes
        unforeseen = [o for o in outcomes if not isinstance(o, str | asyncio.CancelledError)]
        assert not unforeseen
        await until(lambda: not any(replica.in_flight for replica in ever))
        assert not services.pool.queue.waiting
        assert not any(replica.on_ejection for replica in ever)
