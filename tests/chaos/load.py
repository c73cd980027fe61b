"""Sixteen clients at an even pace, every answer checked; and how late the harness itself was meanwhile."""

import asyncio
import io
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any

import orjson
from PIL import Image

from benchmarks.load import request
from gateway.imaging import preprocess
from tests.chaos.simulator import model
from tests.chaos.wire import Reply, Wire

PICTURES = 24
PROBE_S = 0.005
MAX_LAG_P99_S = 0.05
"""The harness itself was later than that: what it measured says nothing about the gateway."""


@dataclass(frozen=True)
class Upload:
    """A picture as a whole request, and what is right for it."""

    message: bytes
    digest: int
    name: str


@cache
def uploads() -> Sequence[Upload]:
    """Pictures no two of which have the same right name, so that no answer fits another's request."""
    found: dict[str, Upload] = {}
    for shade in range(256):
        file = io.BytesIO()
        Image.new("RGB", (32, 32), (shade, 255 - shade, 7 * shade % 256)).save(file, "PNG")
        digest = model.digest(preprocess(file.getvalue()).tobytes())
        name = model.name_of(digest)
        found.setdefault(name, Upload(request(file.getvalue()), digest, name))
    assert len(found) >= PICTURES
    return list(found.values())[:PICTURES]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request, from the client's side."""

    phase: str
    """Of the scenario, in which it was sent."""
    sent: float
    """On the clock `perf_counter`."""
    seconds: float
    status: int
    """0: the gateway broke the connection."""
    problem: str = ""
    """The last part of its type."""
    retry_after: bool = False
    version: str = ""
    wrong: str = ""
    """Why a 200 is not the right answer."""

    @property
    def ok(self) -> bool:
        return self.status == 200 and not self.wrong


@dataclass(frozen=True)
class Offered:
    """The load that clients offer."""

    rate: float = 150
    """Requests a second of all clients together, fewer when all of them wait for answers. The default is about half of
    what two cores can do, so that queues tell of faults and not of the machine."""
    clients: int = 16
    most: float = math.inf
    """Requests in all."""


class Outcomes(list[Outcome]):
    """Of a phase, or several."""

    @property
    def failed(self) -> list[Outcome]:
        """Not a 200."""
        return [outcome for outcome in self if outcome.status != 200]

    @property
    def wrong(self) -> list[Outcome]:
        """A 200 that should not have been."""
        return [outcome for outcome in self if outcome.wrong]

    def percentile_ms(self, share: float) -> float:
        """Within which `share` of the requests were answered; nan where there were none."""
        ordered = sorted(outcome.seconds for outcome in self)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else math.nan

    def statuses(self) -> dict[str, int]:
        """How many of each, problems by name."""
        return dict(Counter(f"{o.status} {o.problem or o.wrong}".strip() for o in self))


class Traffic:
    """What the clients do at the moment, and what has come of it so far."""

    def __init__(self, port: int, offered: Offered) -> None:
        self.rate = offered.rate
        self._left = offered.most
        self.phase = "warm-up"
        self.outcomes = Outcomes()
        self._lags_s: list[float] = []
        self._port = port
        self._slot = 0.0
        self._turn = 0
        self._news = asyncio.Event()

    async def requests(self, phase: str, count: int) -> Outcomes:
        """Call what follows `phase`, and go on until so many of its requests have been answered."""
        self.phase = phase
        await self.until(lambda: len(self.during(phase)) >= count)
        return self.during(phase)

    async def until(self, happened: Callable[[], bool], *, within_s: float = 120) -> None:
        """Looks after each answer."""
        async with asyncio.timeout(within_s):
            while not happened():
                self._news.clear()
                await self._news.wait()

    def during(self, *phases: str) -> Outcomes:
        """The requests that were sent in these phases; all without one."""
        return Outcomes(outcome for outcome in self.outcomes if not phases or outcome.phase in phases)

    @property
    def lag_p99_s(self) -> float:
        """How late the harness's own 5 ms sleep was."""
        ordered = sorted(self._lags_s) or [0.0]
        return ordered[int(0.99 * len(ordered))]

    async def client(self) -> None:
        """One of them, as long as there are requests left."""
        wire = Wire(self._port)
        try:
            while self._left > 0:
                self._left -= 1
                await self._pause()
                await self._one(wire)
        finally:
            wire.close()

    async def _pause(self) -> None:
        """Until the next slot; slots that nobody was free for are not made up for."""
        now = perf_counter()
        self._slot = max(now, self._slot + 1 / self.rate)
        await asyncio.sleep(self._slot - now)

    async def _one(self, wire: Wire) -> None:
        self._turn += 1
        upload, phase, sent = uploads()[self._turn % PICTURES], self.phase, perf_counter()
        try:
            reply: Reply | None = await wire.ask(upload.message)
        except (OSError, asyncio.IncompleteReadError):
            reply = None
        self.outcomes.append(judged(upload, reply, phase=phase, sent=sent, seconds=perf_counter() - sent))
        self._news.set()

    async def watch_lag(self) -> None:
        """For ever. The event loop's own clock stands still while it works, so it is not asked."""
        while True:
            asleep = perf_counter()
            await asyncio.sleep(PROBE_S)
            self._lags_s.append(perf_counter() - asleep - PROBE_S)


def judged(upload: Upload, reply: Reply | None, *, phase: str, sent: float, seconds: float) -> Outcome:
    """The outcome of one request."""
    if reply is None:
        return Outcome(phase, sent, seconds, 0, problem="connection broken")
    document = orjson.loads(reply.body)
    if reply.status != 200:
        slug = str(document["type"]).rpartition("/")[2]
        return Outcome(phase, sent, seconds, reply.status, slug, "retry-after" in reply.headers)
    return Outcome(phase, sent, seconds, 200, version=document["model"]["version"], wrong=fault_of(upload, document))


def fault_of(upload: Upload, document: dict[str, Any]) -> str:
    """Why this is not the right answer; empty where it is."""
    best, version = document["predictions"][0], int(document["model"]["version"])
    if best["label"] != upload.name:
        return f"{best['label']} instead of {upload.name}"
    if not math.isclose(best["confidence"], model.confidence(version), abs_tol=1e-4):
        return f"confidence {best['confidence']} is not version {version}'s"
    if model.labels(version)[best["index"]] != upload.name:
        return f"index {best['index']} is not version {version}'s"
    return ""


@asynccontextmanager
async def traffic(port: int, offered: Offered) -> AsyncIterator[Traffic]:
    """Clients at work for as long as the block runs, or until they have sent all they have."""
    made = Traffic(port, offered)
    uploads()
    tasks = [asyncio.create_task(made.client()) for _ in range(offered.clients)]
    tasks.append(asyncio.create_task(made.watch_lag()))
    try:
        yield made
    finally:
        await cancelled(tasks)


async def cancelled(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """End them all."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
