"""Scenarios 4, 5 and 9: one replica is slow, all replicas die, all replicas fail half the time."""

import asyncio
from functools import partial
from time import perf_counter

import pytest

from tests.chaos import wire
from tests.chaos.load import Offered
from tests.chaos.run import QUICK, SERVICE_S, Bed, Chaos, Run

pytestmark = pytest.mark.chaos

MAX_ATTEMPTS_A_REQUEST = 1.3
FOUND_OUT_WITHIN_S = 5


async def one_slow(run: Run, requests: int, *, balancer: str, hedge: bool = False) -> float:
    """Let one of four replicas take ten times as long.

    Returns:
        Its share of the calls.
    """
    async with run.bed(balancer=balancer, hedge=hedge) as bed:
        undisturbed = await bed.traffic.requests("undisturbed", 200)
        await bed.replicas[0].become(service_s=10 * SERVICE_S)
        await bed.traffic.requests("settling", 100)
        before = await bed.calls()
        slowed = await bed.traffic.requests("slow", requests)
        calls = [now - then for now, then in zip(await bed.calls(), before, strict=True)]
        share = calls[0] / sum(calls)
        amplification = f"{sum(calls) / len(slowed):.2f} attempts per request"
        way = f"{balancer}, hedged" if hedge else balancer
        run.tell(way, slowed, undisturbed=undisturbed, notes=f"the slow replica's share: {share:.1%}; {amplification}")
    everything = bed.traffic.during()
    assert not everything.failed, everything.statuses()
    assert not everything.wrong, everything.statuses()
    return share


async def slow(run: Run) -> None:
    await one_slow(run, 300, balancer="round-robin")
    await one_slow(run, 1000, balancer="round-robin", hedge=True)
    share = await one_slow(run, 1000, balancer="least-loaded")
    assert share < 0.2, f"least-loaded still sends {share:.1%} to the slow replica of four"
    run.record("6", f"least-loaded: none of 1,000 requests failed; the slow replica's share {share:.1%}")


async def test_a_slow_replica_costs_no_request_and_gets_less_to_do(chaos: Chaos) -> None:
    await chaos.valid_run("4 slow", slow)


async def slow_by_half_a_second(run: Run, count: int) -> None:
    async with run.bed(count=count) as bed:
        undisturbed = await bed.traffic.requests("undisturbed", 200)
        await bed.replicas[0].become(service_s=SERVICE_S + 0.5)
        slow_from = perf_counter()
        await bed.traffic.until(lambda: perf_counter() - slow_from >= FOUND_OUT_WITHIN_S)
        before = await bed.calls()
        slowed = await bed.traffic.requests("slow", 600)
        calls = [now - then for now, then in zip(await bed.calls(), before, strict=True)]
        share = calls[0] / sum(calls)
        run.tell(f"one of {count}", slowed, undisturbed=undisturbed, notes=f"the slow replica's share: {share:.1%}")
    everything = bed.traffic.during()
    assert not everything.failed, everything.statuses()
    assert share < 0.05, f"{share:.1%} of the attempts"


@pytest.mark.parametrize("count", [2, 4])
async def test_a_replica_that_takes_half_a_second_longer_is_found_out_within_five_seconds(
    chaos: Chaos, count: int
) -> None:
    await chaos.valid_run(f"4 slow by 500 ms, of {count}", partial(slow_by_half_a_second, count=count))


async def all_dead(run: Run) -> None:
    async with run.bed(offered=Offered(rate=300)) as bed:
        undisturbed = await bed.traffic.requests("undisturbed", 300)
        run.tell("undisturbed", undisturbed)
        bed.traffic.phase = "dying"
        await asyncio.gather(*(replica.kill() for replica in bed.replicas))
        dead = await bed.traffic.requests("dead", 2000)
        run.tell("all dead", dead, notes=f"answers: {dead.statuses()}")
        assert (await wire.get(bed.gateway.port, "/healthz")).status == 200
        assert (await wire.get(bed.gateway.port, "/readyz")).status == 503
        recovery_s = await first_success(bed)
        told = f"first success {recovery_s:.2f} s after the return, probes every {QUICK['probe_interval_s']:g} s"
        run.tell("one returns", bed.traffic.during("one returns"), notes=told)
    assert set(dead.statuses()) == {"503 no-replica-available"}
    assert all(outcome.retry_after for outcome in dead)
    assert set(bed.traffic.during("dying").statuses()) <= {"200", "503 no-replica-available"}
    run.record(
        "26", f"{len(dead):,} requests, each 503 with Retry-After; first success {recovery_s:.1f} s after a return"
    )


async def first_success(bed: Bed) -> float:
    """Seconds from one replica's return to the first request that is served."""
    await bed.replicas[0].start()
    returned = asyncio.get_running_loop().time()
    bed.traffic.phase = "one returns"
    await bed.traffic.until(lambda: any(outcome.ok for outcome in bed.traffic.during("one returns")))
    return asyncio.get_running_loop().time() - returned


async def test_with_all_replicas_dead_every_request_is_refused_at_once_until_one_returns(chaos: Chaos) -> None:
    await chaos.valid_run("5 all dead", all_dead)


async def half_fail(run: Run, fault: str, transport: str) -> None:
    async with run.bed(transport=transport) as bed:
        run.tell("undisturbed", await bed.traffic.requests("undisturbed", 300))
        before = sum(await bed.calls())
        await asyncio.gather(*(replica.become(fault=fault, share=0.5) for replica in bed.replicas))
        failing = await bed.traffic.requests("failing", 2000)
        attempts = (sum(await bed.calls()) - before) / len(failing)
        run.tell(fault, failing, notes=f"{attempts:.2f} attempts per request; answers: {failing.statuses()}")
        await asyncio.gather(*(replica.heal() for replica in bed.replicas))
        await bed.gateway.takes_in(*(replica.address for replica in bed.replicas))
        healed = await bed.traffic.requests("healed", 300)
    assert attempts <= MAX_ATTEMPTS_A_REQUEST
    assert not bed.traffic.during().wrong
    assert not healed.failed, healed.statuses()


@pytest.mark.parametrize(
    ("fault", "transport"), [("status 500", "rest"), ("reset before the head", "rest"), ("status 500", "grpc")]
)
async def test_when_every_replica_fails_half_the_time_retries_do_not_become_a_storm(
    chaos: Chaos, fault: str, transport: str
) -> None:
    await chaos.valid_run(f"9 half fail, {transport}", partial(half_fail, fault=fault, transport=transport))
