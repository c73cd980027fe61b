"""Which pictures show the same: a 64-bit perceptual hash finds candidates, small copies confirm them.

docs/decisions/0011-near-duplicates.md has measurements of what this finds and what it misses.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.imaging import SIDE_PX, Pixels
from training.console import Progress
from training.data.pictures import SHAPE, Workers

Means = NDArray[np.float64]
"""Shape (32, 32, 3), 0-255: a picture's means over blocks of 7 x 7 pixels."""
Copy = NDArray[np.uint8]
"""uint8, shape (16, 16, 3): means over blocks of 14 x 14 pixels."""

BLOCK_PX = SIDE_PX // 32
BLANK_LEVELS = 4.0
"""Contrast, in levels of 255, below which a picture counts as blank. Of 2,329 drawings the dullest has 12.6."""


class Likeness(NamedTuple):
    """How much two pictures must have in common."""

    bits: int
    """Most bits, of 64, by which their hashes may differ."""
    correlation: float
    """Least correlation of their small copies: Pearson's, over all values."""


NEAR = Likeness(8, 0.92)
"""Finds pictures that were cropped, brightened or turned slightly; among icons also pictures of other subjects."""
SURE = Likeness(4, 0.995)
"""Finds only pictures that were saved again, smaller or with another quality."""
ROWS = 1024
"""Hashes compared with all others at a time: 8 KB per picture."""

_LUMA = np.array((0.299, 0.587, 0.114))
_WAVES = np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(32) + 1) / 64)
"""The eight slowest cosines of a 32-point DCT."""


def means(pixels: Pixels) -> Means:
    """The picture at low resolution, where grain and compression do not show."""
    rows = pixels.reshape(32, BLOCK_PX, -1).sum(axis=1, dtype=np.uint32)
    blocks: Means = rows.reshape(32, 32, BLOCK_PX, 3).sum(axis=2) / BLOCK_PX**2
    return blocks


def contrast(low: Means) -> float:
    """Standard deviation of the channel with the highest one, in levels of 255."""
    return float(low.std(axis=(0, 1)).max())


def hash_of(low: Means) -> int:
    """Perceptual hash (DCT) of the luminance, 64 bits; the same for equal pixels on every machine."""
    waves = (_WAVES @ (low @ _LUMA) @ _WAVES.T).ravel()
    return int.from_bytes(np.packbits(waves > np.median(waves)).tobytes())


def copy_of(low: Means) -> Copy:
    """The picture in 768 bytes, so that all copies fit in memory."""
    halved: Means = low.reshape(16, 2, 16, 2, 3).mean(axis=(1, 3))
    return halved.round().astype(np.uint8)


class Pair(NamedTuple):
    """Two near pictures by position, the earlier first."""

    one: int
    other: int
    sure: bool


def alike(hashes: Sequence[int], copies: Sequence[Copy]) -> list[Pair]:
    """All pairs of near pictures, and whether they surely show the same."""
    pairs = []
    for one, other in close(hashes, NEAR.bits):
        agreement = correlation(copies[one], copies[other])
        if agreement >= NEAR.correlation:
            same = (hashes[one] ^ hashes[other]).bit_count() <= SURE.bits and agreement >= SURE.correlation
            pairs.append(Pair(one, other, same))
    return pairs


def close(hashes: Sequence[int], bits: int) -> Iterator[tuple[int, int]]:
    """All pairs of hashes that differ in at most `bits`, by position, the earlier first."""
    column = np.array(hashes, np.uint64)
    for start in range(0, len(column), ROWS):
        rows = column[start : start + ROWS, None]
        near = np.bitwise_count(rows ^ column[start:]) <= bits
        for one, other in zip(*np.nonzero(np.triu(near, k=1)), strict=True):
            yield start + int(one), start + int(other)


def correlation(one: Copy, other: Copy) -> float:
    """-1..1; 0 where either copy has a single level."""
    a, b = (copy.ravel() - copy.mean() for copy in (one, other))
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else 0.0


def groups(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Connected components: each group sorted, in the order of their first members."""
    leader: dict[int, int] = {}

    def find(item: int) -> int:
        while leader.setdefault(item, item) != item:
            leader[item] = item = leader[leader[item]]
        return item

    for one, other in pairs:
        low, high = sorted((find(one), find(other)))
        leader[high] = low
    members: dict[int, list[int]] = {}
    for item in sorted(leader):
        members.setdefault(find(item), []).append(item)
    return list(members.values())


# --- Copies among pictures of the cache -------------------------------------------------------------------------


class _Summary(NamedTuple):
    """What is kept of a picture to find its copies."""

    hash: int
    copy: Copy
    blank: bool
    """Blank pictures look alike without being copies."""


def copies(paths: Sequence[Path], *, workers: int | None = None, progress: Progress) -> list[list[int]]:
    """Groups of positions whose pictures surely show the same.

    Args:
        paths: of the pictures' pixels in the cache.
    """
    seen = list(Workers(workers).map(_summary, [str(path) for path in paths], progress))
    hashes = [picture.hash for picture in seen]
    same = [
        (one, other)
        for one, other in close(hashes, SURE.bits)
        if not (seen[one].blank or seen[other].blank)
        and correlation(seen[one].copy, seen[other].copy) >= SURE.correlation
    ]
    return groups(same)


def _summary(path: str) -> _Summary:
    low = means(np.fromfile(path, np.uint8).reshape(SHAPE))
    return _Summary(hash_of(low), copy_of(low), contrast(low) < BLANK_LEVELS)
