"""Looking at every picture once: what its bytes hold, kept small, in processes of its own."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from gateway.errors import GatewayError, ImageEmptyError, ImageTooLargeError, ImageTruncatedError
from gateway.imaging import ALL_FORMATS, Format, Pixels, read_picture
from training.errors import DataSetError
from training.manifest import Manifest, Progress
from training.validation.likeness import Copy, copy_of, hash_of, means

FEW = 64
"""Pictures up to which no processes are started: starting two takes a second, decoding these half as long."""
THUMBNAIL_PX = 192
"""Longer side; the page shows it at 144, which suits screens with finer pixels too."""


class Sight(NamedTuple):
    """What a picture that can be decoded holds."""

    format: Format
    width: int
    height: int
    """In pixels, as displayed."""
    contrast: float
    """Standard deviation of the liveliest channel from afar, in levels of 255: grain does not count."""
    hash: int
    copy: Copy


class Blindness(NamedTuple):
    """Why a picture cannot be decoded."""

    kind: str
    """Of the finding: a key of `findings.KINDS`."""
    reason: str
    """A clause that begins a sentence."""


Look = Sight | Blindness


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


def look_at_all(manifest: Manifest, workers: Workers, progress: Progress) -> dict[str, Look]:
    """By file. About 1 KB a picture stays in memory, whatever its size."""
    files = list(dict.fromkeys(entry.file for entry in manifest.entries))
    return dict(zip(files, workers.map(partial(look_at, manifest.root), files, progress), strict=True))


def look_at(root: Path, file: str) -> Look:
    """One picture. What is wrong with it is the answer, never an error."""
    try:
        picture = read_picture((root / file).read_bytes(), formats=ALL_FORMATS)
    except FileNotFoundError:
        return Blindness("missing-file", "There is no such file")
    except OSError as error:
        return Blindness("unreadable", f"It cannot be read ({error.strerror})")
    except (GatewayError, ModuleNotFoundError) as error:
        return _blindness(error)
    afar = means(picture.pixels)
    contrast = float(afar.std(axis=(0, 1)).max())
    return Sight(picture.format, picture.width, picture.height, contrast, hash_of(afar), copy_of(afar))


def _blindness(error: GatewayError | ModuleNotFoundError) -> Blindness:
    """The gateway's reason without its advice, which is for somebody who uploads."""
    kinds: dict[type[Exception], str] = {
        ImageEmptyError: "empty-file",
        ImageTruncatedError: "truncated",
        ImageTooLargeError: "too-large",
    }
    return Blindness(kinds.get(type(error), "unreadable"), str(error).partition(": ")[0].removesuffix("."))


def thumbnails(root: Path, files: Sequence[str], workers: Workers, progress: Progress) -> dict[str, bytes]:
    """Small JPEGs of those files that can be decoded, in the proportions they are displayed in."""
    made = workers.map(partial(thumbnail, root), files, progress)
    return {file: data for file, data in zip(files, made, strict=True) if data}


def thumbnail(root: Path, file: str) -> bytes | None:
    """From the pixels that a model would see."""
    try:
        picture = read_picture((root / file).read_bytes(), formats=ALL_FORMATS)
    except (GatewayError, ModuleNotFoundError, OSError):
        return None
    out = BytesIO()
    _proportioned(picture.pixels, picture.width / picture.height).save(out, "JPEG", quality=75)
    return out.getvalue()


def _proportioned(pixels: Pixels, ratio: float) -> Image.Image:
    width, height = min(1.0, ratio) * THUMBNAIL_PX, min(1.0, 1 / ratio) * THUMBNAIL_PX
    return Image.fromarray(np.ascontiguousarray(pixels)).resize((max(1, round(width)), max(1, round(height))))
