"""Scenarios 1 to 3: replicas die, hang and answer nonsense, and nobody outside notices."""

import signal

import pytest

from tests.chaos.replicas import host
from tests.chaos.run import QUICK, Bed, Chaos, Run

pytestmark = pytest.mark.chaos

UNDISTURBED = 500
OWN_FAILURES = 5
NONSENSE = (
    "status 500",
    "garbage",
    "html",
    "nan",
    "too large a number",
    "narrow",
    "wide",
    "no row",
    "empty row",
    "two rows",
    "not probabilities",
    "not summing to 1",
    "deeply nested",
    "huge number",
    "truncated",
    "infinite",
    "early reply",
    "reset before the head",
    "closed before the head",
    "reset in the head",
    "reset in the body",
    "reset on the first bytes",
)


async def killed_restarted_moved(run: Run) -> None:
    async with run.bed(by_name=4, dns_refresh_s=0.25) as bed:
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


async def test_killed_restarted_and_moved_replicas_cost_no_request(chaos: Chaos) -> None:
    await chaos.valid_run("1 killed", killed_restarted_moved)


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


async def test_a_replica_that_hangs_costs_no_request(chaos: Chaos) -> None:
    await chaos.valid_run("2 hung", stopped)


async def nonsense(run: Run) -> None:
    async with run.bed() as bed:
        undisturbed = await bed.traffic.requests("undisturbed", UNDISTURBED)
        run.tell("undisturbed", undisturbed)
        for fault in NONSENSE:
            await spoil_and_heal(bed, fault)
            run.tell(fault, bed.traffic.during(fault), undisturbed=undisturbed)
    everything = bed.traffic.during()
    assert len(everything) >= 2000
    assert not everything.failed, everything.statuses()
    assert not everything.wrong, everything.statuses()


async def spoil_and_heal(bed: Bed, fault: str) -> None:
    """One replica answers so until it is out; then it is well again, and is back."""
    spoilt = bed.replicas[0]
    logged = len(bed.gateway.lines())
    await spoilt.become(fault=fault)
    bed.traffic.phase = fault
    await bed.gateway.leaves_out(spoilt.address)
    await bed.traffic.requests(fault, 60)
    await spoilt.heal()
    assert own_failures(bed, spoilt.address, since=logged) <= OWN_FAILURES, fault
    await bed.gateway.takes_in(spoilt.address)
    before = (await bed.calls())[0]
    bed.traffic.phase = f"after {fault}"
    await bed.traffic.requests(f"after {fault}", 30)
    assert (await bed.calls())[0] > before, f"available again after {fault!r}, but not asked"


def own_failures(bed: Bed, address: str, *, since: int) -> int:
    """How often it had failed when it was first ejected, by the gateway's own log."""
    failures = 1  # the one that ejects it: its retry is logged afterwards
    for line in bed.gateway.lines()[since:]:
        if line["event"] == "replica ejected" and line["replica"] == address:
            return failures
        failures += line["event"] == "retry" and line["after"] == address
    raise AssertionError(f"{address} was never ejected")


async def test_a_replica_that_answers_nonsense_is_out_after_a_few_failures_and_back_when_well(chaos: Chaos) -> None:
    await chaos.valid_run("3 nonsense", nonsense)
