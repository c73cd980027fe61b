"""The rows of the fault catalogue that no scenario covers: one fault after the other, under load."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.chaos import wire
from tests.chaos.gateway import eventually
from tests.chaos.load import Outcomes, uploads
from tests.chaos.replicas import Replica
from tests.chaos.run import SERVICE_S, Bed, Chaos, Run

pytestmark = pytest.mark.chaos


def flawless(run: Run, rows: str, part: str, outcomes: Outcomes, notes: str = "") -> None:
    """Assert that no request failed or was answered wrongly, and report it."""
    assert outcomes
    assert not outcomes.failed, f"{part}: {outcomes.statuses()}"
    assert not outcomes.wrong, f"{part}: {outcomes.statuses()}"
    run.tell(part, outcomes, notes=notes)
    run.record(rows, f"{len(outcomes)} requests, none failed" + (f"; {notes}" if notes else ""))


# --- connections --------------------------------------------------------------------------------------------------


async def connections(run: Run) -> None:
    async with run.bed(by_name=4, dns_refresh_s=0.25, connect_timeout_s=0.25) as bed:
        await killed_at_work(run, bed, bed.replicas[0])
        await address_swallows_connections(run, bed, bed.replicas[1])
        await peer_vanishes(run, bed, bed.replicas[2])
        await idle_connections_closed(run, bed)
        await two_replies(run, bed)
        await resolver_fails(run, bed)


async def killed_at_work(run: Run, bed: Bed, replica: Replica) -> None:
    await replica.become(service_s=0.3)
    bed.traffic.phase = "killed at work"
    await eventually(lambda: at_work(replica))
    await replica.kill()
    flawless(run, "1 2", "killed at work", await bed.traffic.requests("killed at work", 200))
    await replica.become_anew(service_s=SERVICE_S)
    await bed.gateway.takes_in(replica.address)


async def at_work(replica: Replica) -> bool:
    """Whether it is at work on a request."""
    return (await replica.seen()).at_work > 0


async def address_swallows_connections(run: Run, bed: Bed, replica: Replica) -> None:
    await replica.kill()
    with black_hole(replica.host, replica.port):
        flawless(run, "22", "connections swallowed", await bed.traffic.requests("connections swallowed", 200))
    await replica.start()
    await bed.gateway.takes_in(replica.address)


@contextmanager
def black_hole(host: str, port: int) -> Iterator[None]:
    """A listener with a full backlog: the kernel drops every further SYN."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((host, port))
        yield


async def peer_vanishes(run: Run, bed: Bed, replica: Replica) -> None:
    """The replica accepts connections and reads nothing from them; it still answers probes."""
    bed.traffic.phase = "peer vanished"
    await replica.become(fault="hang")
    await bed.gateway.leaves_out(replica.address)
    outcomes = await bed.traffic.requests("peer vanished", 200)
    await replica.heal()
    await bed.gateway.takes_in(replica.address)
    document: Any = (await wire.get(bed.gateway.port, "/v1/models")).json()
    (held,) = [told["in_flight"] for told in document["replicas"] if told["address"] == replica.address]
    assert held <= 16, f"{held} attempts in flight on a healed replica: their slots were not given back"
    flawless(run, "23", "peer vanished", outcomes, f"longest {max(o.seconds for o in outcomes):.1f} s")


async def idle_connections_closed(run: Run, bed: Bed) -> None:
    await asyncio.gather(*(replica.become(idle_s=0.01) for replica in bed.replicas))
    outcomes = await bed.traffic.requests("idle connections closed", 400)
    await asyncio.gather(*(replica.heal() for replica in bed.replicas))
    flawless(run, "21", "idle connections closed", outcomes)


async def two_replies(run: Run, bed: Bed) -> None:
    await asyncio.gather(*(replica.become(fault="two replies") for replica in bed.replicas))
    outcomes = await bed.traffic.requests("two replies", 200)
    await asyncio.gather(*(replica.heal() for replica in bed.replicas))
    flawless(run, "25", "two replies", outcomes)


