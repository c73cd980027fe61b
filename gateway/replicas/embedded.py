"""Model servers as child processes, for a machine without Docker: started, restarted and stopped by the gateway.

The program is `tensorflow_model_server` where that is on the path, else `python -m serving.standin`; both take the same
flags. A model server that ended, or could not be started, is started again after one second; each further pause is
twice as long, up to 30 s, and a run of more than 30 s makes the next pause one second again.
"""

import asyncio
import contextlib
import functools
import os
import shutil
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextvars import Context
from pathlib import Path
from typing import Any

import structlog

from gateway.process import children
from gateway.process.orphans import die_with
from gateway.settings import CORES

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STOP_WITHIN_S = 10.0
CHUNK_BYTES = 64 * 1024
LONGEST_LINE_BYTES = 16 * 1024
"""Longer lines of a model server's output are cut: the last five go into one line of the gateway's log."""
GRPC_THREADS = 64
"""More than attempts in flight: a model server refuses calls beyond this number, which is four per core by default."""
PROJECT = Path(__file__).resolve().parents[2]

log = structlog.get_logger()


class Embedded:
    """`count` model servers on ports of their own; a `Discovery` of their addresses."""

    trouble = ""

    def __init__(self, count: int, *, models_dir: Path, model_name: str) -> None:
        self._ports = [_free_ports() for _ in range(count)]
        """REST and gRPC port of each model server."""
        self._models_dir = models_dir.resolve()
        self._model_name = model_name
        self._intra_op_threads = max(1, CORES // count)
        self._keepers: list[asyncio.Task[None]] = []

    async def addresses(self) -> Sequence[str]:
        """Known before the model servers answer; the probes find out when they do."""
        return [f"127.0.0.1:{port}/{grpc_port}" for port, grpc_port in self._ports]

    def expire(self) -> None:
        """Nothing to do: the addresses are always current."""

    async def __aenter__(self) -> "Embedded":
        self._keepers = [
            asyncio.create_task(self._keep(number), context=Context())  # its log lines belong to no request
            for number in range(len(self._ports))
        ]
        return self

    async def __aexit__(self, *failure: object) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    def command(self, port: int, grpc_port: int) -> list[str]:
        """The command line of one model server. Source: docs/tensorflow-serving.md, "Flags"."""
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
            "--max_num_load_retries=3",  # the default is five, a minute apart, before a bad model is reported
            "--load_retry_interval_micros=1000000",
        ]

    async def _keep(self, number: int) -> None:
        """Run one model server, again and again, for as long as the gateway runs."""
        loop = asyncio.get_running_loop()
        pause_s = 0.0
        while True:
            started = loop.time()
            ended = await self._run(number, restart=pause_s > 0)
            lasted_s = loop.time() - started
            pause_s = FIRST_PAUSE_S if lasted_s > LONGEST_PAUSE_S or not pause_s else min(pause_s * 2, LONGEST_PAUSE_S)
            log.error(**ended, again_in_s=pause_s)
            await asyncio.sleep(pause_s)

    async def _run(self, number: int, *, restart: bool) -> dict[str, Any]:
        """Start one model server and wait for its end. Returns the log line about the end; raises nothing."""
        try:
            if restart:  # on other ports, as one of the old ones may be the reason why it ended
                self._ports[number] = _free_ports()
            port, grpc_port = self._ports[number]
            exit_code, last_output = await self._run_once(port, grpc_port)
        except Exception as failure:  # noqa: BLE001 # no failure of one run may prevent the next
            reason = f"{type(failure).__name__}: {failure}"
            traceback = {} if isinstance(failure, OSError) else {"exc_info": failure}
            return {"event": "model server not started", "reason": reason, **traceback}
        return {"event": "model server died", "port": port, "exit_code": exit_code, "last_output": last_output}

    async def _run_once(self, port: int, grpc_port: int) -> tuple[int, str]:
        """Exit code and the last lines of output."""
        child = await children.start(
            *self.command(port, grpc_port),
            cwd=PROJECT,
            env=_environment(os.environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for the gateway, which lets requests finish first
            preexec_fn=functools.partial(die_with, os.getpid()),  # else a killed gateway would leave it running
        )
        log.info("model server started", port=port, pid=child.pid)
        last: deque[str] = deque(maxlen=5)
        try:
            assert child.stdout is not None
            async for line in _lines(child.stdout):
                last.append(line)
                log.debug("model server output", port=port, line=line)
            return await child.wait(), " | ".join(last)
        finally:
            await _stop(child)


async def _lines(output: asyncio.StreamReader) -> AsyncIterator[str]:
    """The lines of a model server's output, each cut at `LONGEST_LINE_BYTES`."""
    line = b""
    while chunk := await output.read(CHUNK_BYTES):
        *whole, line = (line + chunk).split(b"\n")
        for each in whole:
            yield _text(each)
        line = line[:LONGEST_LINE_BYTES]
    if line:
        yield _text(line)


def _text(line: bytes) -> str:
    return line[:LONGEST_LINE_BYTES].decode(errors="replace").rstrip()


async def _stop(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await child.communicate()  # its output is read to the end, so that the pipe is closed
    except TimeoutError:
        child.kill()
        await child.wait()


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """A model server's environment; what the operator has set comes before these defaults.

    TensorFlow's own allocator takes 20 ms of CPU time a picture where the C library's takes 28.
    """
    return {"TF_CPU_ALLOCATOR_USE_BFC": "true", "STANDIN_HOST": "127.0.0.1", "PYTHONUNBUFFERED": "1", **ours}


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for listener in (one, other):
            listener.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])
