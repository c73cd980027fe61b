"""Scenario 8: four times as many requests as the replicas can serve, for a minute."""

import asyncio
from dataclasses import dataclass, field
from time import perf_counter

import pytest

from tests.chaos import wire
from tests.chaos.gateway import Gateway
from tests.chaos.load import Offered, Outcomes, cancelled
from tests.chaos.run import Chaos, Run

pytestmark = pytest.mark.chaos

SERVICE_S = 0.16
CAPACITY = 4 / SERVICE_S
"""Requests a second: each replica does one at a time."""
SECONDS = 60
GOODPUT = 0.9
MAX_STARVED = 0.15
"""Share of the time that the gateway waited for a CPU. Above this, the machine itself is overloaded."""
MAX_GROWTH_MIB = 150
LOOK_S = 0.25


@dataclass
class Watch:
    """What an orchestrator and a metrics scraper see meanwhile."""

    gateway: Gateway
    seconds: list[float] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    rss_mib: list[float] = field(default_factory=list)

    async def look(self) -> None:
        """Poll health and metrics; ends by cancellation."""
        while True:
            for path in "/healthz", "/metrics":
                started = perf_counter()
                self.statuses.add((await wire.get(self.gateway.port, path)).status)
                self.seconds.append(perf_counter() - started)
            self.rss_mib.append(self.gateway.process.memory_info().rss / 2**20)
            await asyncio.sleep(LOOK_S)


async def overload(run: Run) -> None:
    offered = Offered(rate=CAPACITY / 2, clients=150)
    async with run.bed(offered=offered, replica_max_in_flight=2, attempt_timeout_s=2) as bed:
        await asyncio.gather(*(replica.become(service_s=SERVICE_S, workers=1) for replica in bed.replicas))
        undisturbed = await bed.traffic.requests("undisturbed", 60)
        run.tell("half of capacity", undisturbed)
        watch = Watch(bed.gateway)
        looking = asyncio.create_task(watch.look())
        bed.traffic.rate, bed.traffic.phase = 4 * CAPACITY, "overload"
        waited_s = bed.gateway.waited_s()
        await asyncio.sleep(SECONDS)
        starved = (bed.gateway.waited_s() - waited_s) / SECONDS
        bed.traffic.rate, bed.traffic.phase = CAPACITY / 2, "recovering"
        await asyncio.sleep(5)
        recovered = await bed.traffic.requests("recovered", 60)
        await cancelled([looking])
    if starved > MAX_STARVED:
        run.starved = f"the gateway waited for a CPU {starved:.0%} of the time"
    flood = bed.traffic.during("overload")
    served = Outcomes(outcome for outcome in flood if outcome.status == 200)
    goodput = len(served) / SECONDS / CAPACITY
    grown = max(watch.rss_mib) - watch.rss_mib[0]
    health = f"health and metrics at most {max(watch.seconds) * 1000:.0f} ms; memory +{grown:.0f} MiB"
    run.tell("overload, served", served, undisturbed=undisturbed, notes=f"{goodput:.0%} of capacity; {health}")
    run.tell("overload, shed", flood.failed, notes=f"answers: {flood.failed.statuses()}")
    run.tell("recovered", recovered, undisturbed=undisturbed)
    assert len(flood) >= 2000
    assert not flood.wrong
    assert goodput >= GOODPUT
    assert {outcome.status for outcome in flood} == {200, 503}, flood.statuses()
    assert all(outcome.retry_after for outcome in flood.failed)
    assert watch.statuses == {200}
    assert grown < MAX_GROWTH_MIB
    assert not recovered.failed, recovered.statuses()
    run.record(
        "27", f"four times capacity for a minute: {goodput:.0%} of capacity served, the rest 503 with Retry-After"
    )


async def test_four_times_too_many_requests_leave_the_goodput_as_it_was(chaos: Chaos) -> None:
    await chaos.valid_run("8 overload", overload)
