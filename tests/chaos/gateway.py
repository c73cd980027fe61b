"""The gateway as a process, as an operator starts it, and what its log, metrics and status show."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.chaos import wire
from tests.chaos.names import Names

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60
AVAILABLE = "available"


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    port: int
    process: psutil.Process
    log: Path

    async def states(self) -> dict[str, str]:
        """State of each replica by its address."""
        document: Any = (await wire.get(self.port, "/v1/models")).json()
        return {replica["address"]: replica["state"] for replica in document["replicas"]}

    async def takes_in(self, *addresses: str) -> None:
        """Wait until it reports these replicas available."""

        async def taken_in() -> bool:
            states = await self.states()
            return all(states.get(address) == AVAILABLE for address in addresses)

        await eventually(taken_in, otherwise=f"{addresses} to be available")

    async def leaves_out(self, *addresses: str) -> None:
        """Wait until it reports none of these replicas available; the reason does not matter."""

        async def left_out() -> bool:
            states = await self.states()
            return all(states.get(address) != AVAILABLE for address in addresses)

        await eventually(left_out, otherwise=f"{addresses} to be left out")

    async def knows(self, *addresses: str) -> None:
        """Wait until it has exactly these replicas, all available."""
        wanted = dict.fromkeys(addresses, AVAILABLE)

        async def known() -> bool:
            return await self.states() == wanted

        await eventually(known, otherwise=f"{addresses} to be all there is")

    def waited_s(self) -> float:
        """Seconds its event loop has waited for a CPU since it started; 0 if the kernel does not count them."""
        file = Path(f"/proc/{self.process.pid}/schedstat")
        return int(file.read_text(encoding="ascii").split()[1]) / 1e9 if file.exists() else 0

    async def ready(self) -> bool:
        with suppress(OSError):
            return (await wire.get(self.port, "/readyz")).status == 200
        return False

    async def metric(self, name: str, **labels: str) -> float:
        """Sum of all series of that name with these labels."""
        text = (await wire.get(self.port, "/metrics")).body.decode()
        lines = re.findall(rf"^{name}(\{{.*\}})? (\S+)$", text, re.MULTILINE)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(value) for series, value in lines if all(label in series for label in wanted))

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """Its log lines so far; with `event`, only those of that event."""
        with self.log.open(encoding="utf-8") as lines:
            logged = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in logged if not event or line.get("event") == event]


@asynccontextmanager
async def running(folder: Path, *, names: Names | None = None, **settings: object) -> AsyncIterator[Gateway]:
    """Start a gateway; at the end of the block, stop it and check that it exits with 0 and logged no traceback.

    Args:
        folder: takes the log.
        names: the file that the resolver answers from; None: the system resolver.
        settings: the gateway's, by name.
    """
    port = _free_port()
    log = folder / "gateway.log"
    told = {"port": port, "log_format": "json", **settings}
    environment = {f"GATEWAY_{name.upper()}": str(value) for name, value in told.items()}
    module = ["tests.chaos.names", str(names.file)] if names else ["gateway"]
    with log.open("wb") as lines:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *module, cwd=ROOT, env=os.environ | environment, stderr=lines
        )
    gateway = Gateway(port, psutil.Process(process.pid), log)
    try:
        await eventually(gateway.ready, alive=lambda: process.returncode is None, otherwise=log)
        yield gateway
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0, "the gateway did not exit with 0"
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert "Traceback" not in log.read_text(encoding="utf-8"), log.read_text(encoding="utf-8")[-4000:]


async def eventually(
    happened: Callable[[], Any],
    *,
    within_s: float = PATIENCE_S,
    alive: Callable[[], bool] = lambda: True,
    otherwise: object = "",
) -> None:
    """Poll `happened` until it returns true.

    Raises:
        AssertionError: it was not true within `within_s`.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while not await happened():
        assert alive(), f"the process has ended: {otherwise}"
        assert loop.time() < until, f"not within {within_s:g} s: {otherwise}"
        await asyncio.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
