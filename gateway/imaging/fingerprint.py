"""A digest of what preprocessing does, so that a model is never fed by other code than trained it."""

import hashlib
from functools import lru_cache
from importlib import resources

from gateway.imaging.input_size import Pixels
from gateway.imaging.picture import preprocess

PICTURES = ("turned.jpg", "alpha.png", "deep.png", "palette.gif")
"""Kept as files: encoders differ between versions. `tests/goldens/draw.py` drew them.

An ICC profile is left out on purpose: LittleCMS computes in floats, and another machine may round otherwise.
"""


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """`sha256:` and the digest of `preprocess` over the built-in pictures. The same on every machine."""
    digest = hashlib.sha256()
    for name in PICTURES:
        digest.update(preprocess(_builtin(name)).tobytes())
    return f"sha256:{digest.hexdigest()}"


@lru_cache(maxsize=1)
def golden_picture() -> Pixels:
    """The first of the built-in pictures: what a replica is asked before it gets anybody else's."""
    return preprocess(_builtin(PICTURES[0]))


def _builtin(name: str) -> bytes:
    return (resources.files("gateway.imaging") / "builtin" / name).read_bytes()
