"""The dearest pictures within the gateway's limits, made once for each run."""

from functools import cache

import numpy as np
from PIL import Image

from tests import pictures
from tests.pictures import encoded


def flat_gif() -> bytes:
    """36 megapixels of one colour in 27 KB."""
    return encoded(Image.new("P", (6000, 6000)), "GIF")


def flat_png(mode: str, size: tuple[int, int]) -> bytes:
    """One colour: some 100 KB for 36 megapixels."""
    return encoded(Image.new(mode, size), "PNG")


def grain(size: tuple[int, int]) -> Image.Image:
    """Noise, so that each pixel costs the decoder bits."""
    return Image.fromarray(np.random.default_rng(5).integers(0, 60, (size[1], size[0], 3), np.uint8))


def noisy(kind: str, size: tuple[int, int], **options: object) -> bytes:
    """The same as a file."""
    return encoded(grain(size), kind, **options)


PICTURES = {
    "flat GIF, 36 MP": cache(flat_gif),
    "flat PNG, 36 MP": cache(lambda: flat_png("RGB", (6000, 6000))),
    "flat PNG, 6 MP": cache(lambda: flat_png("RGB", (3000, 2000))),
    "flat PNG with alpha, 31 MP": cache(lambda: flat_png("RGBA", (5600, 5600))),
    "flat PNG, 16 bits, 31 MP": cache(lambda: flat_png("I;16", (5600, 5600))),
    "PNG of 9 MB": cache(lambda: noisy("PNG", (2000, 1900), compress_level=1)),
    "JPEG of 100 MP": cache(lambda: encoded(Image.new("RGB", (10_000, 10_000)), "JPEG")),
    "JPEG of 8 MB": cache(lambda: noisy("JPEG", (3900, 3900), quality=90)),
    "progressive JPEG, 12 MP": cache(lambda: noisy("JPEG", (4000, 3000), quality=75, progressive=True)),
    "JPEG, 1 MP, 64 scans": cache(lambda: pictures.scan_bomb(54)),
    "flat WebP, 16 MP": cache(lambda: pictures.webp_bomb(4000)),
    "WebP, 15 MP": cache(lambda: noisy("WEBP", (3900, 3900), quality=60, method=0)),
    "lossless WebP, 2 MP": cache(lambda: noisy("WEBP", (1500, 1400), lossless=True, quality=0, method=0)),
    "phone JPEG, 12 MP": pictures.phone_jpeg_12mp,
    "small JPEG": cache(lambda: pictures.jpeg((320, 240))),
}
