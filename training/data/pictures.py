"""The pictures of a data set: opened safely, decoded in several processes, and kept so that no epoch decodes anything.

*Opening.* Regular files of a limited size, inside the data set's folder. A row of a CSV or a link may name any file of
the machine. What it leads to is opened only if it lies in the folder of the data set, or in one that the user allows
with --also, and is a regular file: reading a device or a pipe may never end. All code that opens pictures of a data set
does so here. Hard links cannot be told from other files.

*The cache* is `CACHE/FINGERPRINT/ab/abcdef….rgb`. Each file holds what `gateway.imaging.preprocess` made of a picture,
150,528 raw bytes; its name is the digest of the picture's file, its folder the fingerprint of the preprocessing. So an
entry is never wrong, only missing; data sets and runs share it; and it may be deleted at any time.
"""

import errno
import hashlib
import multiprocessing
import os
import signal
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.errors import GatewayError
from gateway.imaging import ALL_FORMATS, SIDE_PX, fingerprint, preprocess
from training.console import Progress
from training.errors import DataSetError

MOST_BYTES = 10 << 20
"""The gateway's default of GATEWAY_MAX_UPLOAD_BYTES: it refuses larger pictures."""
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
"""Not blocking: opening a pipe waits for its writer. Not following: the path is resolved, so a link is a new one."""

Kind = Literal["outside-file", "special-file", "too-large"]
"""A key of `findings.KINDS`."""

FEW = 64
"""Up to this many pictures no process is started: two take a second to start, decoding the pictures half of that."""
SHAPE = (SIDE_PX, SIDE_PX, 3)
PICTURE_BYTES = SIDE_PX * SIDE_PX * 3
SHOWN = 3
"""Pictures that an error names."""


# --- Opening ----------------------------------------------------------------------------------------------------


class RefusedFileError(OSError):
    """A file that is not read; `reason` is the beginning of a sentence."""

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(errno.EPERM, reason)
        self.kind = kind
        self.reason = reason


@dataclass(frozen=True)
class Folders:
    """The folder of a data set, and other folders that its files may lie in."""

    root: Path
    also: tuple[Path, ...] = ()

    @cached_property
    def _places(self) -> tuple[Path, ...]:
        return tuple(folder.resolve() for folder in (self.root, *self.also))

    def holds(self, path: Path) -> bool:
        """Whether `path`, after all links, lies in one of the folders. It need not exist.

        Raises:
            OSError: it cannot be resolved, as where links form a loop.
        """
        return self._inside(_resolved(path))

    @contextmanager
    def open(self, file: str) -> Iterator[BufferedReader]:
        """A file by its name, which is relative to the data set's folder.

        Raises:
            OSError: it is missing or cannot be read. RefusedFileError: it lies elsewhere, is special or too large.
        """
        path = _resolved(self.root / file)
        if not self._inside(path):
            raise RefusedFileError("outside-file", "It lies outside the folder of the data set and was not opened")
        _check(path.lstat())  # before it is opened: that alone may have an effect on a device
        with open(path, "rb", opener=lambda name, _: os.open(name, _FLAGS)) as opened:  # Path has no opener
            _check(os.fstat(opened.fileno()))
            yield opened

    def read(self, file: str) -> bytes:
        """The bytes of a file. Raises as `open` does."""
        with self.open(file) as opened:
            data = opened.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise _too_large(len(data))
        return data

    def _inside(self, resolved: Path) -> bool:
        return any(resolved.is_relative_to(place) for place in self._places)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except RuntimeError as cause:  # a loop of links, before Python 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from cause


def _check(state: os.stat_result) -> None:
    if stat.S_ISLNK(state.st_mode):  # of a resolved path: a loop of links, from Python 3.13 on
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(state.st_mode):
        raise RefusedFileError("special-file", "It is not a regular file and was not opened")
    if state.st_size > MOST_BYTES:
        raise _too_large(state.st_size)


def _too_large(size: int) -> RefusedFileError:
    return RefusedFileError("too-large", f"It has {size:,} bytes, more than the gateway accepts ({MOST_BYTES:,})")


