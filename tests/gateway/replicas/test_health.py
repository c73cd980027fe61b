"""What the probes find, and what the pool is told."""

import asyncio
import errno
import time

import httpx
import pytest

from gateway.errors import OverloadedError
from gateway.services import running
from gateway.settings import Settings
from tests.fakes import FakeReplica, network
from tests.gateway.replicas.conftest import Run, predict, reason, states, until
from tests.rounds import look


async def test_a_status_of_200_without_an_available_version_is_not_ready(run: Run) -> None:
    services = await run(FakeReplica("a:1", versions={}, states={1: "LOADING"}))
    assert states(services) == {"a:1": "not ready"}
    assert reason(services.pool) == "no version of my_model is AVAILABLE"


async def test_an_unreachable_replica_is_not_ready_and_comes_back_by_itself(run: Run) -> None:
    a, b = FakeReplica("a:1", reachable=False), FakeReplica("b:1")
    services = await run(a, b)
    assert states(services) == {"a:1": "not ready", "b:1": "available"}
    a.reachable = True
    await look(services)
    assert states(services) == {"a:1": "available", "b:1": "available"}


async def test_a_replica_that_went_away_is_back_with_its_second_good_probe(run: Run) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    services = await run(a, b)
    a.reachable = False
    for _ in range(2):
        await look(services)
    assert states(services) == {"a:1": "not ready", "b:1": "available"}
    a.reachable = True
    await look(services)
    assert states(services) == {"a:1": "not ready", "b:1": "available"}
    await look(services)
    assert states(services) == {"a:1": "available", "b:1": "available"}


class Hanging(httpx.AsyncBaseTransport):
    """Replicas that do not answer a status call while they hang."""

    def __init__(self, *replicas: FakeReplica) -> None:
        self.inner = network(*replicas)
        self.hanging: set[str] = set()
        self.asked = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.netloc.decode() in self.hanging:
            self.asked.set()
            await asyncio.Event().wait()
        return await self.inner.handle_async_request(request)


async def test_replicas_that_do_not_answer_the_probe_are_ejected_but_never_all_of_them() -> None:
    wire = Hanging(FakeReplica("a:1"), FakeReplica("b:1"))
    async with running(Settings(upstream="a:1,b:1", probe_timeout_s=0.01, probe_interval_s=300), wire) as services:
        await look(services)
        wire.hanging = {"a:1", "b:1"}
        for _ in range(4):
            await look(services)
        assert sorted(states(services).values()) == ["available", "ejected"]


async def test_one_that_hangs_does_not_keep_the_others_from_being_ready() -> None:
    wire = Hanging(FakeReplica("a:1"), FakeReplica("b:1"))
    wire.hanging = {"a:1"}
    async with running(Settings(upstream="a:1,b:1", probe_timeout_s=30), wire) as services:
        await until(lambda: states(services).get("b:1") == "available")
        assert states(services)["a:1"] == "not ready"


async def test_a_probe_missed_while_the_gateway_itself_stalls_does_not_count() -> None:
    wire = Hanging(FakeReplica("a:1"), FakeReplica("b:1"))
    settings = Settings(upstream="a:1,b:1", probe_timeout_s=0.3, probe_interval_s=300)
    async with running(settings, wire) as services:
        await look(services)
        wire.hanging = {"a:1"}
        for _ in range(2):
            wire.asked.clear()
            round_ = asyncio.create_task(look(services))
            await wire.asked.wait()
            time.sleep(0.5)  # noqa: ASYNC251  the stall itself
            await round_
        assert states(services) == {"a:1": "available", "b:1": "available"}
        assert services.pool.replicas[0].missed == 0


class Exhausted(httpx.AsyncBaseTransport):
    """A wire on which the gateway has no descriptor for a connection."""

    def __init__(self, *replicas: FakeReplica) -> None:
        self.inner = network(*replicas)
        self.none_left = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.none_left:
            raise httpx.ConnectError("cannot connect") from OSError(errno.EMFILE, "Too many open files")
        return await self.inner.handle_async_request(request)


async def test_a_gateway_without_descriptors_says_that_it_is_full_and_blames_no_replica() -> None:
    wire = Exhausted(FakeReplica("a:1"), FakeReplica("b:1"))
    async with running(Settings(upstream="a:1,b:1", probe_interval_s=300), wire) as services:
        await look(services)
        wire.none_left = True
        for _ in range(4):
            await look(services)
            with pytest.raises(OverloadedError, match="descriptor") as refused:
                await predict(services)
            assert refused.value.retry_after_s == 1
        assert states(services) == {"a:1": "available", "b:1": "available"}
        wire.none_left = False
        await predict(services)
