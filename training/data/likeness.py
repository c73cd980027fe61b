"""Which pictures show the same: a 64-bit perceptual hash to find candidates, small copies to confirm them.

What it finds and what it does not is measured in docs/decisions/0011-near-duplicates.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.imaging import SIDE_PX, Pixels

Means = NDArray[np.float64]
"""Shape (32, 32, 3), 0-255: a picture's means over blocks of 7 x 7 pixels."""
Copy = NDArray[np.uint8]
"""uint8, shape (16, 16, 3): means over blocks of 14 x 14 pixels."""

BLOCK_PX = SIDE_PX // 32


class Likeness(NamedTuple):
    """How much two pictures must have in common."""

    bits: int
    """Their hashes may differ in as many of their 64 bits."""
    correlation: float
    """Their small copies must agree at least so well: Pearson's, over all values."""


NEAR = Likeness(8, 0.92)
"""Finds a picture again that was cropped, brightened or turned a little; on icons it also finds mere cousins."""
SURE = Likeness(4, 0.995)
"""Finds what was only saved anew, smaller or with another quality; cousins do not come so close."""
ROWS = 1024
"""Hashes compared with all others at a time: 8 KB a picture."""

_LUMA = np.array((0.299, 0.587, 0.114))
_WAVES = np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(32) + 1) / 64)
"""The eight slowest cosines of a 32-point DCT."""


def means(pixels: Pixels) -> Means:
    """What a picture looks like from afar; grain and compression do not show."""
    rows = pixels.reshape(32, BLOCK_PX, -1).sum(axis=1, dtype=np.uint32)
    blocks: Means = rows.reshape(32, 32, BLOCK_PX, 3).sum(axis=2) / BLOCK_PX**2
    return blocks


def hash_of(afar: Means) -> int:
    """Perceptual hash (DCT) of a picture's light and dark, 64 bits; the same for equal pixels on every machine."""
    waves = (_WAVES @ (afar @ _LUMA) @ _WAVES.T).ravel()
    return int.from_bytes(np.packbits(waves > np.median(waves)).tobytes())


def copy_of(afar: Means) -> Copy:
    """Small enough to be kept for every picture."""
    halved: Means = afar.reshape(16, 2, 16, 2, 3).mean(axis=(1, 3))
    return halved.round().astype(np.uint8)


class Pair(NamedTuple):
    """Two pictures that are near, by position, the earlier first."""

    one: int
    other: int
    sure: bool


def alike(hashes: Sequence[int], copies: Sequence[Copy]) -> list[Pair]:
    """All pairs of pictures that are near, and whether they surely show the same."""
    pairs = []
    for one, other in close(hashes, NEAR.bits):
        agreement = correlation(copies[one], copies[other])
        if agreement >= NEAR.correlation:
            same = (hashes[one] ^ hashes[other]).bit_count() <= SURE.bits and agreement >= SURE.correlation
            pairs.append(Pair(one, other, same))
    return pairs


def close(hashes: Sequence[int], bits: int) -> Iterator[tuple[int, int]]:
    """All pairs of hashes, by position and the earlier first, that differ in `bits` at most."""
    column = np.array(hashes, np.uint64)
    for start in range(0, len(column), ROWS):
        rows = column[start : start + ROWS, None]
        near = np.bitwise_count(rows ^ column[start:]) <= bits
        for one, other in zip(*np.nonzero(np.triu(near, k=1)), strict=True):
            yield start + int(one), start + int(other)


def correlation(one: Copy, other: Copy) -> float:
    """-1..1; 0 where either is of one level throughout."""
    a, b = (copy.ravel() - copy.mean() for copy in (one, other))
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else 0.0


def groups(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """What hangs together by way of any pairs: each group sorted, in the order of their first members."""
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
