"""The folder of a served model, `models/NAME/VERSION/`: versions appear in it, and disappear from it, atomically.

A replica loads every folder whose name is a number. So a new version is written in the same folder under another name,
flushed to the disk, and renamed when it is complete; a version is renamed before it is deleted. What a killed process
leaves behind (`exporting-…`, `removing-…`) has no effect and may be deleted.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class NewVersion:
    """A version that is being written."""

    partial: Path
    """Where it is being written."""
    path: Path
    """Where it will be; final when `adding` has ended."""


def present(base: Path) -> list[int]:
    """Numbers of the complete versions, oldest first."""
    return sorted(int(path.name) for path in base.glob("*") if re.fullmatch("[0-9]+", path.name) and path.is_dir())


@contextmanager
def adding(base: Path, number: int | None = None) -> Iterator[NewVersion]:
    """Write and check a version in the body of `with`; it becomes visible when the body ends without an error.

    Args:
        base: `models/NAME`; created if missing.
        number: unix time where None, or the first free number after it.
    """
    base.mkdir(parents=True, exist_ok=True)
    wanted = int(time.time()) if number is None else number
    new = NewVersion(partial=base / f"exporting-{wanted}-{os.getpid()}", path=base / str(wanted))
    try:
        yield new
        _flush(new.partial)
        new.path = _rename(new.partial, base, wanted)
        _fsync(base)
    finally:
        shutil.rmtree(new.partial, ignore_errors=True)


def copy(source: Path, base: Path) -> Path:
    """The same version, number included, in another folder: hard links where the file system can, else copies."""
    with adding(base, int(source.name)) as new:
        shutil.copytree(source, new.partial, copy_function=_link)
    return new.path


def remove(version: Path) -> None:
    """Delete a version; replicas see it disappear at once."""
    gone = version.with_name(f"removing-{version.name}-{os.getpid()}")
    version.rename(gone)
    _fsync(version.parent)
    shutil.rmtree(gone)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _rename(partial: Path, base: Path, number: int) -> Path:
    while True:
        try:
            return partial.rename(base / str(number))
        except OSError:
            if not (base / str(number)).exists():
                raise
            number += 1


def _flush(directory: Path) -> None:
    """Flush files before their folders, so that a folder that survives a power cut is complete."""
    for path in [*sorted(directory.rglob("*"), reverse=True), directory]:
        _fsync(path)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
