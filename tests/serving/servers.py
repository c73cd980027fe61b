"""Stand-ins as processes, and plain HTTP requests to them."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

PATIENCE_S = 60
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Server:
    port: int
    grpc_port: int
    process: "subprocess.Popen[str]"
    log: Path

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask(Request(f"http://127.0.0.1:{self.port}{path}"))

    def predict(self, body: object, model: str = "m", version: str = "") -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.port}/v1/models/{model}{version}:predict"
        return self._ask(Request(url, data=json.dumps(body).encode(), method="POST"))

    def states(self, model: str = "m") -> dict[int, str]:
        """State of each version; empty where the model is unknown."""
        status, answer = self.get(f"/v1/models/{model}")
        entries = answer["model_version_status"] if status == 200 else []
        return {int(entry["version"]): entry["state"] for entry in entries}

    def _ask(self, request: Request) -> tuple[int, Any]:
        try:
            with urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)


def wait_until(happened: Callable[[], bool], *, within_s: float = PATIENCE_S) -> None:
    """Poll until it happened. The limit is far longer than a busy machine needs."""
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen within {within_s} s"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, *flags: str, port: int | None = None) -> Server:
    """A process that may not listen yet. Its log goes to `folder`."""
    port, grpc_port = port or free_port(), free_port()
    log = folder / f"standin-{port}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.standin", f"--port={grpc_port}", f"--rest_api_port={port}", *flags],
            cwd=ROOT,
            text=True,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return Server(port, grpc_port, process, log)


@contextmanager
def running(folder: Path, *flags: str) -> Iterator[Server]:
    """A server that accepts connections; killed at the end of the block."""
    server = start(folder, *flags)
    try:
        wait_until(lambda: is_listening(server))
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def is_listening(server: Server) -> bool:
    assert server.process.poll() is None, server.log.read_text()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", server.port)) == 0
