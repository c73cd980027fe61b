"""Simulated replicas as the harness controls them: start, kill, stop, move, change behaviour."""

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from gateway.imaging import fingerprint
from tests.chaos.simulator.model import CLASSES
from tests.fakes import FakeModel

PATIENCE_S = 60


@dataclass(frozen=True)
class Seen:
    """What one process of a replica has seen."""

    calls: "Counter[int]"
    """Calls for a prediction, by the picture's digest."""
    at_work: int
    """Such calls that it has not answered yet."""
    struck: int
    """Calls and connections that the fault struck."""
    connections: int


@dataclass
class Replica:
    """One address, and the process that listens there now."""

    host: str
    port: int = 0
    behaviour: dict[str, Any] = field(default_factory=dict)
    _process: Process | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def as_settings(self) -> dict[str, object]:
        """The gateway's settings for these replicas, apart from the addresses."""
        return {"grpc_port": self.behaviour["grpc_port"]} if "grpc_port" in self.behaviour else {}

    async def start(self) -> None:
        """Start the process, at the same address as before. It serves when this returns."""
        command = [sys.executable, "-m", "tests.chaos.simulator", self.host, str(self.port)]
        self._process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        self.port = (await self._exchange({**_common(), **self.behaviour}))["port"]

    async def become(self, **changes: object) -> Seen:
        """Change the fields of its `Behaviour`, for this process and those after it."""
        self.behaviour |= changes
        seen = await self._exchange(changes)
        calls = Counter({int(digest): count for digest, count in seen.pop("calls").items()})
        return Seen(calls, **seen)

    async def become_anew(self, **changes: object) -> None:
        """Change the fields of its `Behaviour` while it has no process, and start it."""
        self.behaviour |= changes
        await self.start()

    async def heal(self) -> Seen:
        """End its faults."""
        return await self.become(fault="", share=1, idle_s=None)

    async def seen(self) -> Seen:
        """What its present process has seen."""
        return await self.become()

    def signal(self, sent: signal.Signals) -> None:
        """Send SIGSTOP or SIGCONT to the process."""
        assert self._process is not None
        self._process.send_signal(sent)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.returncode is None

    async def kill(self) -> None:
        """Send SIGKILL and wait for the end of the process."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()

    async def _exchange(self, order: object) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE_S)
        assert line, "the simulated replica has died"
        return json.loads(line)


@cache
def _common() -> dict[str, Any]:
    signatures = FakeModel(probabilities=[1 / CLASSES] * CLASSES).signatures()
    return {"signatures": signatures, "fingerprint": fingerprint()}


@asynccontextmanager
async def running(count: int, *, grpc: bool = False, **behaviour: Any) -> AsyncIterator[list[Replica]]:
    """Start `count` replicas, each on its own address, all on one port, as behind one DNS name."""
    async with AsyncExitStack() as stack:
        port = common_port(count)
        if grpc:
            behaviour["grpc_port"] = common_port(count)
        replicas = [Replica(host(number), port, dict(behaviour)) for number in range(count)]
        for replica in replicas:
            stack.push_async_callback(replica.kill)
        await asyncio.gather(*(replica.start() for replica in replicas))
        yield replicas


def host(number: int) -> str:
    """Every address of 127/8 is this machine."""
    return f"127.0.0.{number + 2}"


def common_port(count: int) -> int:
    """A port that is free on that many hosts, and on as many again to move to."""
    for _ in range(100):
        with socket.socket() as first:
            first.bind((host(0), 0))
            port = int(first.getsockname()[1])
            if all(_is_free(host(number), port) for number in range(1, 2 * count)):
                return port
    raise RuntimeError("no port is free on so many addresses of 127/8")


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind((address, port))
        return True
    return False
