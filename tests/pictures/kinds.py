"""What a kind of picture is: a file of 224 x 224 pixels, and what it shows as plain pixels.

No kind needs scaling, so that it can be compared pixel by pixel with its twin and with what a browser shows.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from gateway.imaging import SIDE_PX, Pixels
from tests.pictures import scene

SQUARE = (SIDE_PX, SIDE_PX)


class Kind(NamedTuple):
    """One file to compare."""

    name: str
    """The format, then what is special: `PNG: grey, 4 bits, interlaced`."""
    data: bytes
    twin: Pixels
    """What it shows: uint8, (224, 224, 3)."""
    differs: str = ""
    """Why browsers show something else: a key of `REASONS` in `tests/pictures/differences.py`; empty otherwise."""


def pixels(image: Image.Image) -> Pixels:
    """uint8, (height, width, 3)."""
    return np.array(image.convert("RGB"))


def over_white(levels: Pixels, alpha: Pixels) -> Pixels:
    """Colours (height, width, 3) and their alpha (height, width), shown on a white page."""
    share = alpha[..., None] / 255
    return np.rint(levels * share + 255 * (1 - share)).astype(np.uint8)


def square() -> Image.Image:
    """The scene, 224 x 224."""
    return scene(SQUARE)
