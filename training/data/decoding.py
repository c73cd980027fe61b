"""Preprocessed pictures on disk, so that no epoch decodes anything: `CACHE/FINGERPRINT/ab/abcdef….rgb`.

Each file is what `gateway.imaging.preprocess` made of a picture: 150,528 raw bytes, its name the digest of the
picture's file, its folder the fingerprint of the preprocessing. So an entry is never wrong, only missing; data sets
and runs share it; and it may be deleted at any time.
"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.errors import GatewayError
from gateway.imaging import ALL_FORMATS, SIDE_PX, fingerprint, preprocess
from training.console import Progress
from training.data.manifest import digest_of_bytes
from training.data.workers import Workers
from training.errors import DataSetError

SHAPE = (SIDE_PX, SIDE_PX, 3)
PICTURE_BYTES = SIDE_PX * SIDE_PX * 3
SHOWN = 3
"""Pictures that an error names."""


class Trouble(NamedTuple):
    """Why a picture did not come into the cache."""

    file: str
    reason: str


class Cache:
    """The pictures of one preprocessing, this code's."""

    def __init__(self, root: Path) -> None:
        self.folder = root / fingerprint().removeprefix("sha256:")[:16]

    def path(self, digest: str) -> Path:
        """Where the pixels of the file with this `sha256:` digest are, or will be."""
        name = digest.removeprefix("sha256:")
        return self.folder / name[:2] / f"{name}.rgb"

    def fill(
        self,
        root: Path,
        files: Mapping[str, str],
        *,
        workers: int | None = None,
        progress: Progress = lambda done, total: None,
    ) -> int:
        """Decode what is missing; how many that were.

        Args:
            root: the data set's folder.
            files: digest of a file -> its name, relative to `root`.
            workers: processes; chosen where None.

        Raises:
            DataSetError: pictures cannot be decoded or are not the files they were, or the cache cannot be written.
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
        decoded = Workers(workers).map(partial(_store, self, root), jobs, progress)
        troubles = [trouble for trouble in decoded if trouble]
        if troubles:
            raise DataSetError(_told(troubles))
        return len(missing)

    def pixels(self, digests: Sequence[str]) -> NDArray[np.uint8]:
        """uint8, shape (N, 224, 224, 3); all of them must be there."""
        out = np.empty((len(digests), *SHAPE), np.uint8)
        for at, digest in enumerate(digests):
            out[at] = np.fromfile(self.path(digest), np.uint8).reshape(SHAPE)
        return out

    def _holds(self, digest: str) -> bool:
        try:
            return self.path(digest).stat().st_size == PICTURE_BYTES
        except OSError:
            return False


def _store(cache: Cache, root: Path, job: str) -> Trouble | None:
    """Decode one picture, given as its digest and file, into its place. What is wrong with it is the answer."""
    digest, _, file = job.partition(" ")
    path = cache.path(digest)
    try:
        data = (root / file).read_bytes()
    except OSError as error:
        return Trouble(file, f"it cannot be read ({error.strerror})")
    if digest_of_bytes(data) != digest:
        return Trouble(file, "it has changed meanwhile")
    try:
        pixels = preprocess(data, formats=ALL_FORMATS)
    except (GatewayError, ModuleNotFoundError) as error:
        return Trouble(file, str(error).partition(": ")[0])
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(pixels.tobytes())
        aside.replace(path)
    except OSError as error:
        return Trouble(file, f"the cache cannot be written ({error.strerror})")
    return None


def _told(troubles: Sequence[Trouble]) -> str:
    named = "; ".join(f"{trouble.file}: {trouble.reason}" for trouble in troubles[:SHOWN])
    more = f"; and {len(troubles) - SHOWN} more" if len(troubles) > SHOWN else ""
    count = "1 picture" if len(troubles) == 1 else f"{len(troubles)} pictures"
    return f"{count} cannot be used ({named}{more}): `validate` finds them all; take them out."
