"""`make trace`: the files and functions of the gateway that one upload passes, in the order of their first call.

The upload comes over a real connection; behind the gateway stands a replica at the wire. Two figures are counted, from
the application's first function on: the files, and the returns, that is how often the path comes back to a file that it
has left. `test_trace.py` holds them to their bounds.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from benchmarks.load import answer, request
from benchmarks.pictures import photo
from gateway.app import create_app
from gateway.http.lifecycle import Lifecycle
from gateway.http.server import Server
from gateway.settings import Settings
from tests.fakes import FakeReplica, network

GATEWAY = Path(__file__).resolve().parents[1] / "gateway"
ON_A_TIMER = (
    "http/server.py",
    "http/connections.py",
    "observe/lag.py",
    "replicas/acceptance.py",
    "replicas/discovery.py",
    "replicas/health.py",
)
"""Their functions run beside the upload."""
APPLICATION = "observe/logs.py"
"""Its outermost layer."""


@dataclass(frozen=True)
class Step:
    """The first call of one function."""

    file: str
    """Below `gateway/`."""
    function: str


class Trace:
    """The steps of one upload."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps

    @property
    def in_application(self) -> Sequence[Step]:
        """Without what the connection does before and after."""
        entered = next(at for at, step in enumerate(self.steps) if step.file == APPLICATION)
        return [step for step in self.steps[entered:] if not step.file.startswith("http/connection")]

    @property
    def files(self) -> set[str]:
        return {step.file for step in self.in_application if step.file != "http/exchange.py"}

    @property
    def returns(self) -> int:
        """Changes to a file that has been left before."""
        path = [file for file, _ in groupby(step.file for step in self.in_application if step.file in self.files)]
        return len(path) - len(set(path))

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for number, (file, steps) in enumerate(groupby(self.steps, lambda step: step.file), 1):
            yield f"{number:3} gateway/{file}: {', '.join(step.function for step in steps)}"
        yield f"\nin the application: {len(self.files)} files, {self.returns} returns"


async def traced() -> Trace:
    """One upload, on a connection and to replicas that have been used before."""
    log_settings = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    listener = socket.create_server(("127.0.0.1", 0))
    settings = Settings(upstream="a:1,b:1", decode_processes=1, port=listener.getsockname()[1])
    lifecycle = Lifecycle()
    app = create_app(settings, network(FakeReplica("a:1"), FakeReplica("b:1")), lifecycle)
    server = Server(app, settings, lifecycle)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started or app.state.services.pool.model is None:
            await asyncio.sleep(0.01)
        return Trace(await _upload(settings.port))
    finally:
        server.should_exit = True
        await serving
        structlog.configure(**log_settings)


async def _upload(port: int) -> list[Step]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    message = request(photo((512, 384), kilobytes=30))
    seen: dict[Step, None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(GATEWAY):
            below = file.relative_to(GATEWAY).as_posix()
            if below not in ON_A_TIMER:
                seen.setdefault(Step(below, frame.f_code.co_qualname))

    for last in (False, False, True):
        if last:
            sys.setprofile(note)
        writer.write(message)
        status, _ = await answer(reader)
        assert status == 200
    await asyncio.sleep(0)  # the log line is written after the answer
    sys.setprofile(None)
    writer.close()
    return list(seen)


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(traced())}\n")
