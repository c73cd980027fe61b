"""Changes that leave the class as it is: mirrored, shifted, turned, nearer, lighter.

They come on top of preprocessing, never instead of it: they begin with the very pixels that the gateway would send.
What happens to a picture is drawn beforehand, from the seed, for a whole epoch: an epoch that was broken off goes on
with the same pictures in the same order.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Augment = Literal["none", "mirror", "standard"]

TURN = np.deg2rad(15)
ZOOM = 0.15
SHIFT = 0.1
"""Of the picture's side."""
LIGHT = 0.15
CONTRAST = 0.2


class Changes(NamedTuple):
    """For each of N pictures."""

    transforms: NDArray[np.float32]
    """Shape (N, 8): where the value of a pixel of the result comes from, as TensorFlow's projective transform."""
    light: NDArray[np.float32]
    """Shape (N, 2): contrast, which multiplies what differs from the middle grey, and what is added; of 0..1."""


def draw(count: int, side_px: int, how: Augment, chance: np.random.Generator) -> Changes:
    """Changes for an epoch: about their middle, each within its bounds, evenly. "none" changes nothing."""
    mirrored = chance.random(count) < (0 if how == "none" else 0.5)
    strength = 1.0 if how == "standard" else 0.0
    turn, zoom, right, down, contrast, light = strength * chance.uniform(-1, 1, (6, count))
    scale = 1 + ZOOM * zoom
    cosine, sine = np.cos(TURN * turn) * scale, np.sin(TURN * turn) * scale
    sign = np.where(mirrored, -1.0, 1.0)
    middle = (side_px - 1) / 2
    across = middle - sign * cosine * middle + sine * middle + SHIFT * side_px * right
    along = middle - sign * sine * middle - cosine * middle + SHIFT * side_px * down
    nothing = np.zeros(count)
    rows = (sign * cosine, -sine, across, sign * sine, cosine, along, nothing, nothing)
    return Changes(
        np.stack(rows, axis=1).astype(np.float32),
        np.stack((1 + CONTRAST * contrast, LIGHT * light), axis=1).astype(np.float32),
    )
