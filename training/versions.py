"""The versions of one model, `models/NAME/VERSION/`, as replicas watch them; how a new one appears among them.

A replica takes every folder with a number for a name. So a version is written beside them under another name,
on the same file system, flushed to the disk, and renamed when it is whole; and one that goes is renamed before it is
deleted. What a killed process leaves behind (`exporting-…`, `removing-…`) harms nobody and may be deleted.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class NewVersion:
    """A version on its way."""

    aside: Path
    """Where it is being written."""
    path: Path
    """Where it will be; final once `adding` has ended."""


def present(base: Path) -> list[int]:
    """Finished versions, oldest first."""
    return sorted(int(child.name) for child in base.glob("*") if child.name.isdigit() and child.is_dir())


@contextmanager
def adding(base: Path, number: int | None = None) -> Iterator[NewVersion]:
    """Write and check a version in the body of `with`; it becomes visible when the body ends without an error.

    Args:
        base: `models/NAME`; made where it is missing.
        number: unix time where None, or the first free number after it.
    """
    base.mkdir(parents=True, exist_ok=True)
    wanted = int(time.time()) if number is None else number
    new = NewVersion(aside=base / f"exporting-{wanted}-{os.getpid()}", path=base / str(wanted))
    try:
        yield new
        _flush(new.aside)
        new.path = _rename(new.aside, base, wanted)
        _fsync(base)
    finally:
        shutil.rmtree(new.aside, ignore_errors=True)


def copy(source: Path, base: Path) -> Path:
    """The same version, number included, in another folder: hard links where the file system can, else copies."""
    with adding(base, int(source.name)) as new:
        shutil.copytree(source, new.aside, copy_function=_link)
    return new.path


def remove(version: Path) -> None:
    """Take a version away, all at once for whoever watches the folder."""
    aside = version.with_name(f"removing-{version.name}-{os.getpid()}")
    version.rename(aside)
    _fsync(version.parent)
    shutil.rmtree(aside)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _rename(aside: Path, base: Path, number: int) -> Path:
    while True:
        try:
            return aside.rename(base / str(number))
        except OSError:
            if not (base / str(number)).exists():
                raise
            number += 1


def _flush(directory: Path) -> None:
    """Onto the disk, files before the folders that name them: what survives a power cut is whole."""
    for path in [*sorted(directory.rglob("*"), reverse=True), directory]:
        _fsync(path)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
