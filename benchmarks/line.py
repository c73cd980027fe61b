"""Starts the gateway with its embedded replicas, as `make run` does, and measures its processes."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.load import Load

START_WITHIN_S = 120
FORK_SERVER = "gateway.decoding.forkserver"


@dataclass(frozen=True)
class Cpu:
    """CPU seconds, user and system, since the start of each process."""

    gateway_s: float
    replicas_s: float

    def __sub__(self, earlier: "Cpu") -> "Cpu":
        return Cpu(self.gateway_s - earlier.gateway_s, self.replicas_s - earlier.replicas_s)


@dataclass(frozen=True)
class Line:
    """A running gateway with its embedded replicas."""

    port: int
    started: "subprocess.Popen[bytes]"
    process: psutil.Process
    """The same process, for measuring it."""
    first_answer_s: float

    def cpu(self) -> Cpu:
        """CPU time so far of the gateway with its decode processes, and of the replicas."""
        return Cpu(
            _cpu_s(self.process) + sum(_cpu_s(one, ended_too=True) for one in self.decoders()),
            sum(_cpu_s(child) for replica in self.replicas() for child in (replica, *replica.children(recursive=True))),
        )

    def replicas(self) -> list[psutil.Process]:
        """The model servers that the gateway started."""
        return [child for child in self.process.children() if FORK_SERVER not in child.cmdline()]

    def decoders(self) -> list[psutil.Process]:
        """The fork server and its decode processes."""
        forkservers = [child for child in self.process.children() if FORK_SERVER in child.cmdline()]
        return [one for forkserver in forkservers for one in (forkserver, *forkserver.children())]

    def memory_mib(self) -> tuple[float, float]:
        """Resident memory of the gateway process alone: current and peak."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        now, peak = (int(status.split(f"{name}:")[1].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        return now, peak

    def whole_memory_mib(self) -> float:
        """Memory of the gateway and its decode processes together; shared pages count once (PSS)."""
        return sum(_pss_mib(one) for one in (self.process, *self.decoders()))

    def replica_memory_mib(self) -> list[float]:
        """Resident memory of each replica."""
        return [replica.memory_info().rss / 2**20 for replica in self.replicas()]

    def load(self, picture: Path, *, count: int, clients: int) -> Load:
        """Send uploads from a separate process."""
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load", str(self.port), str(picture), str(count), str(clients)],
            stdout=subprocess.PIPE,
            check=True,
        )
        return Load(**json.loads(done.stdout))


def _cpu_s(process: psutil.Process, *, ended_too: bool = False) -> float:
    """User and system time; with `ended_too`, that of its ended children too."""
    times = process.cpu_times()
    ended_s = times.children_user + times.children_system if ended_too else 0
    return float(times.user + times.system + ended_s)


def _pss_mib(process: psutil.Process) -> float:
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    return int(rollup.split("Pss:")[1].split()[0]) / 1024


@contextlib.contextmanager
def running(
    models: Path,
    picture: bytes,
    *,
    log: Path | None = None,
    api_key: str = "",
    tree: str = "",
    **settings: str,
) -> Iterator[Line]:
    """Start the gateway, wait for its first answer to `picture`, and stop it at the end.

    Args:
        models: the folder with the models of the embedded replicas.
        log: the file for the gateway's log lines.
        api_key: the key to send with the picture.
        tree: the checkout whose gateway is started; by default the working directory.
        settings: settings of the gateway, by name.
    """
    settings = {"port": str(free_port()), "models_dir": str(models), "drain_s": "0", **settings}
    environment = {f"GATEWAY_{name.upper()}": value for name, value in settings.items()}
    port = int(settings["port"])
    started = time.monotonic()
    with log.open("wb") if log else tempfile.TemporaryFile() as lines:
        command = [sys.executable, "-m", "gateway"]
        gateway = subprocess.Popen(command, env=os.environ | environment, stderr=lines, cwd=tree or None)
        try:
            _await_answer(port, picture, gateway, api_key)
            yield Line(port, gateway, psutil.Process(gateway.pid), time.monotonic() - started)
        finally:
            if gateway.poll() is None:
                gateway.send_signal(signal.SIGTERM)
                gateway.wait(timeout=30)


def free_port() -> int:
    """A port that is currently free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _await_answer(port: int, picture: bytes, gateway: "subprocess.Popen[bytes]", api_key: str) -> None:
    headers = {"Content-Type": "image/jpeg", "X-API-Key": api_key}
    until = time.monotonic() + START_WITHIN_S
    while time.monotonic() < until and gateway.poll() is None:
        with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
            client.request("POST", "/v1/classify", picture, {"Content-Type": "image/jpeg", **headers})
            if client.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the gateway ended or gave no answer in {START_WITHIN_S} s; run `python -m gateway` to see why")
