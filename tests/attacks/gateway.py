"""A gateway of this checkout or another one, with two embedded replicas, for attackers and their victims."""

import contextlib
import hashlib
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.line import Line, running
from tests import pictures
from tests.attacks.processes import Processes
from tests.attacks.rows import Request
from tests.documents import ROOT

VICTIM, ATTACKER = "the-key-of-the-victim", "the-key-of-the-attacker"
REPLICAS = 2
FILES = 1024
"""Soft limit of descriptors, as most systems start a process with; the gateway raises its own."""
ANSWER_WITHIN_S = 60.0
READY_WITHIN_S = 60.0
PIECE_BYTES = 2**18


class Answer(NamedTuple):
    """The first answer to a request; status 0: the connection ended without one."""

    status: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Gateway:
    """A running one."""

    line: Line
    processes: Processes
    log: Path

    @property
    def port(self) -> int:
        return self.line.port

    def ready(self) -> bool:
        """Whether all its replicas can classify."""
        both = len(self.processes.replicas()) == REPLICAS
        models = self.body(Request("models", "GET", "/v1/models")) if both else b""
        return models.count(b'"state":"available"') == REPLICAS

    def wait_until_ready(self) -> float:
        """Seconds until then, at most `READY_WITHIN_S`."""
        began = time.monotonic()
        while not self.ready() and time.monotonic() < began + READY_WITHIN_S:
            time.sleep(0.1)
        return time.monotonic() - began

    def end_replicas(self) -> None:
        """Kill them, because they do not stop working; the gateway starts others."""
        for pid in self.processes.replicas():
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.5)

    def body(self, request: Request) -> bytes:
        """What comes back, with its head."""
        with contextlib.suppress(OSError):
            return exchange(self.port, request.message(VICTIM))[1]
        return b""


@contextlib.contextmanager
def running_gateway(tree: str = "") -> Iterator[Gateway]:
    """Start it with the demo model, and with keys for two callers.

    Args:
        tree: another checkout; its gateway runs in this environment.
    """
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with tempfile.TemporaryDirectory() as folder:
        keys, log = Path(folder) / "keys", Path(folder) / "log"
        named = {"victim": VICTIM, "attacker": ATTACKER}
        keys.write_text("".join(f"{name}:{hashlib.sha256(key.encode()).hexdigest()}\n" for name, key in named.items()))
        settings = {"api_keys_file": str(keys), "embedded_replicas": str(REPLICAS), "log_format": "json"}
        picture = pictures.jpeg((320, 240))
        with running(demo_model(), picture, log=log, api_key=VICTIM, tree=tree, **settings) as line:
            gateway = Gateway(line, Processes(line.process.pid), log)
            gateway.wait_until_ready()
            with gateway.processes.watched():
                yield gateway


def demo_model() -> Path:
    """The folder with the demo model as version 1, which is exported if it is not there."""
    models = ROOT / "runs/attacks/models"
    if not (version := models / "my_model/1").exists():
        command = [sys.executable, "-m", "training", "demo", "--models", str(models), "--name", "my_model"]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (exported,) = version.parent.iterdir()
        exported.rename(version)
    return models


def send(port: int, message: bytes) -> Answer:
    """Send it on a connection of its own."""
    began = time.perf_counter()
    status, received = exchange(port, message)
    return Answer(status, len(received), time.perf_counter() - began)


def exchange(port: int, message: bytes) -> tuple[int, bytes]:
    """Send `message` until the first answer to it is complete. Returns status and all bytes received."""
    left, received = memoryview(message), bytearray()
    with socket.create_connection(("127.0.0.1", port)) as connection, contextlib.suppress(ConnectionError):
        connection.setblocking(False)
        while not _complete(received):
            sending = [connection] if left else []
            readable, writable, _ = select.select([connection], sending, [], ANSWER_WITHIN_S)
            if readable:
                if not (chunk := connection.recv(PIECE_BYTES)):
                    break
                received += chunk
            elif writable:
                left = left[connection.send(left[:PIECE_BYTES]) :]
            else:
                break
    return int(received[9:12] or 0), bytes(received)


def _complete(received: bytearray) -> bool:
    head, found, body = received.partition(b"\r\n\r\n")
    if not found:
        return False
    _, announced, rest = head.lower().partition(b"content-length:")
    return bool(announced) and len(body) >= int(rest.split(b"\r\n")[0])
