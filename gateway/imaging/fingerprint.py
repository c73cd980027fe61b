"""A digest of what preprocessing does: a model is served only by the preprocessing that it was trained with."""

import hashlib
from functools import lru_cache
from importlib import resources

from gateway.imaging.input_size import Pixels
from gateway.imaging.picture import preprocess

PICTURES = ("turned.jpg", "alpha.png", "deep.png", "palette.gif")
"""Kept as files, because encoders differ between versions. `tests/goldens/draw.py` drew them.

None has an ICC profile: LittleCMS computes in floats, and the rounding may differ between machines.
"""


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """`sha256:` and the digest of `preprocess` over the built-in pictures; equal on every machine."""
    digest = hashlib.sha256()
    for name in PICTURES:
        digest.update(preprocess(_builtin(name)).tobytes())
    return f"sha256:{digest.hexdigest()}"


@lru_cache(maxsize=1)
def golden_picture() -> Pixels:
    """The first built-in picture: what a replica must classify before it gets requests."""
    return preprocess(_builtin(PICTURES[0]))


def _builtin(name: str) -> bytes:
    return (resources.files("gateway.imaging") / "builtin" / name).read_bytes()
