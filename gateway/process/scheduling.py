"""Who gets a core when, where the gateway and its model servers share them.

Linux lets a process that wakes up interrupt the one that runs. An upload wakes a dozen times, in the gateway, a decode
process and a model server, and each time throws a convolution's data out of the processor's caches. As a batch
process, whoever wakes waits for the end of the running one's slice, some milliseconds at most. Measured:
docs/decisions/0036-batch-scheduling.md.
"""

import os
from contextlib import suppress


def let_slices_end() -> None:
    """From now on, in this process and in those it starts. Best effort: only Linux knows it."""
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):  # forbidden in some sandboxes
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
