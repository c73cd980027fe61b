"""Work for a while with faults on: what the gateway uses must not grow.

FAULTS_SOAK_S sets how long (default 45 seconds; 600 for `make soak`).
"""

import asyncio
import contextlib
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.faults.gateway import Gateway, running_gateway
from tests.faults.load import UPLOAD, capacity, steady
from tests.faults.record import record
from tests.faults.replica import Replica, wait_for, working_for
from tests.faults.smuggling import CORPUS

pytestmark = pytest.mark.faults

SOAK_S = float(os.environ.get("FAULTS_SOAK_S", "45"))
EVERY_S = 1.0
LOAD = 0.7
"""Share of the throughput measured with the clients and the replica of this test."""
ROUND_S = 15
"""The throughput of a shared machine changes by a third from one minute to the next, so the load follows it. The first
round does not count: pools and caches fill, and free memory is given back for the first time."""
WORK_S = 0.005
"""Of the replica, for a picture."""


@dataclass(frozen=True)
class Use:
    """At one moment."""

    rss_mib: float
    files: int
    threads: int
    tasks: float


@contextlib.contextmanager
def mischief(port: int, *, per_second: float) -> Iterator[None]:
    """Clients that leave, and requests that are none, until the block ends."""
    stop = threading.Event()
    chance = random.Random(102)

    async def one() -> None:
        sent = chance.choice([UPLOAD[: chance.randrange(1, len(UPLOAD))], UPLOAD, chance.choice(list(CORPUS.values()))])
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            await asyncio.sleep(chance.uniform(0, 0.05))
            writer.transport.abort()

    async def run() -> None:
        while not stop.is_set():
            await asyncio.gather(one(), asyncio.sleep(1 / per_second))

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def used(gateway: Gateway) -> Use:
    return Use(gateway.rss_mib(), gateway.files(), gateway.process.num_threads(), gateway.metric("gateway_tasks"))


def at_rest(gateway: Gateway, replica: Replica) -> Use:
    """What the gateway uses when no request is in progress, connections to the replica left out.

    It keeps as many of these as were ever in use at once: probes use them in turn, so none expires.
    """
    wait_for(gateway.quiet)
    wait_for(lambda: gateway.metric("gateway_connections") <= 2)
    use = used(gateway)
    kept = [one for one in gateway.process.net_connections("tcp") if one.raddr and one.raddr.port == replica.port]
    return replace(use, files=use.files - len(kept))


def slope(values: list[float]) -> float:
    """By least squares, over the whole time."""
    count = len(values)
    middle = (count - 1) / 2
    mean = sum(values) / count
    over = sum((at - middle) ** 2 for at in range(count))
    return sum((at - middle) * (value - mean) for at, value in enumerate(values)) / over * count


def test_after_hours_of_work_with_faults_the_gateway_uses_no_more_than_before(replica: Replica, tmp_path: Path) -> None:
    with (
        running_gateway(replica.address, tmp_path / "log", queue_wait_s="5") as gateway,
        working_for(replica, WORK_S),
    ):
        capacity(gateway.port, clients=8, count=600)
        before = at_rest(gateway, replica)
        looks, rates, statuses, problems = [], [], Counter[int](), Counter[str]()
        with mischief(gateway.port, per_second=20):
            for number in range(1 + round(SOAK_S / ROUND_S)):
                rates.append(LOAD * capacity(gateway.port, clients=8, count=600))
                with steady(lambda: gateway.port, per_second=rates[-1]) as seen:
                    until = time.monotonic() + ROUND_S
                    while time.monotonic() < until:
                        time.sleep(EVERY_S)
                        looks += [used(gateway)] if number else []
                statuses += seen.statuses
                problems += seen.problems
        assert set(statuses) <= {200, 503}  # on a busy machine, 70 % may become too much
        assert set(problems) <= {"overloaded"}
        assert statuses[200] > statuses.total() / 2
        rss_mib = [round(look.rss_mib, 1) for look in looks]
        grown = slope(rss_mib)
        # A short interval shows changes of the load, which a long one evens out.
        assert grown < (1 if SOAK_S >= 600 else 8), " ".join(map(str, rss_mib[:: max(1, len(rss_mib) // 40)]))
        assert max(look.threads for look in looks) <= before.threads + 2
        after = at_rest(gateway, replica)  # under load, files and tasks follow the connections, which follow the load
        assert after.rss_mib <= before.rss_mib + 8
        assert after.files <= before.files + 8
        assert after.tasks <= before.tasks + 2
        load = f"{SOAK_S:.0f} s at {100 * LOAD:.0f} % load, {min(rates):.0f} to {max(rates):.0f} requests/s"
        load += f", {statuses.total():,} uploads, {statuses[503]:,} shed"
        seen_to_grow = f"RSS {looks[0].rss_mib:.0f} MiB, slope {grown:+.1f} MiB; threads constant"
        record("102", f"{load}: {seen_to_grow}; files and tasks afterwards unchanged")
