"""What the processes of a gateway use: CPU time, peak memory and descriptors, from Linux' /proc."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

GATEWAY, DECODING, REPLICAS = KINDS = ("gateway", "decoding", "replicas")
EVERY_S = 0.01
QUIET_S, QUIET_SHARE, QUIET_WITHIN_S = 0.1, 0.2, 15.0
"""The work is over when the processes used less than this share of a core for so long, and none waits for a core."""
REPLICA_BYTES = 5 * 2**30
"""Limit of a replica's memory (RLIMIT_DATA): an attack must end the replica, not the machine."""


@dataclass
class Process:
    """One process of the gateway's, as last seen; it may have ended."""

    kind: str
    first_bytes: int
    """Resident memory when the measurement began."""
    cpu_s: float = 0.0
    peak_bytes: int = 0

    @property
    def grown_bytes(self) -> int:
        return max(0, self.peak_bytes - self.first_bytes)


@dataclass
class Used:
    """What one kind of process used during a measurement."""

    cpu_s: dict[str, float]
    grown_bytes: dict[str, int]
    """Above the memory at the beginning: all processes together, as sampled, or one at its peak if that is more."""
    files: int
    """Most descriptors of the gateway's own process."""


@dataclass
class Processes:
    """Those of one gateway. A thread looks at them a hundred times a second, so that those that end are counted."""

    gateway: int
    seen: dict[int, Process] = field(default_factory=dict)
    files: int = 0
    together_bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    """Largest growth of all processes of a kind at one moment."""
    _looking: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Look at them for as long as the block runs."""
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(EVERY_S):
                self.look()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def look(self) -> None:
        """Note what each process has used so far."""
        with self._looking:
            forkserver_bytes, grown = 0, dict.fromkeys(KINDS, 0)
            for pid, kind in _tree(self.gateway):
                with contextlib.suppress(OSError, ValueError):
                    peak, resident = _status(pid, "VmHWM"), _status(pid, "VmRSS")
                    if pid not in self.seen:
                        self.seen[pid] = Process(kind, forkserver_bytes if kind == DECODING else 0)
                        _limit(pid, kind)
                    if kind == DECODING and not forkserver_bytes:
                        forkserver_bytes = resident
                    one = self.seen[pid]
                    one.cpu_s = time.clock_gettime(_clock(pid))
                    one.peak_bytes = max(one.peak_bytes, peak)
                    grown[kind] += max(0, resident - one.first_bytes)
            self.together_bytes = {kind: max(grown[kind], self.together_bytes[kind]) for kind in KINDS}
            with contextlib.suppress(OSError):
                self.files = max(self.files, len(list(Path(f"/proc/{self.gateway}/fd").iterdir())))

    def begin(self) -> dict[int, float]:
        """Forget peaks and processes that have ended. Returns the CPU seconds so far, for `used`."""
        with self._looking:
            living = dict(_tree(self.gateway))
            self.files, self.together_bytes = 0, dict.fromkeys(KINDS, 0)
            self.seen = {pid: one for pid, one in self.seen.items() if pid in living}
            for pid, one in self.seen.items():
                with contextlib.suppress(OSError):
                    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM
                    one.first_bytes = one.peak_bytes = _status(pid, "VmRSS")
        self.look()
        return {pid: one.cpu_s for pid, one in self.seen.items()}

    def used(self, before: dict[int, float]) -> Used:
        """Since `begin` returned `before`."""
        self.look()
        cpu, grown = dict.fromkeys(KINDS, 0.0), dict(self.together_bytes)
        with self._looking:
            for pid, one in self.seen.items():
                cpu[one.kind] += one.cpu_s - before.get(pid, 0.0)
                grown[one.kind] = max(grown[one.kind], one.grown_bytes)
        return Used(cpu, grown, self.files)

    def wait_until_quiet(self) -> bool:
        """Until the work for requests is over, also that which goes on after an answer; False: it goes on still."""
        until = time.monotonic() + QUIET_WITHIN_S
        while time.monotonic() < until:
            before, began = self._cpu_s(), time.monotonic()
            time.sleep(QUIET_S)
            idle = self._cpu_s() - before < QUIET_SHARE * (time.monotonic() - began)
            if idle and not any(_runnable(pid) for pid, _ in _tree(self.gateway)):
                return True
        return False

    def _cpu_s(self) -> float:
        self.look()
        with self._looking:
            return sum(one.cpu_s for one in self.seen.values())

    def replicas(self) -> set[int]:
        """The process ids of the replicas that run now."""
        return {pid for pid, kind in _tree(self.gateway) if kind == REPLICAS}

    def rss_mib(self) -> float:
        """Resident memory of the gateway's own process."""
        return _status(self.gateway, "VmRSS") / 2**20


def _limit(pid: int, kind: str) -> None:
    if kind == REPLICAS:
        psutil.Process(pid).rlimit(psutil.RLIMIT_DATA, (REPLICA_BYTES, REPLICA_BYTES))


def _tree(gateway: int) -> Iterator[tuple[int, str]]:
    """Process ids and kinds; a fork server comes before its decode processes."""
    yield gateway, GATEWAY
    for child in _children(gateway):
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            kind = DECODING if b"gateway.decoding" in command else REPLICAS
            yield child, kind
            yield from ((one, kind) for one in _children(child))


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def _runnable(pid: int) -> bool:
    """Whether a thread runs or waits for a core: on a busy machine, work may pause for longer than we look."""
    with contextlib.suppress(OSError):
        return any(
            task.read_text().rpartition(")")[2].split()[0] == "R" for task in Path(f"/proc/{pid}/task").glob("*/stat")
        )
    return False


def _status(pid: int, name: str) -> int:
    """A figure of /proc/PID/status, in bytes; ValueError of a process that has ended."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    _, found, rest = text.partition(f"{name}:")
    return int(rest.split(maxsplit=1)[0]) * 1024 if found else int("")


def _clock(pid: int) -> int:
    """The clock of another process's CPU time, as clock_getcpuclockid(3) makes it: exact, where /proc counts ticks."""
    return (~pid << 3) | 2
