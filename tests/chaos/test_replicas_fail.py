"""Scenarios 1 to 3: replicas die, hang and answer nonsense, and no request fails."""

import signal
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

import pytest

from tests.chaos.load import Outcomes
from tests.chaos.replicas import Replica, host
from tests.chaos.run import QUICK, TRANSPORTS, Bed, Chaos, Run

pytestmark = pytest.mark.chaos

UNDISTURBED = 300
OWN_FAILURES = 5
NONSENSE = {
    "status 500": "",
    "garbage": "11",
    "html": "12",
    "nan": "13",
    "too large a number": "13",
    "narrow": "14",
    "wide": "14",
    "no row": "14",
    "empty row": "14",
    "two rows": "14",
    "not probabilities": "15",
    "not summing to 1": "15",
    "deeply nested": "19",
    "huge number": "19",
    "truncated": "16",
    "infinite": "17",
    "drip": "18",
    "early reply": "24",
    "reset before the head": "20",
    "closed before the head": "20",
    "reset in the head": "20",
    "reset in the body": "3",
    "reset on the first bytes": "20",
}
"""Each with its row in the fault catalogue."""
PASS_FOR_STALE = {"reset before the head", "closed before the head", "reset on the first bytes"}
"""A kept connection that breaks before the first byte does not count as a failure, so these may take a few more."""


async def killed_restarted_moved(run: Run, transport: str) -> None:
    async with run.bed(by_name=4, dns_refresh_s=0.25, transport=transport) as bed:
        undisturbed = await bed.traffic.requests("undisturbed", UNDISTURBED)
        run.tell("undisturbed", undisturbed)
        for cycle in range(3):
            await kill_restart_move(bed, cycle)
        for part in "killed", "restarted", "moved":
            run.tell(part, bed.traffic.during(part), undisturbed=undisturbed)
    everything = bed.traffic.during()
    assert len(everything) >= UNDISTURBED + 2000
    assert not everything.failed, everything.statuses()
    assert not everything.wrong, everything.statuses()
    run.record("1", f"{len(everything):,} requests, three replicas killed twice, none failed")


async def kill_restart_move(bed: Bed, cycle: int) -> None:
    """SIGKILL, back at the same address, SIGKILL, back at another one."""
    replica, traffic = bed.replicas[cycle], bed.traffic
    await replica.kill()
    await traffic.requests("killed", 200 * (cycle + 1))
    await replica.start()
    await traffic.requests("restarted", 200 * (cycle + 1))
    await bed.gateway.takes_in(replica.address)
    await replica.kill()
    replica.host = host(4 + cycle)
    await replica.start()
    bed.look_up_gives(*bed.replicas)
    await bed.gateway.takes_in(replica.address)
    await traffic.requests("moved", 300 * (cycle + 1))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_killed_restarted_and_moved_replicas_cost_no_request(chaos: Chaos, transport: str) -> None:
    await chaos.valid_run(f"1 killed, {transport}", partial(killed_restarted_moved, transport=transport))


async def stopped(run: Run) -> None:
    async with run.bed(count=3) as three:
        undisturbed = await three.traffic.requests("three replicas, undisturbed", UNDISTURBED)
        run.tell("three replicas, undisturbed", undisturbed)
    async with run.bed() as bed:
        await bed.traffic.requests("four replicas", 200)
        hung, bed.traffic.phase = bed.replicas[0], "stopped"
        hung.signal(signal.SIGSTOP)
        await bed.gateway.leaves_out(hung.address)
        await bed.traffic.requests("left out", 1600)
        hung.signal(signal.SIGCONT)
        await bed.gateway.takes_in(hung.address)
        await bed.traffic.requests("resumed", 300)
        for part in "stopped", "left out", "resumed":
            run.tell(part, bed.traffic.during(part), undisturbed=undisturbed)
    everything = bed.traffic.during()
    assert len(everything) >= 2000
    assert not everything.failed, everything.statuses()
    assert not everything.wrong, everything.statuses()
    assert max(outcome.seconds for outcome in everything) < QUICK["deadline_s"]
    run.record("4 5", f"{len(everything):,} requests, none failed; longest {max(o.seconds for o in everything):.1f} s")


async def test_a_replica_that_hangs_costs_no_request(chaos: Chaos) -> None:
    await chaos.valid_run("2 hung", stopped)


def batched(names: Iterable[str], size: int) -> Iterator[list[str]]:
    """Like itertools.batched, which Python 3.11 lacks."""
    rest = iter(names)
    while some := list(islice(rest, size)):
        yield some


async def nonsense(run: Run) -> None:
    everything = Outcomes()
    for four in batched(NONSENSE, 4):  # a replica that keeps failing is ejected for longer each time
        async with run.bed() as bed:
            undisturbed = await bed.traffic.requests("undisturbed", 100)
            run.tell("undisturbed", undisturbed)
            for number, fault in enumerate(four):
                if number > 1:  # at most half may be out at a time, so the last but one must be back
                    await bed.gateway.takes_in(bed.replicas[number - 2].address)
                failures = await spoil_and_heal(bed, bed.replicas[number], fault)
                told = f"unavailable after {failures} of its own failures"
                run.tell(fault, bed.traffic.during(fault), undisturbed=undisturbed, notes=told)
                run.record(
                    NONSENSE[fault], f"{fault}: none of {len(bed.traffic.during(fault))} requests failed; {told}"
                )
            await all_are_asked_again(bed)
            everything += bed.traffic.during()
    assert len(everything) >= 2000
    assert not everything.failed, everything.statuses()
    assert not everything.wrong, everything.statuses()


async def spoil_and_heal(bed: Bed, replica: Replica, fault: str) -> int:
    """Set a fault on one replica until it is out of turn and for 60 requests more.

    Returns:
        Its failures before its first ejection, from the gateway's log.
    """
    bed.traffic.phase = fault
    await replica.become(fault=fault)
    await bed.gateway.leaves_out(replica.address)
    await bed.traffic.requests(fault, 60)
    await replica.heal()
    failures = 1  # the one that ejects it; its request is logged later, once it is answered
    for line in bed.gateway.lines():
        if line["event"] == "replica ejected" and line["replica"] == replica.address:
            assert failures <= OWN_FAILURES or fault in PASS_FOR_STALE, (
                f"{fault}: unavailable after {failures} failures"
            )
            return failures
        failures += line.get("after") == replica.address
    raise AssertionError(f"{replica.address} was never ejected")


async def all_are_asked_again(bed: Bed) -> None:
    """Check that every healthy replica gets requests again."""
    bed.traffic.phase = "healed"
    await bed.gateway.takes_in(*(replica.address for replica in bed.replicas))
    before = await bed.calls()
    await bed.traffic.more(100)
    assert all(now > then for now, then in zip(await bed.calls(), before, strict=True)), (
        "a healed replica got no request"
    )


async def test_a_replica_that_answers_nonsense_is_out_after_a_few_failures_and_back_when_well(chaos: Chaos) -> None:
    await chaos.valid_run("3 nonsense", nonsense)
