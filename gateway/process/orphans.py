"""A child that shall not outlive its parent, even where the parent is killed."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with(parent: int) -> None:
    """Be killed when `parent` ends. On other systems than Linux the end of the socket must do.

    Args:
        parent: pid of the process that started this one; if that is gone already, this one ends here.
    """
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
