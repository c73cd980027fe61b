"""A child process that must not outlive its parent, even where the parent is killed."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Linux's prctl.h."""

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends.

    On systems other than Linux the process ends when its socket to the parent closes.

    Figure: one system call at the start of a process. Without it, a gateway that is killed leaves its model servers
    behind, with their memory and their ports.
    Switch: the calls in replicas/embedded.py, decoding/forkserver.py and decoding/worker.py.

    Args:
        parent: pid of the process that started this one; if that has ended already, this one exits with status 1.
    """
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
