"""What the process asks of the C library's allocator and of Python's garbage collector.

An upload takes and frees blocks of some hundred kilobytes: body, pixels, base64. glibc maps and unmaps blocks above
128 KiB one by one, with a page fault for every 4 KiB, until it has raised its own thresholds; how far it raises them,
and so how much it keeps, depends on chance. All figures: docs/decisions/0021-allocator.md.
"""

import asyncio
import ctypes
import gc
import os
import sys
from collections.abc import Callable

BY_ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"}
KEPT_BYTES = 4 * 1024 * 1024
EVERY_S = 4.0
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's malloc.h."""

DECODERS_ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": str(KEPT_BYTES),
    "MALLOC_MMAP_THRESHOLD_": str(KEPT_BYTES),
    "MALLOC_ARENA_MAX": "1",
}
"""The same thresholds for the fork server and its decode processes: small pictures use the same pages again, and the
memory of a large one goes back to the kernel.

Figure: 1.2 ms of user and 0.04 ms of system CPU time for a 512 x 384 JPEG, 1.4 and 0.4 ms with glibc's own thresholds.
Switch: an empty dictionary here; the gateway's own environment does not change it.
"""


def keep_freed_blocks() -> bool:
    """Keep up to 4 MiB of freed memory for the next request, instead of returning it to the kernel each time.

    Figure: 3.5 ms of CPU time for a small upload in all processes, 3.8 ms with glibc's own thresholds.
    Switch: MALLOC_TRIM_THRESHOLD_ or MALLOC_MMAP_THRESHOLD_ in the environment; either leaves both as they are.

    Returns:
        False: the environment has set a threshold, or the C library is not glibc.
    """
    if BY_ENVIRONMENT & os.environ.keys():
        return False
    mallopt = _of_glibc("mallopt")
    return mallopt is not None and all(mallopt(what, KEPT_BYTES) == 1 for what in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD))


async def give_back_regularly(every_s: float = EVERY_S) -> None:
    """Return all free memory to the kernel at intervals, wherever it lies in the heap, until cancelled.

    The thresholds apply to the end of the heap alone: a small block above those of a burst would keep them.

    Figure: 0.3 ms each time at 70 % load, then 500 page faults; without it 18 to 75 MiB stay after 20 uploads of 4 MB.
    Switch: the call in gateway/http/server.py. It ends at once where the C library is not glibc.
    """
    trim = _of_glibc("malloc_trim")
    while trim:
        await asyncio.sleep(every_s)
        trim(0)


def collect_garbage_rarely() -> None:
    """Never search what exists now for garbage, and search the rest rarely. Called when the start is complete.

    Code must then leave no reference cycles behind: what only the collector frees stays for long. Tests check this for
    decoding, attempts and connections.

    Figure: searching what the start has made is 4 % of a request's CPU time. By default there are two searches in each
    request.
    Switch: the call in gateway/http/server.py.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where it has no such function."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
