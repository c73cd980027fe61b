"""Scenario 10: healthy replicas share the work evenly."""

import math

import pytest

from tests.chaos.load import Offered
from tests.chaos.run import Chaos, Run

pytestmark = pytest.mark.chaos

REQUESTS = 10_000


async def fair(run: Run) -> None:
    as_fast_as_they_can = Offered(rate=math.inf, most=REQUESTS)
    async with run.bed(offered=as_fast_as_they_can, attempt_timeout_s=5) as bed:
        everything = await bed.traffic.requests("warm-up", REQUESTS)
        calls = await bed.calls()
        run.expects_no_slow_replica(bed)
        run.tell("four replicas", everything, notes=f"calls: {', '.join(map(str, calls))}")
    assert not everything.failed, everything.statuses()
    assert not everything.wrong, everything.statuses()
    assert all(abs(count - REQUESTS / 4) <= 1 for count in calls), calls


async def test_ten_thousand_requests_are_shared_evenly(chaos: Chaos) -> None:
    await chaos.valid_run("10 fairness", fair)
