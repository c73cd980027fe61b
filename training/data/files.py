"""Open the files of a data set: regular files of a limited size, inside its folder.

The rule: a row of a CSV or a link may name any file of the machine. What it leads to is opened only if it lies in the
folder of the data set, or in one that the user allows with --also, and is a regular file: reading a device or a pipe
may never end. All code that opens pictures of a data set does so here. Hard links cannot be told from other files.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Literal

MOST_BYTES = 10 << 20
"""The gateway's default of GATEWAY_MAX_UPLOAD_BYTES: it refuses larger pictures."""
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
"""Not blocking: opening a pipe waits for its writer. Not following: the path is resolved, so a link is a new one."""

Kind = Literal["outside-file", "special-file", "too-large"]
"""A key of `findings.KINDS`."""


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
    if not stat.S_ISREG(state.st_mode):
        raise RefusedFileError("special-file", "It is not a regular file and was not opened")
    if state.st_size > MOST_BYTES:
        raise _too_large(state.st_size)


def _too_large(size: int) -> RefusedFileError:
    return RefusedFileError("too-large", f"It has {size:,} bytes, more than the gateway accepts ({MOST_BYTES:,})")
