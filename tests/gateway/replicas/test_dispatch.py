"""Attempts: which replica, which failure counts, which is asked next. Only the wire is a fake."""

import asyncio
import gc
from contextlib import suppress

import httpx
import numpy as np
import pytest

from gateway.errors import (
    DeadlineError,
    GatewayError,
    NoReplicaError,
    OverloadedError,
    UpstreamError,
    VersionNotServedError,
)
from gateway.failures import ReplicaError
from gateway.replicas.versions import Binding
from gateway.services import running
from gateway.settings import Settings
from tests.fakes import FakeModel, FakeReplica, answer
from tests.gateway.replicas.conftest import PIXELS, Run, predict, until
from tests.gateway.replicas.wires import Slow
from tests.rounds import look


def answered(*replicas: FakeReplica) -> list[int]:
    return [replica.predictions for replica in replicas]


async def test_requests_are_spread_exactly_evenly(run: Run) -> None:
    replicas = [FakeReplica(name) for name in ("a:1", "b:1", "c:1", "d:1")]
    services = await run(*replicas)
    for _ in range(40):
        await predict(services)
    assert answered(*replicas) == [10, 10, 10, 10]


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("black hole"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("closed without an answer"),
        answer(500, {"error": "internal"}),
        answer(503, {"error": "batching queue full"}),
        answer(429, {"error": "out of memory"}),
        httpx.Response(200, content=b"\x00garbage"),
        httpx.Response(200, html="<p>a proxy's page</p>"),
        answer(200, {"predictions": [[0.5, 0.5]]}),
        httpx.Response(200, content=b'{"predictions": [[NaN, 0, 0, 1]]}'),
        httpx.Response(200, content=b"x" * (4 * 1024 * 1024 + 1)),
    ],
)
async def test_what_another_replica_may_do_better_goes_there(run: Run, fault: httpx.Response | Exception) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    services = await run(a, b)
    for _ in range(2):
        await predict(services)  # so it is known not to harm a replica
    a.faults.append(fault)
    prediction = await predict(services)
    assert prediction.probabilities.argmax() == 2
    assert answered(a, b) == [1, 2]


@pytest.mark.parametrize(("status", "becomes"), [(400, UpstreamError), (504, DeadlineError)])
async def test_what_no_other_replica_would_do_better_fails_at_once(
    run: Run, status: int, becomes: type[GatewayError]
) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    services = await run(a, b)
    a.faults.append(answer(status, {"error": "a secret of the replica"}))
    with pytest.raises(becomes) as failure:
        await predict(services)
    assert "secret" not in failure.value.detail
    assert len(b.seen) == 0
    assert services.pool.replicas[0].failures == 0


async def test_a_lost_connection_to_the_only_replica_is_tried_once_more(run: Run) -> None:
    a = FakeReplica("a:1")
    services = await run(a)
    a.faults.append(httpx.ReadError("reset"))
    await predict(services)
    a.faults.extend([httpx.ReadError("reset")] * 2)
    with pytest.raises(NoReplicaError):
        await predict(services)


async def test_at_most_three_replicas_are_asked(run: Run) -> None:
    replicas = [FakeReplica(name) for name in ("a:1", "b:1", "c:1", "d:1")]
    services = await run(*replicas)
    for replica in replicas:
        replica.faults.append(answer(500, {"error": "poison"}))
    with pytest.raises(UpstreamError):
        await predict(services)
    assert [len(replica.seen) for replica in replicas] == [1, 1, 1, 0]


@pytest.mark.parametrize("fault", [500, 503, 400, "reset"])
async def test_a_request_that_failed_does_not_stay_in_memory_until_garbage_collection(
    run: Run, fault: int | str
) -> None:
    """With its pixels, its body and the connection's state, 0.6 MB each."""
    replicas = [FakeReplica(name) for name in ("a:1", "b:1")]
    services = await run(*replicas)
    for replica in replicas:
        replica.sick = answer(fault, {"error": "sick"}) if isinstance(fault, int) else httpx.ReadError(fault)
    gc.collect()
    gc.freeze()  # objects that exist already need not be searched
    gc.disable()
    try:
        with suppress(GatewayError):
            await predict(services)
        await asyncio.sleep(0)
        assert [type(kept) for kept in garbage() if isinstance(kept, ReplicaError | np.ndarray)] == []
    finally:
        gc.enable()
        gc.unfreeze()