def digest_of_bytes(data: bytes) -> str:
    """`sha256:` of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


# --- Decoding ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Workers:
    """Processes that decode. A `count` of 0 decodes in this process; None decides by the pictures and the cores."""

    count: int | None = None

    def map(self, work: Callable[[str], Any], files: Sequence[str], progress: Progress) -> Iterator[Any]:
        """The result of `work` for each file, in order.

        Raises:
            DataSetError: a process was killed, as happens when memory runs out.
        """
        count = self.count
        if count is None:
            count = 0 if len(files) <= FEW else os.cpu_count() or 1
        if not count:
            yield from _counted(map(work, files), len(files), progress)
            return
        spawn = multiprocessing.get_context("spawn")  # a fork hangs where threads run, as in a notebook
        ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent process, which ends these
        with ProcessPoolExecutor(count, spawn, signal.signal, ignore) as pool:
            try:
                yield from _counted(pool.map(work, files, chunksize=8), len(files), progress)
            except BrokenProcessPool as cause:
                raise DataSetError(
                    "A process that decoded pictures was killed, perhaps because memory ran out: "
                    "try again with --workers 1."
                ) from cause


def _counted(results: Iterable[Any], total: int, progress: Progress) -> Iterator[Any]:
    for done, result in enumerate(results, start=1):
        yield result
        progress(done, total)


# --- The cache --------------------------------------------------------------------------------------------------


class Failure(NamedTuple):
    """Why a picture did not get into the cache."""

    file: str
    reason: str


class Cache:
    """The preprocessed pictures of this code's preprocessing."""

    def __init__(self, root: Path) -> None:
        self.folder = root / fingerprint().removeprefix("sha256:")[:16]

    def path(self, digest: str) -> Path:
        """Where the pixels of the file with this `sha256:` digest are, or will be."""
        name = digest.removeprefix("sha256:")
        return self.folder / name[:2] / f"{name}.rgb"

    def fill(
        self,
        folders: Folders,
        files: Mapping[str, str],
        *,
        workers: int | None = None,
        progress: Progress = lambda done, total: None,
    ) -> int:
        """Decode the missing pictures; returns their number.

        Args:
            folders: the data set's.
            files: digest of a file -> its name, relative to the data set's folder.
            workers: number of processes; see `Workers`.

        Raises:
            DataSetError: a picture cannot be decoded or has changed, or the cache cannot be written.
        """
        missing = [digest for digest in files if not self._holds(digest)]
        if not missing:
            return 0
        try:
            for folder in {self.path(digest).parent for digest in missing}:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            place = self.folder.parent
            raise DataSetError(f"The cache {place} cannot be written: give another with --cache.") from cause
        jobs = [f"{digest} {files[digest]}" for digest in missing]
        decoded = Workers(workers).map(partial(_store, self, folders), jobs, progress)
        failures = [failure for failure in decoded if failure]
        if failures:
            raise DataSetError(_summary(failures))
        return len(missing)

    def pixels(self, digests: Sequence[str]) -> NDArray[np.uint8]:
        """uint8, shape (N, 224, 224, 3); all pictures must be in the cache."""
        out = np.empty((len(digests), *SHAPE), np.uint8)
        for at, digest in enumerate(digests):
            out[at] = np.fromfile(self.path(digest), np.uint8).reshape(SHAPE)
        return out

    def _holds(self, digest: str) -> bool:
        try:
            return self.path(digest).stat().st_size == PICTURE_BYTES
        except OSError:
            return False


def _store(cache: Cache, folders: Folders, job: str) -> Failure | None:
    """Decode one picture, given as its digest and file, into the cache; a failure is returned, not raised."""
    digest, _, file = job.partition(" ")
    path = cache.path(digest)
    try:
        data = folders.read(file)
    except OSError as error:
        return Failure(file, f"it cannot be read ({error.strerror})")
    if digest_of_bytes(data) != digest:
        return Failure(file, "it has changed meanwhile")
    try:
        pixels = preprocess(data, formats=ALL_FORMATS)
    except (GatewayError, ModuleNotFoundError) as error:
        return Failure(file, str(error).partition(": ")[0])
    partial_file = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        partial_file.write_bytes(pixels.tobytes())
        partial_file.replace(path)
    except OSError as error:
        return Failure(file, f"the cache cannot be written ({error.strerror})")
    return None


def _summary(failures: Sequence[Failure]) -> str:
    named = "; ".join(f"{failure.file}: {failure.reason}" for failure in failures[:SHOWN])
    more = f"; and {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
    count = "1 picture" if len(failures) == 1 else f"{len(failures)} pictures"
    return f"{count} cannot be used ({named}{more}): remove them; `validate` lists all of them."
