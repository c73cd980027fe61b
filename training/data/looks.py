"""Decode every picture of a data set once, and keep a summary of each."""

from collections.abc import Sequence
from functools import partial
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from gateway.errors import GatewayError, ImageEmptyError, ImageTooLargeError, ImageTruncatedError
from gateway.imaging import ALL_FORMATS, Format, Pixels, read_picture
from training.console import Progress
from training.data.likeness import Copy, contrast, copy_of, hash_of, means
from training.data.manifest import Manifest
from training.data.pictures import Folders, RefusedFileError, Workers

THUMBNAIL_PX = 192
"""Longer side; the page shows it at 144, which leaves detail for high-resolution screens."""


class Decoded(NamedTuple):
    """The summary of a picture that can be decoded."""

    format: Format
    width: int
    height: int
    """In pixels, as displayed."""
    contrast: float
    """See `likeness.contrast`; grain does not count."""
    hash: int
    copy: Copy


class Undecodable(NamedTuple):
    """Why a picture cannot be decoded."""

    kind: str
    """A key of `findings.KINDS`."""
    reason: str
    """Beginning of a sentence."""


Look = Decoded | Undecodable


def look_at_all(manifest: Manifest, workers: Workers, progress: Progress) -> dict[str, Look]:
    """A look at each file, by file. Keeps about 1 KB per picture in memory, whatever its size."""
    files = list(dict.fromkeys(entry.file for entry in manifest.entries))
    return dict(zip(files, workers.map(partial(look_at, manifest.folders), files, progress), strict=True))


def look_at(folders: Folders, file: str) -> Look:
    """A look at one picture; its errors are returned, not raised."""
    try:
        picture = read_picture(folders.read(file), formats=ALL_FORMATS)
    except RefusedFileError as error:
        return Undecodable(error.kind, error.reason)
    except FileNotFoundError:
        return Undecodable("missing-file", "There is no such file")
    except OSError as error:
        return Undecodable("unreadable", f"It cannot be read ({error.strerror})")
    except (GatewayError, ModuleNotFoundError) as error:
        return _undecodable(error)
    low = means(picture.pixels)
    return Decoded(picture.format, picture.width, picture.height, contrast(low), hash_of(low), copy_of(low))


def _undecodable(error: GatewayError | ModuleNotFoundError) -> Undecodable:
    """The gateway's reason without its advice, which is meant for uploads."""
    kinds: dict[type[Exception], str] = {
        ImageEmptyError: "empty-file",
        ImageTruncatedError: "truncated",
        ImageTooLargeError: "too-large",
    }
    return Undecodable(kinds.get(type(error), "unreadable"), str(error).partition(": ")[0].removesuffix("."))


def thumbnails(folders: Folders, files: Sequence[str], workers: Workers, progress: Progress) -> dict[str, bytes]:
    """Small JPEGs of the files that can be decoded, in their proportions, by file."""
    made = workers.map(partial(thumbnail, folders), files, progress)
    return {file: data for file, data in zip(files, made, strict=True) if data}


def thumbnail(folders: Folders, file: str) -> bytes | None:
    """One thumbnail, from the pixels of the model's input; None where the file cannot be decoded."""
    try:
        picture = read_picture(folders.read(file), formats=ALL_FORMATS)
    except (GatewayError, ModuleNotFoundError, OSError):
        return None
    out = BytesIO()
    _proportioned(picture.pixels, picture.width / picture.height).save(out, "JPEG", quality=75)
    return out.getvalue()


def _proportioned(pixels: Pixels, ratio: float) -> Image.Image:
    width, height = min(1.0, ratio) * THUMBNAIL_PX, min(1.0, 1 / ratio) * THUMBNAIL_PX
    return Image.fromarray(np.ascontiguousarray(pixels)).resize((max(1, round(width)), max(1, round(height))))
