"""Requests that wait for a replica."""

import asyncio
from typing import Any

import pytest

from gateway.errors import (
    OverloadedError,
)
from gateway.replicas.versions import Binding
from gateway.services import running
from gateway.settings import Settings
from gateway.tfserving.contract import Prediction
from tests.fakes import FakeModel, FakeReplica, answer
from tests.gateway.replicas.conftest import PIXELS, predict, until
from tests.gateway.replicas.wires import Gate, Slow, SlowFirst
from tests.rounds import look


async def test_a_request_that_finds_every_replica_full_waits_for_a_slot() -> None:
    wire = Slow(FakeReplica("a:1"))
    async with running(Settings(upstream="a:1", replica_max_in_flight=1, queue_wait_s=30), wire) as services:
        await look(services)
        first = asyncio.create_task(predict(services))
        await wire.waiting.wait()
        second = asyncio.create_task(predict(services))
        await until(lambda: len(services.pool.queue.waiting) == 1)
        wire.go.set()
        await asyncio.gather(first, second)


@pytest.mark.parametrize("line", [{"queue_wait_s": 0.01}, {"queue_wait_s": 30, "queue_size": 0}])
async def test_a_request_that_would_wait_too_long_is_refused_with_retry_after(line: dict[str, Any]) -> None:
    wire = Slow(FakeReplica("a:1"))
    async with running(Settings(upstream="a:1", replica_max_in_flight=1, **line), wire) as services:
        await look(services)
        first = asyncio.create_task(predict(services))
        await wire.waiting.wait()
        with pytest.raises(OverloadedError) as failure:
            await predict(services)
        assert failure.value.retry_after_s == 1
        wire.go.set()
        await first


async def test_a_request_bound_to_a_full_version_holds_up_none_that_another_replica_could_serve() -> None:
    old, new = FakeReplica("a:1", versions={1: FakeModel()}), FakeReplica("b:1", versions={2: FakeModel()})
    wire = SlowFirst("a:1", old, new)
    settings = Settings(upstream="a:1,b:1", replica_max_in_flight=1, queue_wait_s=30)
    async with running(settings, wire) as services:
        await look(services)
        wire.hanging = True
        bound = [
            asyncio.create_task(
                services.dispatcher.predict(PIXELS, deadline=services.deadline(), binding=Binding("1", strict=True))
            )
            for _ in range(3)
        ]
        await wire.waiting.wait()
        await until(lambda: len(services.pool.queue.waiting) == 2)
        for _ in range(20):
            assert (await predict(services)).model.version == "2"
        assert not any(task.done() for task in bound)
        wire.go.set()
        assert {prediction.model.version for prediction in await asyncio.gather(*bound)} == {"1"}


async def test_a_request_that_waits_does_not_get_the_replica_that_has_just_been_ejected() -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    wire = Gate(a, b)
    settings = Settings(upstream="a:1,b:1", replica_max_in_flight=1, queue_wait_s=30, probe_interval_s=300)
    async with running(settings, wire) as services:
        await look(services)
        services.pool.failed(services.pool.replicas[0], services.clock(), "status 500")
        a.sick = answer(500, {"error": "internal"})
        requests = [asyncio.create_task(predict(services)) for _ in range(3)]
        await until(lambda: sorted(wire.held) == ["a:1", "b:1"] and len(services.pool.queue.waiting) == 1)
        wire.open.set()
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        assert isinstance(outcomes[2], Prediction)  # the one that waited
        assert wire.held.count("a:1") == 1
