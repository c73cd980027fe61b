"""Normal clients beside a fault: uploads at a steady pace, each on time whatever happened to the one before."""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.load import answer
from tests.faults.gateway import PICTURE

UPLOAD = (
    b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(PICTURE), PICTURE)
)
MARGIN_MS = 150
"""Beside what is promised of times: whatever else the machine does that tests. The table shows the figure itself."""


@dataclass
class Seen:
    """What the clients saw."""

    statuses: "Counter[int]" = field(default_factory=Counter)
    """0: the connection failed."""
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.statuses.total()

    @property
    def failures(self) -> int:
        return self.count - self.statuses[200]

    def percentile(self, share: float) -> float:
        """Milliseconds within which that share was answered."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def upload(port: int, seen: Seen) -> None:
    """One, on a connection of its own."""
    started = time.perf_counter()
    status = 0
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(UPLOAD)
            status, _ = await answer(reader)
            writer.close()
    seen.statuses[status] += 1
    seen.latencies_ms.append((time.perf_counter() - started) * 1000)


@contextlib.contextmanager
def steady(port: Callable[[], int], *, per_second: float) -> Iterator[Seen]:
    """Uploads from a thread of their own, for as long as the block runs; then until the last answer is there.

    Args:
        port: asked for each upload, so that a balancer can choose.
    """
    seen, stop = Seen(), threading.Event()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        begun, uploads = loop.time(), []
        while not stop.is_set():
            uploads.append(asyncio.create_task(upload(port(), seen)))
            await asyncio.sleep(max(0.0, begun + len(uploads) / per_second - loop.time()))
        await asyncio.gather(*uploads)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(120)
