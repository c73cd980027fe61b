"""A new version that must not serve appears on all four replicas under load; the old one goes on serving.

One replica restarts meanwhile. The gateway ejects no replica for the version, and gives the reason in its log, in
`/v1/models` and as a metric.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.chaos import wire
from tests.chaos.gateway import eventually
from tests.chaos.load import Outcomes
from tests.chaos.replicas import Replica
from tests.chaos.run import QUICK, Bed, Chaos, Run
from tests.chaos.simulator import model

pytestmark = pytest.mark.chaos

OLD, NEW = "1", "2"
REFUSED, FAILS = "model version refused", "model version fails"
"""Log events: the version's contract is refused; its examination on one replica failed."""


@dataclass(frozen=True)
class Bad:
    """What is wrong with the new version, and what an operator finds."""

    behaviour: Mapping[str, Any]
    """Fields of the simulator's `Behaviour`."""
    kind: str
    """Label `reason` of `gateway_versions_refused`."""
    reason: str
    """Part of the entry in `/v1/models`."""
    event: str
    """In the log, with the reason."""


BOTH = {OLD: "AVAILABLE", NEW: "AVAILABLE"}
BAD = {
    "another document": Bad(
        {"versions": BOTH, "descriptions": {NEW: '{"labels": ["x"]}'}},
        kind="examination",
        reason="describe answers with another document",
        event=FAILS,
    ),
    "other preprocessing": Bad(
        {"versions": BOTH, "descriptions": {NEW: model.description(int(NEW), "sha256:other")}},
        kind="contract",
        reason="its training preprocessed pictures differently",
        event=REFUSED,
    ),
    "golden picture fails": Bad(
        {"versions": BOTH, "version_faults": {NEW: "status 500"}},
        kind="examination",
        reason="version 2 fails here: ",
        event=FAILS,
    ),
    "golden picture hangs": Bad(
        {"versions": BOTH, "version_faults": {NEW: "drip"}},
        kind="examination",
        reason=f"no answer for the golden picture in {QUICK['attempt_timeout_s']:g} s",
        event=FAILS,
    ),
    "not loaded": Bad(
        {"versions": {OLD: "AVAILABLE", NEW: "END"}, "load_errors": {NEW: "no such file: variables.index"}},
        kind="load",
        reason="version 2 could not be loaded: no such file: variables.index",
        event=FAILS,
    ),
}


async def bad_version(run: Run, bad: Bad, transport: str) -> None:
    async with run.bed(transport=transport) as bed:
        undisturbed = await bed.traffic.requests("undisturbed", 200)
        bed.traffic.phase = "appears"
        for replica in bed.replicas:
            await replica.become(**bad.behaviour)
        await eventually(lambda: refused_everywhere(bed, bad), otherwise="version 2 to be refused on all replicas")
        await bed.traffic.requests("refused", 600)
        assert not bed.gateway.lines("replica ejected")
        await restart(bed, bed.replicas[0])
        back = len(bed.gateway.lines())
        await bed.traffic.requests("restarted", 300)
        await eventually(lambda: refused_everywhere(bed, bad), otherwise="version 2 to be refused after the restart")
        assert not [line for line in bed.gateway.lines()[back:] if line["event"] == "replica ejected"]
        for part in "appears", "refused", "restarting", "restarted":
            run.tell(part, bed.traffic.during(part), undisturbed=undisturbed)
    assert_costs_nothing(bed)
    assert_log_gives_the_reason(bed, bad)


async def refused_everywhere(bed: Bed, bad: Bad) -> bool:
    """Each replica serves the old version and refuses the new one with its reason, as the metric counts."""
    document: Any = (await wire.get(bed.gateway.port, "/v1/models")).json()
    entries = document["replicas"]
    counted = await bed.gateway.metric("gateway_versions_refused", version=NEW, reason=bad.kind)
    return counted == len(bed.replicas) and all(
        entry["state"] == "available" and entry["serving"] == OLD and bad.reason in entry["refused"].get(NEW, "")
        for entry in entries
    )


async def restart(bed: Bed, replica: Replica) -> None:
    """SIGKILL, and back at the same address with both versions. Its broken connections may eject this replica only."""
    bed.traffic.phase = "restarting"
    await replica.kill()
    await bed.gateway.leaves_out(replica.address)
    await bed.traffic.more(100)
    await replica.start()
    await bed.gateway.takes_in(replica.address)
    ejected = {line["replica"] for line in bed.gateway.lines("replica ejected")}
    assert ejected <= {replica.address}, f"the restart of {replica.address} got {ejected} ejected"


def assert_costs_nothing(bed: Bed) -> None:
    """No request failed or was answered wrongly or by the new version."""
    everything: Outcomes = bed.traffic.during()
    assert not everything.failed, everything.statuses()
    assert not everything.wrong, everything.statuses()
    assert {outcome.version for outcome in everything} == {OLD}


def assert_log_gives_the_reason(bed: Bed, bad: Bad) -> None:
    """A contract is logged once; other reasons on every replica. An examination cut off by the restart has its own."""
    lines = [line for line in bed.gateway.lines(bad.event) if str(line["version"]) == NEW]
    with_reason = [line for line in lines if bad.reason in line["reason"]]
    addresses = [replica.address for replica in bed.replicas]
    if bad.kind == "contract":
        assert lines == with_reason, lines
        assert len(lines) == 1, lines
        return
    assert {line["replica"] for line in with_reason} == set(addresses), lines
    assert all(line in with_reason or line["replica"] == addresses[0] for line in lines), lines


@pytest.mark.parametrize(
    ("name", "transport"),
    [*((name, "rest") for name in BAD), ("another document", "grpc"), ("not loaded", "grpc")],
)
async def test_a_new_version_that_must_not_serve_costs_no_request_and_no_replica(
    chaos: Chaos, name: str, transport: str
) -> None:
    await chaos.valid_run(f"11 {name}, {transport}", partial(bad_version, bad=BAD[name], transport=transport))
