"""Report files: written all or none; and thumbnails for their pages."""

import io
import os
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from gateway.imaging import Pixels
from training.errors import DataSetError

THUMBNAIL_PX = 144


def check_place(folder: Path) -> None:
    """Check before the work that a report can be written to `folder`; changes nothing.

    Raises:
        DataSetError: it cannot.
    """
    if not writable(folder):
        raise DataSetError(f"The report folder {folder} cannot be written: give another with --report.")


def writable(folder: Path) -> bool:
    """Whether `folder` is a writable folder, or can be created."""
    place = folder.resolve()
    there = next(parent for parent in (place, *place.parents) if parent.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files beside their places, then rename them, so that a full disk does not destroy an older report.

    Raises:
        DataSetError: the folder cannot be written.
    """
    partials = {name: folder / f"{name}.partial" for name in files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, partial in partials.items():
            partial.write_text(files[name], encoding="utf-8", errors="backslashreplace")
        for name, partial in partials.items():
            partial.replace(folder / name)
    except OSError as cause:
        raise DataSetError(f"The report could not be written to {folder}: {cause.strerror}.") from cause
    finally:
        for partial in partials.values():
            if partial.exists():
                partial.unlink()


def thumbnail(pixels: Pixels) -> bytes:
    """A small JPEG of the network's input."""
    file = io.BytesIO()
    Image.fromarray(pixels).resize((THUMBNAIL_PX, THUMBNAIL_PX)).save(file, "JPEG", quality=80)
    return file.getvalue()
