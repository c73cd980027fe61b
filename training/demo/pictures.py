"""The drawn pictures that the demo model learns from, as a gateway would see them: file bytes, then `preprocess`.

No TensorFlow here: the processes that draw should start fast.
"""

import hashlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.imaging import SIDE_PX, Pixels, preprocess
from training import drawings


class Seeds(NamedTuple):
    """A set of drawings: `per_class` of each class, from `first` on. Sets with disjoint seeds share no picture."""

    first: int
    per_class: int


class Pictures(NamedTuple):
    """A set as the network sees it; class by class within a seed, so that any run of pictures is balanced."""

    pixels: NDArray[np.uint8]
    """uint8, shape (N, 224, 224, 3)."""
    truth: NDArray[np.int64]
    """int64, shape (N,)."""

    @property
    def digest(self) -> str:
        """`sha256:` of the pixels."""
        return f"sha256:{hashlib.sha256(np.ascontiguousarray(self.pixels).data).hexdigest()}"


def drawn(seeds: Seeds) -> Pictures:
    """Draw and preprocess a set, on every core. About 25 ms of CPU and 150 KB of memory a picture."""
    classes = len(drawings.specimens())
    jobs = [(k, seed) for seed in range(seeds.first, seeds.first + seeds.per_class) for k in range(classes)]
    pixels = np.empty((len(jobs), SIDE_PX, SIDE_PX, 3), np.uint8)
    fresh = multiprocessing.get_context("spawn")  # forking after TensorFlow has started threads may hang
    with ProcessPoolExecutor(os.cpu_count(), mp_context=fresh) as workers:
        for at, picture in enumerate(workers.map(_one, *zip(*jobs, strict=True), chunksize=32)):
            pixels[at] = picture
    return Pictures(pixels, np.array([k for k, _ in jobs], np.int64))


def _one(class_index: int, seed: int) -> Pixels:
    return preprocess(drawings.encoded(class_index, seed))
