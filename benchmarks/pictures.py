"""The two uploads that are measured: a photo from a website and a photo from a phone."""

import io

import numpy as np
from PIL import Image

WEBSITE = (512, 384)
PHONE = (4000, 3000)


def photo(size: tuple[int, int], *, kilobytes: int) -> bytes:
    """A JPEG of about `kilobytes` KB: soft shapes, with as much grain as this size needs."""
    random = np.random.default_rng(7)
    coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), np.uint8))
    low, high, best = 0.0, 1.0, b""
    for _ in range(7):
        share = (low + high) / 2
        file = io.BytesIO()
        Image.blend(coarse, grain, share).save(file, "JPEG", quality=85)
        best = file.getvalue()
        low, high = (share, high) if len(best) < kilobytes * 1000 else (low, share)
    return best
