"""Decoding many pictures at once, in processes of their own."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from training.console import Progress
from training.errors import DataSetError

FEW = 64
"""Pictures up to which no processes are started: starting two takes a second, decoding these half as long."""


@dataclass(frozen=True)
class Workers:
    """How many processes decode; 0 does it here. None chooses by the number of pictures and of cores."""

    count: int | None = None

    def map(self, work: Callable[[str], Any], files: Sequence[str], progress: Progress) -> Iterator[Any]:
        """`work` on each file, in order.

        Raises:
            DataSetError: a process was killed, as happens where memory runs out.
        """
        count = self.count
        if count is None:
            count = 0 if len(files) <= FEW else os.cpu_count() or 1
        if not count:
            yield from _counted(map(work, files), len(files), progress)
            return
        fresh = multiprocessing.get_context("spawn")  # forking hangs where threads run, as in a notebook
        ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits, which ends these
        with ProcessPoolExecutor(count, fresh, signal.signal, ignore) as pool:
            try:
                yield from _counted(pool.map(work, files, chunksize=8), len(files), progress)
            except BrokenProcessPool as cause:
                raise DataSetError(
                    "A process was killed while it decoded pictures, perhaps for want of memory: "
                    "try again with --workers 1."
                ) from cause


def _counted(results: Iterable[Any], total: int, progress: Progress) -> Iterator[Any]:
    for done, result in enumerate(results, start=1):
        yield result
        progress(done, total)
