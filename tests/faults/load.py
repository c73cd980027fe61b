"""Normal clients beside a fault: uploads at a steady pace, each sent on time even if the one before has no answer."""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from benchmarks.load import answer
from tests.faults.contract import problem_in
from tests.faults.gateway import PICTURE

UPLOAD = (
    b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(PICTURE), PICTURE)
)


def keyed(key: str) -> bytes:
    """The same upload with an API key."""
    return UPLOAD.replace(b"Host: a\r\n", b"Host: a\r\nX-API-Key: %s\r\n" % key.encode(), 1)


MARGIN_MS = 150
"""Added to promised times, for other load on the test machine. The table shows the measured figure."""


@dataclass
class Seen:
    """What the clients saw."""

    statuses: "Counter[int]" = field(default_factory=Counter)
    """0: the connection failed."""
    problems: "Counter[str]" = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    served_ms: list[float] = field(default_factory=list)
    """The latencies without those of refusals and failures: a quick refusal is no quick service."""
    late_ms: list[float] = field(default_factory=list)
    """How much later than planned each upload was sent, because of the clients or the machine."""

    @property
    def count(self) -> int:
        return self.statuses.total()

    @property
    def failures(self) -> int:
        return self.count - self.statuses[200]

    def percentile(self, share: float) -> float:
        """Milliseconds within which that share was answered."""
        return _within(self.latencies_ms, share)

    def served(self, share: float) -> float:
        """Milliseconds within which that share of the successful uploads was answered; 0: none was."""
        return _within(self.served_ms, share)

    def lateness(self, share: float) -> float:
        """Milliseconds by which that share was sent late at most."""
        return _within(self.late_ms, share)

    def told(self, before: "Seen") -> str:
        """The latency beside a fault, for the table."""
        p99 = f"p99 {self.percentile(0.99):.0f} ms ({before.percentile(0.99):.0f} ms without)"
        return f"{p99}; the clients' own delay was {self.lateness(0.99):.0f} ms"


def _within(milliseconds: list[float], share: float) -> float:
    ordered = sorted(milliseconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def upload(port: int, seen: Seen, message: bytes = UPLOAD) -> None:
    """One, on a connection of its own."""
    started = time.perf_counter()
    status = 0
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(message)
            status, body = await answer(reader)
            writer.close()
            if status != 200:
                seen.problems[problem_in(status, body)] += 1
    seen.statuses[status] += 1
    latency_ms = (time.perf_counter() - started) * 1000
    seen.latencies_ms.append(latency_ms)
    seen.served_ms += [latency_ms] * (status == 200)


@contextlib.contextmanager
def steady(port: Callable[[], int], *, per_second: float, message: bytes = UPLOAD) -> Iterator[Seen]:
    """Uploads from a thread of their own, for as long as the block runs; then until the last answer is there.

    Args:
        port: asked for each upload, so that a balancer can choose.
        message: the upload.
    """
    seen, stop = Seen(), threading.Event()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        begun, count = loop.time(), 0
        async with asyncio.TaskGroup() as uploads:
            while not stop.is_set():
                seen.late_ms.append((loop.time() - begun - count / per_second) * 1000)
                uploads.create_task(upload(port(), seen, message))
                count += 1
                await asyncio.sleep(max(0.0, begun + count / per_second - loop.time()))

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, run())
        try:
            yield seen
        finally:
            stop.set()
            running.result(120)  # raises what an upload objected to


def capacity(port: int, *, clients: int, count: int) -> float:
    """Uploads a second where so many clients wait for one answer before they send the next."""

    async def run() -> float:
        left, seen = iter(range(count)), Seen()

        async def client() -> None:
            for _ in left:
                await upload(port, seen)

        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        assert seen.failures == 0, seen.statuses
        return count / (time.perf_counter() - started)

    return asyncio.run(run())
