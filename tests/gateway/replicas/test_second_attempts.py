"""A second attempt beside the first: hedges, and replicas that are ejected while a request waits for them."""

import asyncio

import httpx
import pytest

from gateway.errors import DeadlineError
from gateway.services import Services, running
from gateway.settings import Settings
from gateway.tfserving.contract import Prediction
from tests.fakes import FakeReplica, answer
from tests.gateway.replicas.conftest import predict, until
from tests.gateway.replicas.wires import Gate, SlowFirst
from tests.rounds import look


async def on_two_replicas(services: Services, wire: Gate) -> "asyncio.Task[Prediction]":
    """A request that is held by the first replica, and, since that has missed its probes, by the second beside it."""
    request = asyncio.create_task(predict(services))
    await until(lambda: wire.held == ["a:1"])
    for _ in range(2):
        services.pool.missed(services.pool.replicas[0], services.clock(), "no status")
    await until(lambda: wire.held == ["a:1", "b:1"])
    return request


async def test_a_good_answer_that_arrives_with_a_failure_is_taken_and_no_third_replica_is_asked() -> None:
    a, b, c = FakeReplica("a:1"), FakeReplica("b:1"), FakeReplica("c:1")
    wire = Gate(a, b, c)
    async with running(Settings(upstream="a:1,b:1,c:1", probe_interval_s=300), wire) as services:
        await look(services)
        a.faults.append(answer(500, {"error": "internal"}))
        request = await on_two_replicas(services, wire)
        wire.open.set()
        assert (await request).probabilities.argmax() == 2
        assert wire.held == ["a:1", "b:1"]


async def test_when_a_replica_hangs_another_is_asked_beside_it() -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    wire = SlowFirst("a:1", a, b)
    async with running(Settings(upstream="a:1,b:1", hedge=True), wire) as services:
        await look(services)
        for _ in range(60):  # from which it learns how long an answer takes
            await predict(services)
        wire.hanging = True
        for _ in range(4):
            assert (await predict(services)).probabilities.argmax() == 2
        assert wire.waiting.is_set()
        assert services.pool.replicas[0].in_flight >= 1
        wire.go.set()
        await until(lambda: services.pool.replicas[0].in_flight == 0)


async def test_a_request_that_waits_for_a_replica_being_ejected_is_answered_by_another() -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    wire = SlowFirst("a:1", a, b)
    async with running(Settings(upstream="a:1,b:1"), wire) as services:
        await look(services)
        wire.hanging = True
        requests = [asyncio.create_task(predict(services)) for _ in range(2)]
        await wire.waiting.wait()
        slow = services.pool.replicas[0]
        for _ in range(2):
            services.pool.missed(slow, services.clock(), "no status")
        assert [(await request).probabilities.argmax() for request in requests] == [2, 2]
        wire.go.set()


@pytest.mark.parametrize(("known", "asked"), [(False, ["a:1"]), (True, ["a:1", "b:1"])])
async def test_where_connections_broke_only_a_harmless_request_gets_a_second_replica(
    known: bool, asked: list[str]
) -> None:
    wire = Gate(FakeReplica("a:1"), FakeReplica("b:1"))
    async with running(Settings(upstream="a:1,b:1", probe_interval_s=300), wire) as services:
        await look(services)
        if known:
            wire.open.set()
            for _ in range(2):
                await predict(services)
            wire.open.clear()
            wire.held.clear()
        request = asyncio.create_task(predict(services))
        await until(lambda: wire.held == ["a:1"])
        replica = services.pool.replicas[0]
        for _ in range(2):
            services.pool.failed(replica, services.clock(), "the connection broke", suspect=True)
        assert replica.state(services.clock()) == "ejected"
        for _ in range(20):
            await asyncio.sleep(0)
        assert wire.held == asked
        wire.open.set()
        await request


async def test_of_two_attempts_one_may_lose_its_connection_and_no_third_replica_is_asked() -> None:
    a, b, c = FakeReplica("a:1"), FakeReplica("b:1"), FakeReplica("c:1")
    wire = Gate(a, b, c)
    async with running(Settings(upstream="a:1,b:1,c:1", probe_interval_s=300), wire) as services:
        await look(services)
        b.faults.append(httpx.ReadError("reset"))
        request = await on_two_replicas(services, wire)
        wire.open.set()
        assert (await request).probabilities.argmax() == 2
        assert (len(b.seen), len(c.seen)) == (1, 0)


async def test_a_request_that_timed_out_on_two_replicas_is_not_given_to_a_third() -> None:
    wire = Gate(FakeReplica("a:1"), FakeReplica("b:1"), FakeReplica("c:1"))
    settings = Settings(upstream="a:1,b:1,c:1", probe_interval_s=300, attempt_timeout_s=0.05)
    async with running(settings, wire) as services:
        await look(services)
        with pytest.raises(DeadlineError):
            await predict(services)
        assert wire.held == ["a:1", "b:1"]
        wire.open.set()
