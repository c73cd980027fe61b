"""Which process gets a core when, where the gateway and its model servers share the cores."""

import os
from contextlib import suppress


def let_slices_end() -> None:
    """Run this process, and those that it starts, under SCHED_BATCH. Best effort: only Linux has it.

    By default Linux lets a process that wakes up interrupt the one that runs. An upload wakes a dozen times, in the
    gateway, a decode process and a model server, and each time evicts a convolution's data from the processor's caches.
    A batch process waits until the slice of the running one ends, some milliseconds at most.

    Figure: p99 of 8 clients on two cores 209 -> 125, 155 -> 135 and 131 -> 112 ms in three runs; the CPU time per
    upload falls by less than the noise. docs/decisions/0036-batch-scheduling.md
    Switch: GATEWAY_UPSTREAM; the gateway calls this only where it starts the model servers itself.
    """
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):  # forbidden in some sandboxes
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