async def resolver_fails(run: Run, bed: Bed) -> None:
    assert bed.names is not None
    bed.names.tell(None)
    failing = await bed.traffic.requests("resolver fails", 150)
    bed.look_up_gives()
    nothing = await bed.traffic.requests("resolver knows nothing", 150)
    bed.look_up_gives(*bed.replicas)
    flawless(run, "30", "resolver fails", Outcomes([*failing, *nothing]))


async def test_broken_connections_and_names_cost_no_request(chaos: Chaos) -> None:
    await chaos.valid_run("rows: connections", connections)


# --- refusals -----------------------------------------------------------------------------------------------------


async def refusals(run: Run) -> None:
    async with run.bed() as bed:
        await one_fails_now_and_then(run, bed, bed.replicas[0])
        await one_is_busy(run, bed, bed.replicas[1])
        await all_are_busy(run, bed)
        await all_reject(run, bed)
        await versions_differ(run, bed, bed.replicas[2])
        await one_lost_the_model(run, bed, bed.replicas[3])
        await all_lost_the_model(run, bed)


async def one_fails_now_and_then(run: Run, bed: Bed, replica: Replica) -> None:
    before = sum(await bed.calls())
    await replica.become(fault="status 500", share=0.1)
    outcomes = await bed.traffic.requests("one fails now and then", 400)
    amplification = (sum(await bed.calls()) - before) / len(outcomes)
    await replica.heal()
    assert amplification <= 1.1
    flawless(run, "7", "one fails occasionally", outcomes, f"{amplification:.2f} attempts per request")
    await bed.gateway.takes_in(replica.address)


async def one_is_busy(run: Run, bed: Bed, replica: Replica) -> None:
    for fault in "status 503", "status 429":
        await replica.become(fault=fault)
        flawless(run, "8", f"one: {fault}", await bed.traffic.requests(f"one: {fault}", 200))
        await replica.heal()
        await bed.traffic.requests("pause", len(bed.traffic.during("pause")) + 50)


async def all_are_busy(run: Run, bed: Bed) -> None:
    bed.traffic.phase = "becoming busy"
    await asyncio.gather(*(replica.become(fault="status 429") for replica in bed.replicas))
    await bed.traffic.more(32)
    outcomes = await bed.traffic.requests("all busy", 100)
    bed.traffic.phase = "no longer busy"
    await asyncio.gather(*(replica.heal() for replica in bed.replicas))
    assert set(outcomes.statuses()) == {"503 overloaded"}
    assert all(outcome.retry_after for outcome in outcomes)
    run.tell("all busy", outcomes, notes=f"answers: {outcomes.statuses()}")
    run.record("8", f"all busy: {len(outcomes)} requests, each 503 with Retry-After")
    await bed.traffic.more(32)


async def all_reject(run: Run, bed: Bed) -> None:
    """400 means no retry, no ejection, and nothing of the replica's message for the client."""
    before = sum(await bed.calls())
    await asyncio.gather(*(replica.become(fault="status 400") for replica in bed.replicas))
    connection = wire.Wire(bed.gateway.port)
    reply = await connection.ask(uploads()[0].message)
    connection.close()
    await asyncio.gather(*(replica.heal() for replica in bed.replicas))
    assert reply.status == 502
    assert b"simulated" not in reply.body
    assert sum(await bed.calls()) > before
    assert set((await bed.gateway.states()).values()) == {"available"}
    run.record("9", "502 without the replica's text; no replica ejected")
    await bed.traffic.requests("after 400", 50)


