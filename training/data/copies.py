"""Which pictures of a data set are one picture, saved again: they must not be divided by a split."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.console import Progress
from training.data.checks import BLANK_LEVELS
from training.data.decoding import SHAPE
from training.data.likeness import SURE, Copy, close, copy_of, correlation, groups, hash_of, means
from training.data.workers import Workers


class Seen(NamedTuple):
    hash: int
    copy: Copy
    blank: bool
    """Alike to every other blank one, and nobody's copy."""


def copies(paths: Sequence[Path], *, workers: int | None = None, progress: Progress) -> list[list[int]]:
    """Groups of positions that surely show the same (docs/decisions/0011-near-duplicates.md).

    Args:
        paths: of the pictures' pixels in the cache.
    """
    seen = list(Workers(workers).map(_see, [str(path) for path in paths], progress))
    hashes = [picture.hash for picture in seen]
    same = [
        (one, other)
        for one, other in close(hashes, SURE.bits)
        if not (seen[one].blank or seen[other].blank)
        and correlation(seen[one].copy, seen[other].copy) >= SURE.correlation
    ]
    return groups(same)


def _see(path: str) -> Seen:
    afar = means(np.fromfile(path, np.uint8).reshape(SHAPE))
    return Seen(hash_of(afar), copy_of(afar), bool(afar.std(axis=(0, 1)).max() < BLANK_LEVELS))
