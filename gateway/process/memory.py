"""How much freed memory the process keeps for the next request, instead of giving it back to the kernel each time.

An upload takes and frees blocks of some hundred kilobytes: body, pixels, base64. glibc maps and unmaps blocks above
128 KiB one by one, with a page fault for every 4 KiB, until its own thresholds have grown; by how much they grow is
chance, and what is kept then, too. Measured: docs/decisions/0021-allocator.md.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable

BY_ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"}
KEPT_BYTES = 4 * 1024 * 1024
EVERY_S = 10.0
"""Between two times that all free memory is given back: 0.3 ms each, and 500 page faults until it is needed again."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's malloc.h."""


def keep_freed_blocks() -> bool:
    """Set both thresholds where the C library has them and the environment does not; False: it has not."""
    if BY_ENVIRONMENT & os.environ.keys():
        return False
    mallopt = _of_glibc("mallopt")
    return mallopt is not None and all(mallopt(what, KEPT_BYTES) == 1 for what in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD))


async def give_back_regularly(every_s: float = EVERY_S) -> None:
    """All memory that is free, wherever it lies in the heap, for as long as the gateway runs.

    The thresholds apply to the heap's end alone: what small lives above a burst's blocks would keep them.
    """
    trim = _of_glibc("malloc_trim")
    while trim:
        await asyncio.sleep(every_s)
        trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """None: the C library has no such function."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