async def versions_differ(run: Run, bed: Bed, replica: Replica) -> None:
    bed.traffic.phase = "another version comes"
    await replica.become(versions={"2": "AVAILABLE", "1": "END"})
    await bed.traffic.until(lambda: any(o.version == "2" for o in bed.traffic.during("another version comes")))
    outcomes = await bed.traffic.requests("two versions", 200)
    named = {version: sum(o.version == version for o in outcomes) for version in ("1", "2")}
    document: Any = (await wire.get(bed.gateway.port, "/v1/models")).json()
    serving = [told["serving"] for told in document["replicas"]]
    assert sorted(map(str, serving)) == ["1", "1", "1", "2"]
    assert all(named.values()), named
    flawless(run, "33", "two versions", outcomes, f"answers by version: {named}")
    bed.traffic.phase = "one version again"
    await replica.become(versions={"1": "AVAILABLE"})
    await bed.gateway.takes_in(replica.address)


async def one_lost_the_model(run: Run, bed: Bed, replica: Replica) -> None:
    await replica.become(versions={"1": "END"})
    flawless(run, "10", "one lost the model", await bed.traffic.requests("one lost the model", 200))


async def all_lost_the_model(run: Run, bed: Bed) -> None:
    bed.traffic.phase = "losing the model"
    await asyncio.gather(*(replica.become(versions={"1": "END"}) for replica in bed.replicas))
    await bed.gateway.leaves_out(*(replica.address for replica in bed.replicas))
    outcomes = await bed.traffic.requests("all lost the model", 100)
    assert set(outcomes.statuses()) == {"503 no-replica-available"}
    run.record("10", f"all: {len(outcomes)} requests, each 503")


async def test_refusals_are_told_apart(chaos: Chaos) -> None:
    await chaos.valid_run("rows: refusals", refusals)


# --- coming and going ---------------------------------------------------------------------------------------------


async def comings_and_goings(run: Run) -> None:
    async with run.bed() as bed:
        await gateway_stands_still(run, bed)
        await restarted_one_by_one(run, bed)
        await flapping(run, bed, bed.replicas[0])


async def gateway_stands_still(run: Run, bed: Bed) -> None:
    bed.traffic.phase = "the gateway suspended"
    for _ in range(2):
        bed.gateway.process.suspend()
        await asyncio.sleep(1.5)
        bed.gateway.process.resume()
        await bed.traffic.more(100)
    assert not bed.gateway.lines("replica ejected")
    flawless(run, "35b", "the gateway suspended", bed.traffic.during("the gateway suspended"), "no replica ejected")


async def restarted_one_by_one(run: Run, bed: Bed) -> None:
    bed.traffic.phase = "restarted one by one"
    for replica in bed.replicas:
        await replica.kill()
        await bed.traffic.more(50)
        await replica.start()
        await bed.gateway.takes_in(replica.address)
        await bed.traffic.more(50)
    flawless(run, "32", "restarted one by one", bed.traffic.during("restarted one by one"))


async def flapping(run: Run, bed: Bed, replica: Replica) -> None:
    bed.traffic.phase = "flapping"
    for _ in range(4):
        await replica.kill()
        await asyncio.sleep(0.5)
        await replica.start()
        await asyncio.sleep(0.5)
    flawless(run, "34", "flapping", await bed.traffic.requests("flapping", 500))


async def test_replicas_that_come_and_go_cost_no_request(chaos: Chaos) -> None:
    await chaos.valid_run("rows: coming and going", comings_and_goings)


# --- least-loaded -------------------------------------------------------------------------------------------------


async def fails_fast(run: Run) -> None:
    """A replica that fails at once always has the lowest load; it must not attract all requests."""
    async with run.bed(balancer="least-loaded") as bed:
        await asyncio.gather(*(replica.become(service_s=0.06) for replica in bed.replicas[1:]))
        await bed.replicas[0].become(fault="reset on the first bytes")
        outcomes = await bed.traffic.requests("fails fast", 600)
        struck = (await bed.replicas[0].seen()).struck
    share = struck / len(outcomes)
    assert share < 0.25
    flawless(run, "35", "fails fast", outcomes, f"its share of the attempts: {share:.1%}")


async def test_a_replica_that_fails_fast_does_not_attract_the_work(chaos: Chaos) -> None:
    await chaos.valid_run("rows: least-loaded", fails_fast)
