"""Scenarios 6 and 7: versions and addresses change under load."""

from functools import partial

import pytest

from tests.chaos.load import CLIENTS, Offered, Outcomes
from tests.chaos.run import TRANSPORTS, Bed, Chaos, Run

pytestmark = pytest.mark.chaos

REFRESH_S = 0.25
UNEVEN = 0.05
"""Allowed difference from an even share, as a part of it."""


async def swap(run: Run, transport: str) -> None:
    async with run.bed(offered=Offered(batch_every=20), transport=transport) as bed:
        undisturbed = await bed.traffic.requests("version 1", 400)
        run.tell("version 1", undisturbed)
        for replica in bed.replicas:
            await replica.become(versions={"2": "LOADING", "1": "AVAILABLE"})
            await bed.traffic.requests(f"loading at {replica.host}", 150)
            await replica.become(versions={"2": "AVAILABLE", "1": "AVAILABLE"})
            await bed.traffic.requests(f"both at {replica.host}", 150)
            await replica.become(versions={"2": "AVAILABLE", "1": "END"})
            await bed.traffic.requests(f"swapped at {replica.host}", 150)
        swapping = Outcomes(o for o in bed.traffic.during() if o.phase.split()[0] in ("loading", "both", "swapped"))
        after = await bed.traffic.requests("version 2", 300)
        run.tell("swapping", swapping, undisturbed=undisturbed, notes=f"answers by version: {versions(swapping)}")
        run.tell("version 2", after, undisturbed=undisturbed)
    everything = bed.traffic.during()
    assert len(everything) >= 2000
    assert not everything.failed, everything.statuses()
    assert not everything.wrong, everything.statuses()
    assert set(versions(undisturbed)) == {"1"}
    assert set(versions(after)) == {"2"}
    run.record("31", f"{len(everything):,} requests, some of them batches, none failed, mixed or misread")


def versions(outcomes: Outcomes) -> dict[str, int]:
    """Number of answers by version."""
    told = [outcome.version for outcome in outcomes]
    return {version: told.count(version) for version in sorted(set(told))}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_rolling_change_of_version_costs_no_request_and_misreads_no_label(chaos: Chaos, transport: str) -> None:
    await chaos.valid_run(f"6 swap, {transport}", partial(swap, transport=transport))


async def addresses_change(run: Run) -> None:
    async with run.bed(count=6, by_name=4, dns_refresh_s=REFRESH_S) as bed:
        undisturbed = await bed.traffic.requests("4 replicas", 600)
        run.tell("4 replicas", undisturbed)
        for count in 6, 2:
            outcomes, uneven = await change_to(bed, count)
            run.expects_no_slow_replica(bed)
            run.tell(f"{count} replicas", outcomes, undisturbed=undisturbed, notes=f"at most {uneven:.1%} from even")
            assert uneven <= UNEVEN
    everything = bed.traffic.during()
    assert len(everything) >= 2000
    assert not everything.failed, everything.statuses()
    assert not everything.wrong, everything.statuses()
    run.record("28 29", f"4, 6, then 2 replicas under {len(everything):,} requests, none failed")


async def change_to(bed: Bed, count: int) -> tuple[Outcomes, float]:
    """Change to `count` addresses.

    Returns:
        The outcomes once the gateway knew them, and how far from even the calls were.
    """
    bed.traffic.phase = f"changing to {count}"
    bed.look_up_gives(*bed.replicas[:count])
    await bed.gateway.knows(*(replica.address for replica in bed.replicas[:count]))
    await bed.traffic.more(2 * CLIENTS)  # requests that were in flight have been answered
    before = await bed.calls()
    outcomes = await bed.traffic.requests(f"{count} replicas", 700)
    calls = [now - then for now, then in zip(await bed.calls(), before, strict=True)]
    even = sum(calls[:count]) / count
    assert not any(calls[count:]), f"replicas that are gone were asked: {calls}"
    return outcomes, max(abs(one - even) for one in calls[:count]) / even


async def test_addresses_that_come_and_go_cost_no_request_and_share_evenly(chaos: Chaos) -> None:
    await chaos.valid_run("7 addresses", addresses_change)
