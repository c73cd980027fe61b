"""`python -m gateway.decoding.forkserver`: the process that decode processes are forked from.

It is small, has one thread and never touches a picture, so that a fresh decode process takes 3 ms and shares
nearly all of its memory with the others. The gateway, large and with threads, could not fork itself so.
"""

import errno
import gc
import json
import os
import select
import signal
import socket
import sys
from typing import NoReturn

from gateway.decoding import worker
from gateway.decoding.protocol import ENDED, FORK, FORKED, KILL, NEWS, ORDER, READY, Limits
from gateway.imaging import check_formats
from gateway.process.orphans import die_with


class ForkServer:
    """Forks, kills and buries."""

    def __init__(self, control: socket.socket, limits: Limits) -> None:
        self._control = control
        self._limits = limits
        self._children: set[int] = set()

    def run(self) -> None:
        """Obey until the gateway is gone, then end what is left."""
        woken, waker = socket.socketpair()
        woken.setblocking(False)
        waker.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self._tell(READY)
        try:
            while True:
                ready, _, _ = select.select([self._control, woken], [], [])
                if woken in ready:
                    woken.recv(4096)
                    self._bury()
                if self._control in ready and not self._obey(woken, waker):
                    return
        finally:
            for pid in self._children:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _obey(self, *ours: socket.socket) -> bool:
        """One order; False when there will be no more."""
        message, files, _, _ = socket.recv_fds(self._control, ORDER.size, 1)
        if len(message) < ORDER.size:
            return False
        kind, nice, pid, share_bytes = ORDER.unpack(message)
        if kind == KILL and pid in self._children:  # not buried yet, so the pid is still its own
            os.kill(pid, signal.SIGKILL)
        if kind == FORK:
            with socket.socket(fileno=files[0]) as jobs:
                self._fork(jobs, share_bytes, nice, *ours)
        return True

    def _fork(self, jobs: socket.socket, share_bytes: int, nice: int, *ours: socket.socket) -> None:
        forkserver = os.getpid()
        try:
            pid = os.fork()
        except OSError as full:
            self._tell(FORKED, status=full.errno or errno.EAGAIN)
            return
        if pid == 0:
            self._become_worker(jobs, forkserver, share_bytes, nice, *ours)
        self._children.add(pid)
        self._tell(FORKED, pid)

    def _become_worker(
        self, jobs: socket.socket, forkserver: int, share_bytes: int, nice: int, *ours: socket.socket
    ) -> NoReturn:
        """In the child; it must never come back into the fork server's loop."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for inherited in (self._control, *ours):
                inherited.close()
            worker.run(jobs, self._limits, forkserver=forkserver, share_bytes=share_bytes, nice=nice)
        except OSError:  # the gateway closed the socket
            os._exit(0)
        finally:
            os._exit(1 if sys.exc_info()[0] else 0)

    def _bury(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._children.discard(pid)
            self._tell(ENDED, pid, os.waitstatus_to_exitcode(status))

    def _tell(self, kind: int, pid: int = 0, status: int = 0) -> None:
        self._control.sendall(NEWS.pack(kind, pid, status))


def main() -> None:
    """Started by `processes`, with its socket's number, the gateway's pid and the limits as JSON."""
    start = json.loads(sys.argv[1])
    die_with(start["parent"])
    limits = Limits(**start["limits"])
    preload(limits)
    silence()
    ForkServer(socket.socket(fileno=start["control"]), limits).run()


def preload(limits: Limits) -> None:
    """Import here what would else be imported in every decode process, and leave all of it uncollected."""
    check_formats(limits.formats)  # type: ignore[arg-type] # checked when the settings were read
    if "HEIC" in limits.formats:
        import pi_heif  # noqa: F401
    if "TIFF" in limits.formats:
        import numpy as np  # noqa: F401
    gc.collect()
    gc.freeze()


def silence() -> None:
    """C libraries write what they think of a picture to standard error, past the gateway's log."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(null, stream)
    os.close(null)


if __name__ == "__main__":
    main()
