"""Model servers as child processes, for a machine without Docker: started, restarted and stopped by the gateway.

It is `tensorflow_model_server` where that is on the path, else the stand-in of this repository; both take the
same flags. A child that dies is started again, after a second at first and twice as long each further time.
"""

import asyncio
import contextlib
import functools
import os
import shutil
import socket
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from gateway.process.orphans import die_with
from gateway.settings import CORES

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STOP_WITHIN_S = 10.0
LONGEST_LINE_BYTES = 1024 * 1024
GRPC_THREADS = 64
"""More than attempts in flight: a model server turns away what is beyond, by default what is beyond four a core."""
PROJECT = Path(__file__).resolve().parents[2]

log = structlog.get_logger()


class Embedded:
    """`count` model servers on ports of their own; a `Discovery` of where they are."""

    trouble = ""

    def __init__(self, count: int, *, models_dir: Path, model_name: str) -> None:
        free = _free_ports(2 * count)
        self._ports = list(zip(free[:count], free[count:], strict=True))
        """REST and gRPC port of each child."""
        self._models_dir = models_dir.resolve()
        self._model_name = model_name
        self._intra_op_threads = max(1, CORES // count)
        self._keepers: list[asyncio.Task[None]] = []

    async def addresses(self) -> Sequence[str]:
        """Known before the children are up: a probe tells when they are."""
        return [f"127.0.0.1:{port}/{grpc_port}" for port, grpc_port in self._ports]

    def expire(self) -> None:
        """Always true: it is we who move them."""

    async def __aenter__(self) -> "Embedded":
        self._keepers = [asyncio.create_task(self._keep(number)) for number in range(len(self._ports))]
        return self

    async def __aexit__(self, *failure: object) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    def command(self, port: int, grpc_port: int) -> list[str]:
        """How one model server is started; see docs/tensorflow-serving.md, "Flags"."""
        server = shutil.which("tensorflow_model_server")
        return [
            *([server] if server else [sys.executable, "-m", "serving.standin"]),
            f"--port={grpc_port}",
            f"--grpc_max_threads={GRPC_THREADS}",
            f"--rest_api_port={port}",
            f"--model_name={self._model_name}",
            f"--model_base_path={self._models_dir / self._model_name}",
            f"--tensorflow_intra_op_parallelism={self._intra_op_threads}",
            f"--tensorflow_inter_op_parallelism={self._intra_op_threads}",
            "--max_num_load_retries=3",  # by default six tries, a minute apart, before a bad model is told
            "--load_retry_interval_micros=1000000",
        ]

    async def _keep(self, number: int) -> None:
        """One model server, for as long as the gateway runs; on other ports after a death, which they may explain."""
        pause_s = FIRST_PAUSE_S
        while True:
            port, grpc_port = self._ports[number]
            started = asyncio.get_running_loop().time()
            code, said = await self._run_once(port, grpc_port)
            if asyncio.get_running_loop().time() - started > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            log.error("model server died", port=port, exit_code=code, again_in_s=pause_s, last_words=said)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            fresh = _free_ports(2)
            self._ports[number] = (fresh[0], fresh[1])

    async def _run_once(self, port: int, grpc_port: int) -> tuple[int, str]:
        child = await asyncio.create_subprocess_exec(
            *self.command(port, grpc_port),
            cwd=PROJECT,
            env=_environment(os.environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LONGEST_LINE_BYTES,
            start_new_session=True,  # Ctrl-C in the terminal is for the gateway, which lets requests finish first
            preexec_fn=functools.partial(die_with, os.getpid()),  # none is left behind holding memory and a port
        )
        log.info("model server started", port=port, pid=child.pid)
        last: deque[str] = deque(maxlen=5)
        try:
            assert child.stdout is not None
            async for line in child.stdout:
                last.append(line.decode(errors="replace").rstrip())
                log.debug("model server says", port=port, line=last[-1])
            return await child.wait(), " | ".join(last)
        finally:
            await _stop(child)


async def _stop(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """One thread a replica and TensorFlow's own allocator: 20 against 28 ms a picture; an operator's setting wins."""
    return {"TF_CPU_ALLOCATOR_USE_BFC": "true", "STANDIN_HOST": "127.0.0.1", "PYTHONUNBUFFERED": "1", **ours}


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in sockets]
