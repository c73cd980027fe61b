"""`python -m gateway.decoding.forkserver`: the process that decode processes are forked from.

It is small, has one thread and never reads a picture. A new decode process therefore takes 3 ms and shares nearly
all of its memory with the others. The gateway itself is large and has threads, so it cannot be forked in this way.
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
from gateway.decoding.protocol import ENDED, EVENT, FORK, FORKED, KILL, ORDER, READY, Limits
from gateway.imaging import check_formats
from gateway.process.orphans import die_with


class ForkServer:
    """Forks decode processes, kills them, and reports how each of them ended."""

    def __init__(self, control: socket.socket, limits: Limits) -> None:
        self._control = control
        self._limits = limits
        self._children: set[int] = set()

    def run(self) -> None:
        """Carry out orders until the gateway closes the socket, then kill the processes that are left."""
        wakeup, waker = socket.socketpair()
        wakeup.setblocking(False)
        waker.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self._report(READY)
        try:
            while True:
                ready, _, _ = select.select([self._control, wakeup], [], [])
                if wakeup in ready:
                    wakeup.recv(4096)
                    self._reap()
                if self._control in ready and not self._carry_out_order(wakeup, waker):
                    return
        finally:
            for pid in self._children:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _carry_out_order(self, *ours: socket.socket) -> bool:
        """Read one order and carry it out; False when the gateway has closed the socket.

        `ours`: sockets that a decode process must not inherit.
        """
        message, files, _, _ = socket.recv_fds(self._control, ORDER.size, 1)
        if len(message) < ORDER.size:
            return False
        kind, nice, pid, share_bytes = ORDER.unpack(message)
        if kind == KILL and pid in self._children:  # not reaped yet, so the pid cannot belong to another process
            os.kill(pid, signal.SIGKILL)
        if kind == FORK:
            with socket.socket(fileno=files[0]) as jobs:
                self._fork(jobs, share_bytes, nice, *ours)
        return True

    def _fork(self, jobs: socket.socket, share_bytes: int, nice: int, *ours: socket.socket) -> None:
        forkserver = os.getpid()
        try:
            pid = os.fork()
        except OSError as refused:
            self._report(FORKED, status=refused.errno or errno.EAGAIN)
            return
        if pid == 0:
            self._become_worker(jobs, forkserver, share_bytes, nice, *ours)
        self._children.add(pid)
        self._report(FORKED, pid)

    def _become_worker(
        self, jobs: socket.socket, forkserver: int, share_bytes: int, nice: int, *ours: socket.socket
    ) -> NoReturn:
        """Runs in the child, which must never return into the fork server's loop."""
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

    def _reap(self) -> None:
        """Report every process that has ended."""
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._children.discard(pid)
            self._report(ENDED, pid, os.waitstatus_to_exitcode(status))

    def _report(self, kind: int, pid: int = 0, status: int = 0) -> None:
        self._control.sendall(EVENT.pack(kind, pid, status))


def main() -> None:
    """Called by `processes`. The argument is JSON: the socket's descriptor, the gateway's pid and the limits."""
    start = json.loads(sys.argv[1])
    die_with(start["parent"])
    limits = Limits(**start["limits"])
    preload(limits)
    discard_output()
    ForkServer(socket.socket(fileno=start["control"]), limits).run()


def preload(limits: Limits) -> None:
    """Import here what every decode process would otherwise import for itself.

    The garbage collector must not write to these objects, or each decode process would copy their memory.
    """
    check_formats(limits.formats)  # type: ignore[arg-type] # checked when the settings were read
    if "HEIC" in limits.formats:
        import pi_heif  # noqa: F401
    if "TIFF" in limits.formats:
        import numpy as np  # noqa: F401
    gc.collect()
    gc.freeze()


def discard_output() -> None:
    """Send standard output and error to /dev/null: C libraries write there about pictures, past the gateway's log."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(null, stream)
    os.close(null)


if __name__ == "__main__":
    main()