def garbage() -> list[object]:
    """Objects that only a garbage collection frees."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found, gc.garbage[:] = list(gc.garbage), []
    return found


async def test_when_every_replica_fails_retries_do_not_multiply_the_load(run: Run) -> None:
    replicas = [FakeReplica(name) for name in ("a:1", "b:1", "c:1", "d:1")]
    services = await run(*replicas)
    for replica in replicas:
        replica.faults.extend(answer(500, {"error": "all of us"}) for _ in range(1000))
    for _ in range(500):
        with pytest.raises(UpstreamError):
            await predict(services)
    attempts = sum(len(replica.seen) for replica in replicas)
    assert 500 < attempts <= 500 * 1.1 + 20


async def test_retries_that_pause_at_the_same_time_do_not_share_one_grant(run: Run) -> None:
    replicas = [FakeReplica(name) for name in ("a:1", "b:1", "c:1", "d:1")]
    services = await run(*replicas, replica_max_in_flight=1000)
    for replica in replicas:
        replica.faults.extend(answer(503, {"error": "full"}) for _ in range(1000))
    given_up = await asyncio.gather(*(predict(services) for _ in range(400)), return_exceptions=True)
    assert {type(failure) for failure in given_up} == {OverloadedError}
    assert sum(len(replica.seen) for replica in replicas) <= 400 * 1.1 + 20


async def test_a_replica_that_keeps_failing_is_ejected_and_no_request_fails(run: Run) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    services = await run(a, b)
    a.sick = answer(500, {"error": "sick"})
    for _ in range(20):
        await predict(services)
    assert len(a.seen) == 2
    assert services.pool.replicas[0].state(services.clock()) == "ejected"
    assert "status 500" in services.pool.replicas[0].reason


async def test_an_ejected_replica_gets_the_golden_picture_before_any_clients(run: Run) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    services = await run(a, b)
    a.sick = answer(200, {"predictions": [[0.5, 0.5]]})
    for _ in range(20):
        await predict(services)
    replica = services.pool.replicas[0]
    replica.ejected_until = 0
    await look(services)
    assert replica.state(services.clock()) == "ejected"
    a.sick = None
    await look(services)
    assert replica.state(services.clock()) == "available"
    assert len(a.seen) == 2


async def test_a_denied_retry_takes_no_turn_from_a_replica(run: Run) -> None:
    replicas = [FakeReplica(name) for name in ("a:1", "b:1", "c:1", "d:1")]
    services = await run(*replicas, max_ejected_share=0)
    for replica in replicas:
        replica.faults.extend(answer(500, {"error": "all of us"}) for _ in range(500))
    for _ in range(200):
        with pytest.raises(UpstreamError):
            await predict(services)
    asked = [len(replica.seen) for replica in replicas]
    assert max(asked) - min(asked) <= 3


async def test_a_version_that_was_just_unloaded_is_replaced_without_a_failed_request(run: Run) -> None:
    a = FakeReplica("a:1", versions={1: FakeModel()})
    services = await run(a)
    a.versions = {2: FakeModel(labels=("w", "x", "y", "z"), probabilities=(0.7, 0.1, 0.1, 0.1))}
    prediction = await predict(services)
    assert prediction.model.version == "2"
    assert prediction.model.labels[int(prediction.probabilities.argmax())] == "w"


async def test_a_model_that_vanished_everywhere_is_no_replica_available(run: Run) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    services = await run(a, b)
    a.versions = b.versions = {}
    with pytest.raises(NoReplicaError):
        await predict(services)


async def test_all_busy_is_overloaded_with_retry_after(run: Run) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    services = await run(a, b)
    for replica in (a, b):
        replica.faults.append(answer(503, {"error": "full"}))
    with pytest.raises(OverloadedError) as failure:
        await predict(services)
    assert failure.value.retry_after_s == 1
    assert [r.failures for r in services.pool.replicas] == [0, 0]


async def test_without_any_replica_the_answer_comes_at_once(run: Run) -> None:
    services = await run(FakeReplica("a:1", reachable=False))
    with pytest.raises(NoReplicaError) as failure:
        await predict(services)
    assert failure.value.retry_after_s == 1


async def test_nothing_outlives_its_deadline() -> None:
    wire = Slow(FakeReplica("a:1"))
    async with running(Settings(upstream="a:1", deadline_s=0.05), wire) as services:
        await look(services)
        with pytest.raises(DeadlineError):
            await predict(services)
        assert services.pool.replicas[0].failures == 0  # the deadline is ours, not the replica's


async def test_an_attempt_that_takes_too_long_is_the_replicas_failure() -> None:
    wire = Slow(FakeReplica("a:1"))
    async with running(Settings(upstream="a:1", attempt_timeout_s=0.05), wire) as services:
        await look(services)
        with pytest.raises(DeadlineError):
            await predict(services)
        assert services.pool.replicas[0].failures == 1


async def test_a_request_that_is_given_up_holds_its_slot_until_the_replica_has_answered() -> None:
    wire = Slow(FakeReplica("a:1"))
    async with running(Settings(upstream="a:1"), wire) as services:
        await look(services)
        (replica,) = services.pool.replicas
        request = asyncio.create_task(predict(services))
        await wire.waiting.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert replica.in_flight == 1  # TensorFlow Serving works on: the slot is not free
        wire.go.set()
        await until(lambda: replica.in_flight == 0)


@pytest.mark.parametrize("balancer", ["round-robin", "least-loaded"])
async def test_without_a_slow_start_a_replica_that_returns_before_its_time_is_up_can_be_asked(
    run: Run, balancer: str
) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    services = await run(a, b, slow_start_s=0, balancer=balancer)
    first, second = services.pool.replicas
    for _ in range(2):
        services.pool.failed(first, services.clock(), "status 500")
    services.pool.proved(first, services.clock())  # a second early: it returns in the future
    b.reachable = False
    assert (await predict(services)).probabilities.argmax() == 2
    assert second.failures == 1


async def test_a_requested_version_is_asked_of_the_replicas_that_have_it(run: Run) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1", versions={1: FakeModel(), 2: FakeModel()})
    services = await run(a, b)
    for _ in range(4):
        answered = await services.dispatcher.predict(PIXELS, deadline=services.deadline(), binding=Binding("2", True))
        assert answered.model.version == "2"
    assert len(b.seen) == 4
    with pytest.raises(VersionNotServedError) as failure:
        await services.dispatcher.predict(PIXELS, deadline=services.deadline(), binding=Binding("9", True))
    assert failure.value.detail == "Version 9 is not served; served: 1, 2."


async def test_a_retry_stays_on_the_version_while_any_replica_has_it(run: Run) -> None:
    new = {2: FakeModel(labels=("w", "x", "y", "z"))}
    a, b, c = FakeReplica("a:1"), FakeReplica("b:1", versions=new), FakeReplica("c:1")
    services = await run(a, b, c)
    a.faults.append(answer(500, {"error": "once"}))
    assert (await predict(services)).model.version == "1"
    assert (len(b.seen), len(c.seen)) == (0, 1)


async def test_a_retry_takes_another_version_rather_than_none(run: Run) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1", versions={2: FakeModel()})
    services = await run(a, b)
    a.faults.append(answer(500, {"error": "once"}))
    assert (await predict(services)).model.version == "2"


async def test_replicas_that_are_not_there_are_looked_for_at_once(run: Run) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    services = await run(a, b)  # it looks every five minutes
    a.reachable = False
    for _ in range(4):
        await predict(services)
    await until(lambda: services.pool.replicas[0].missed > 0)
