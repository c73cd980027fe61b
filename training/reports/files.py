"""Reports on disk: all files of one, or none of them; and small pictures for their pages."""

import io
import os
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from gateway.imaging import Pixels
from training.errors import DataSetError

THUMBNAIL_PX = 144


def check_place(folder: Path) -> None:
    """Can a report be written there? Asked before the work; touches nothing.

    Raises:
        DataSetError: no.
    """
    if not writable(folder):
        raise DataSetError(f"The report folder {folder} cannot be written: give another with --report.")


def writable(folder: Path) -> bool:
    """Is it a folder that files can be put into, or could it be made?"""
    place = folder.resolve()
    there = next(parent for parent in (place, *place.parents) if parent.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """All of them beside their places first, so that a full disk costs no older report.

    Raises:
        DataSetError: the folder cannot be written.
    """
    asides = {name: folder / f"{name}.partial" for name in files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, aside in asides.items():
            aside.write_text(files[name], encoding="utf-8", errors="backslashreplace")
        for name, aside in asides.items():
            aside.replace(folder / name)
    except OSError as cause:
        raise DataSetError(f"The report could not be written to {folder}: {cause.strerror}.") from cause
    finally:
        for aside in asides.values():
            if aside.exists():
                aside.unlink()


def thumbnail(pixels: Pixels) -> bytes:
    """A small JPEG of what the network saw."""
    file = io.BytesIO()
    Image.fromarray(pixels).resize((THUMBNAIL_PX, THUMBNAIL_PX)).save(file, "JPEG", quality=80)
    return file.getvalue()
