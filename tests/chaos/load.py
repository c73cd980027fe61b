"""Sixteen clients at an even pace. Every answer is checked, and the lag of the harness itself is measured."""

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

CLIENTS = 16
PICTURES = 24
PROBE_S = 0.005
MAX_LAG_P99_S = 0.05
"""Above this lag, the harness was too late for its figures to show anything about the gateway."""


@dataclass(frozen=True)
class Upload:
    """A whole request and its right answer."""

    message: bytes
    names: Sequence[str]
    """One, or one for each picture of a batch."""
    digests: Sequence[int]
    batch: bool = False


@cache
def uploads() -> Sequence[Upload]:
    """Pictures no two of which have the same right name, so that no answer fits another's request."""
    found: dict[str, Upload] = {}
    for shade in range(256):
        file = picture(shade)
        digest = model.digest(preprocess(file).tobytes())
        name = model.name_of(digest)
        found.setdefault(name, Upload(request(file), (name,), (digest,)))
    assert len(found) >= PICTURES
    return list(found.values())[:PICTURES]


@cache
def batch() -> Upload:
    """Some pictures in one request."""
    shades = range(0, 256, 32)
    files = [picture(shade) for shade in shades]
    digests = [model.digest(preprocess(file).tobytes()) for file in files]
    part = b'--X\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    body = b"".join(part + file + b"\r\n" for file in files) + b"--X--\r\n"
    head = (
        "POST /v1/classify/batch HTTP/1.1\r\nHost: gateway\r\n"
        f"Content-Type: multipart/form-data; boundary=X\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return Upload(head.encode() + body, [model.name_of(digest) for digest in digests], digests, batch=True)


def picture(shade: int) -> bytes:
    """A PNG of one colour, some 100 bytes."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (shade, 255 - shade, 7 * shade % 256)).save(file, "PNG")
    return file.getvalue()


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
    what two cores can do, so that queues come from faults and not from the machine."""
    clients: int = CLIENTS
    most: float = math.inf
    """Requests in all."""
    batch_every: int = 0
    """One request in so many is a batch; 0: none."""


class Outcomes(list[Outcome]):
    """Of a phase, or several."""

    @property
    def failed(self) -> "Outcomes":
        """Not a 200."""
        return Outcomes(outcome for outcome in self if outcome.status != 200)

    @property
    def wrong(self) -> list[Outcome]:
        """A 200 that should not have been."""
        return [outcome for outcome in self if outcome.wrong]

    def percentile_ms(self, share: float) -> float:
        """Latency within which that share of the requests was answered, in ms; nan if there were none."""
        ordered = sorted(outcome.seconds for outcome in self)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else math.nan

    def statuses(self) -> dict[str, int]:
        """Number of outcomes by status and problem."""
        return dict(Counter(f"{o.status} {o.problem or o.wrong}".strip() for o in self))


class Traffic:
    """What the clients do now, and the outcomes so far."""

    def __init__(self, port: int, offered: Offered) -> None:
        self.rate = offered.rate
        self._left = offered.most
        self._batch_every = offered.batch_every
        self.phase = "warm-up"
        self.outcomes = Outcomes()
        self._lags_s: list[float] = []
        self._port = port
        self._slot = 0.0
        self._turn = 0
        self._news = asyncio.Event()

    async def requests(self, phase: str, count: int) -> Outcomes:
        """Begin a phase with this name; wait until `count` of its requests have been answered."""
        self.phase = phase
        await self.until(lambda: len(self.during(phase)) >= count)
        return self.during(phase)

    async def more(self, count: int) -> None:
        """Wait until `count` more requests have been answered."""
        wanted = len(self.outcomes) + count
        await self.until(lambda: len(self.outcomes) >= wanted)

    async def until(self, happened: Callable[[], bool], *, within_s: float = 120) -> None:
        """Wait until `happened` is true; it is asked after each answer."""
        async with asyncio.timeout(within_s):
            while not happened():
                self._news.clear()
                await self._news.wait()

    def during(self, *phases: str) -> Outcomes:
        """The requests sent in these phases; all requests if none is named."""
        return Outcomes(outcome for outcome in self.outcomes if not phases or outcome.phase in phases)

    @property
    def lag_p99_s(self) -> float:
        """99th percentile of how late the harness's own sleep of 5 ms was, in seconds."""
        ordered = sorted(self._lags_s) or [0.0]
        return ordered[int(0.99 * len(ordered))]

    async def client(self) -> None:
        """One client: send requests until none is left."""
        wire = Wire(self._port)
        try:
            while self._left > 0:
                self._left -= 1
                await self._pause()
                await self._one(wire)
        finally:
            wire.close()

    async def _pause(self) -> None:
        """Wait for the next slot. Slots that passed while every client was busy are skipped."""
        now = perf_counter()
        self._slot = max(now, self._slot + 1 / self.rate)
        await asyncio.sleep(self._slot - now)

    async def _one(self, wire: Wire) -> None:
        upload, phase, sent = self._next(), self.phase, perf_counter()
        try:
            reply: Reply | None = await wire.ask(upload.message)
        except (OSError, asyncio.IncompleteReadError):
            reply = None
        self.outcomes.append(judged(upload, reply, phase=phase, sent=sent, seconds=perf_counter() - sent))
        self._news.set()

    def _next(self) -> Upload:
        self._turn += 1
        if self._batch_every and self._turn % self._batch_every == 0:
            return batch()
        return uploads()[self._turn % PICTURES]

    async def watch_lag(self) -> None:
        """Measure the lag; ends by cancellation. The event loop's clock stops while a task runs, so it is not used."""
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
        return Outcome(phase, sent, seconds, reply.status, slug_of(document), "retry-after" in reply.headers)
    answers = document["results"] if upload.batch else [document]
    spoilt = [answer["problem"] for answer in answers if "problem" in answer]
    if spoilt:
        return Outcome(phase, sent, seconds, spoilt[0]["status"], slug_of(spoilt[0]))
    versions = " and ".join(sorted({answer["model"]["version"] for answer in answers}))
    return Outcome(phase, sent, seconds, 200, version=versions, wrong=fault_of(upload, answers))


def slug_of(problem: dict[str, Any]) -> str:
    """The last part of its type."""
    return str(problem["type"]).rpartition("/")[2]


def fault_of(upload: Upload, answers: Sequence[dict[str, Any]]) -> str:
    """Why these are not the right answers; empty where they are."""
    if len({answer["model"]["version"] for answer in answers}) > 1:
        return "versions mixed in one batch"
    faults = (fault_in(name, answer) for name, answer in zip(upload.names, answers, strict=True))
    return next(filter(None, faults), "")


def fault_in(name: str, answer: dict[str, Any]) -> str:
    """Of one picture's answer."""
    best, version = answer["predictions"][0], int(answer["model"]["version"])
    if best["label"] != name:
        return f"{best['label']} instead of {name}"
    if not math.isclose(best["confidence"], model.confidence(version), abs_tol=1e-4):
        return f"confidence {best['confidence']} is not version {version}'s"
    if model.labels(version)[best["index"]] != name:
        return f"index {best['index']} is not version {version}'s"
    return ""


@asynccontextmanager
async def traffic(port: int, offered: Offered) -> AsyncIterator[Traffic]:
    """Run clients until the block ends or they have sent all their requests."""
    made = Traffic(port, offered)
    uploads()
    tasks = [asyncio.create_task(made.client()) for _ in range(offered.clients)]
    tasks.append(asyncio.create_task(made.watch_lag()))
    try:
        yield made
    finally:
        await cancelled(tasks)


async def cancelled(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancel the tasks and wait for them."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
