"""What a simulated replica does with a request: how long it works on it, and which answer or fault goes out."""

import asyncio
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson
import pybase64

from tests.chaos.simulator import faults, model
from tests.chaos.simulator.faults import Asked, Early, Sent
from tests.chaos.simulator.http import Request


@dataclass(frozen=True)
class Behaviour:
    """What the harness sets."""

    signatures: Mapping[str, Any]
    """Of every version, in the form of its metadata."""
    fingerprint: str
    """Of the gateway's preprocessing; `describe` repeats it."""
    versions: Mapping[str, str] = field(default_factory=lambda: {"1": "AVAILABLE"})
    """State by version, in the order of the status."""
    load_errors: Mapping[str, str] = field(default_factory=dict)
    """By version: why it could not be loaded, as the status gives it."""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """By version: the document that `describe` answers in place of the right one."""
    version_faults: Mapping[str, str] = field(default_factory=dict)
    """By version: one of `faults.FAULTS`, which strikes every prediction of that version."""
    service_s: float = 0.01
    """Work on one prediction, on average."""
    spread: Literal["fixed", "exponential"] = "fixed"
    workers: int = 0
    """Predictions at work at once; the rest wait, without a bound, as in TensorFlow Serving. 0: any number."""
    fault: str = ""
    """One of `faults.FAULTS` or `faults.EARLY`."""
    share: float = 1
    """Share of the calls that the fault strikes."""
    grpc_port: int = 0
    """0: REST only."""
    deadly: int | None = None
    """The digest of a picture of which the process dies, after its working time."""
    idle_s: float | None = None
    """A connection is closed when it has been idle for a random time up to this."""


class SimulatedReplica:
    """The state of one replica."""

    connections: int

    def __init__(self, behaviour: Behaviour) -> None:
        self.connections = 0
        self._struck = 0
        self._at_work = 0
        self._calls: Counter[int] = Counter()
        self._random = random.Random(1)
        self._set(behaviour)

    def become(self, changes: Mapping[str, Any]) -> None:
        """Change these fields of the behaviour."""
        self._set(replace(self.behaviour, **changes))

    def _set(self, behaviour: Behaviour) -> None:
        known = {"", "wrong version", *faults.FAULTS, *faults.EARLY}
        for fault in behaviour.fault, *behaviour.version_faults.values():
            assert fault in known, f"no fault {fault!r}"
        self.behaviour = behaviour
        self._place = asyncio.Semaphore(behaviour.workers) if behaviour.workers else None

    def seen(self) -> dict[str, Any]:
        """Calls for a prediction by the picture's digest; those at work now; those a fault struck; connections."""
        counted = {"struck": self._struck, "at_work": self._at_work, "connections": self.connections}
        return {"calls": self._calls, **counted}

    def strikes(self, fault: Early) -> bool:
        """Whether this fault is set and strikes this call."""
        return self.behaviour.fault == fault and self._is_struck()

    def idle_s(self) -> float | None:
        """A random time, where connections are closed at all."""
        most = self.behaviour.idle_s
        return None if most is None else self._random.uniform(0, most)

    async def answer(self, request: Request) -> Sent:
        """Answer status and metadata at once, predictions after their working time."""
        path = request.path
        if path == "/v1/models/my_model":
            return faults.whole(model.status(self.behaviour.versions, self.behaviour.load_errors))
        version = path.partition("/versions/")[2].partition(":")[0].partition("/")[0]
        if self.behaviour.versions.get(version) != "AVAILABLE":
            return faults.failed(404)
        if path.endswith("/metadata"):
            listed = {"signature_def": {"signature_def": self.behaviour.signatures}}
            return faults.whole(json.dumps({"metadata": listed}).encode())
        body = orjson.loads(request.body)
        if body["signature_name"] == "describe":
            return faults.whole(json.dumps({"predictions": [self.description(version)]}).encode())
        return await self._predict(int(version), body["instances"])

    def description(self, version: str) -> str:
        """What `describe` answers for that version."""
        other = self.behaviour.descriptions.get(version)
        return model.description(int(version), self.behaviour.fingerprint) if other is None else other

    async def _predict(self, version: int, instances: list[dict[str, str]]) -> Sent:
        name, fault = await self.work(version, [pybase64.b64decode(instance["b64"]) for instance in instances])
        asked = Asked(name, version)
        return faults.FAULTS[fault](asked) if fault else faults.whole(faults.right(asked))

    async def work(self, version: int, pictures: Sequence[bytes]) -> tuple[str, str]:
        """Take the time of one prediction.

        Returns:
            The right class name of the first picture, and the fault that strikes this call, if one does.
        """
        digests = [model.digest(pixels) for pixels in pictures]
        self._calls.update(digests)
        self._at_work += 1
        async with self._worker():
            await asyncio.sleep(self._work_s())
        if self.behaviour.deadly in digests:
            os.kill(os.getpid(), signal.SIGKILL)
        self._at_work -= 1
        return model.name_of(digests[0]), self.behaviour.version_faults.get(str(version)) or self._fault()

    def _fault(self) -> str:
        strikes = self.behaviour.fault not in ("", *faults.EARLY) and self._is_struck()
        return self.behaviour.fault if strikes else ""

    def _worker(self) -> AbstractAsyncContextManager[object]:
        return self._place or nullcontext()

    def _work_s(self) -> float:
        mean_s = self.behaviour.service_s
        return self._random.expovariate(1 / mean_s) if self.behaviour.spread == "exponential" else mean_s

    def _is_struck(self) -> bool:
        struck = self.behaviour.share == 1 or self._random.random() < self.behaviour.share
        self._struck += struck
        return struck
