"""Draws the files that must not change: `python -m tests.goldens.draw` writes those that are missing.

Their bytes are kept in the repository because another version of an encoder writes other bytes.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

BUILTIN = Path(__file__).parents[2] / "gateway/imaging/builtin"


def specimen(width: int, height: int) -> Image.Image:
    """A starfish of sorts on a graded ground: edges, soft colour, and no two corners alike."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    ground = np.stack([40 + 150 * across, 80 + 120 * down, 200 - 120 * across * down], axis=-1)
    image = Image.fromarray(ground.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    centre, radius = np.array([width * 0.45, height * 0.55]), min(width, height) * 0.38
    angles = np.linspace(0, 2 * np.pi, 11)[:-1] - np.pi / 2
    points = [
        tuple(centre + radius * (1 if i % 2 == 0 else 0.4) * np.array([np.cos(a), np.sin(a)]))
        for i, a in enumerate(angles)
    ]
    draw.polygon(points, fill=(220, 90, 40), outline=(90, 20, 10), width=max(1, width // 100))
    draw.rectangle((0, 0, width // 8, height // 8), fill=(255, 255, 255))
    return image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned_jpeg() -> bytes:
    """Large enough for scaled decoding by 2, edges that the scale does not divide, EXIF orientation 6."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(specimen(901, 683), "JPEG", quality=30, optimize=True, exif=exif)


def alpha_png() -> bytes:
    image = specimen(240, 180)
    alpha = Image.radial_gradient("L").resize(image.size)
    image.putalpha(alpha)
    return encoded(image.quantize(64).convert("RGBA"), "PNG", optimize=True)


def deep_png() -> bytes:
    ramp = np.add.outer(np.linspace(0, 40_000, 120), np.linspace(0, 25_535, 160)).astype(np.uint16) & 0xFFC0
    return encoded(Image.fromarray(ramp), "PNG", optimize=True)


def palette_gif() -> bytes:
    image = specimen(240, 160).quantize(16)
    return encoded(image, "GIF", transparency=int(np.asarray(image)[0, 0]))


def main() -> None:
    BUILTIN.mkdir(exist_ok=True)
    for name, make in {
        "turned.jpg": turned_jpeg,
        "alpha.png": alpha_png,
        "deep.png": deep_png,
        "palette.gif": palette_gif,
    }.items():
        path = BUILTIN / name
        if not path.exists():
            path.write_bytes(make())


if __name__ == "__main__":
    main()
