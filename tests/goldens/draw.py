"""Draws the files whose bytes must not change: `python -m tests.goldens.draw` writes those that are missing.

They lie in the repository because another version of an encoder writes other bytes. Those under
`gateway/imaging/builtin/` make the fingerprint: a change of one of them disowns every model there is.
The HEIC needs an encoder that is no dependency of ours: `pip install pillow-heif`.
"""

import subprocess
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tests.pictures import encoded, exif, rgb_profile, scene

GOLDENS = Path(__file__).parent
BUILTIN = GOLDENS.parents[1] / "gateway/imaging/builtin"
SIZE = (96, 64)


def turned_jpeg() -> bytes:
    """Large enough for scaled decoding by 2, edges that the scale does not divide, EXIF orientation 6."""
    return encoded(scene((901, 683)), "JPEG", quality=30, optimize=True, exif=exif(6, order=">"))


def alpha_png(size: tuple[int, int]) -> bytes:
    image = scene(size)
    image.putalpha(Image.radial_gradient("L").resize(size))
    return encoded(image.quantize(64).convert("RGBA"), "PNG", optimize=True)


def deep_png(height: int, width: int) -> bytes:
    """16 bits of grey, every level above 8 bits' 255."""
    ramp = np.add.outer(np.linspace(0, 40_000, height), np.linspace(0, 25_535, width)).astype(np.uint16)
    return encoded(Image.fromarray(ramp & 0xFFC0), "PNG", optimize=True)


def palette_gif(size: tuple[int, int]) -> bytes:
    image = scene(size).quantize(16)
    return encoded(image, "GIF", transparency=int(np.asarray(image)[0, 0]))


def palette_png() -> bytes:
    """Alpha of its own for every colour of the palette."""
    image = scene(SIZE).quantize(16)
    return encoded(image, "PNG", transparency=bytes(range(0, 256, 16)))


def cmyk_jpeg() -> bytes:
    """Adobe's form: the marker, and inks stored inverted."""
    return encoded(scene(SIZE).convert("CMYK"), "JPEG", quality=90)


def ycck_jpeg() -> bytes:
    """The other Adobe form: CMY as luminance and chroma. Pillow writes none, so the marker is changed by hand."""
    cmyk = np.asarray(scene(SIZE).convert("CMYK"))
    ycc = np.asarray(Image.fromarray(cmyk[..., :3]).convert("YCbCr"))
    stored = np.dstack([255 - ycc, cmyk[..., 3]])  # Pillow inverts what it writes
    data = bytearray(encoded(Image.fromarray(stored, "CMYK"), "JPEG", quality=95))
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def unmarked(data: bytes) -> bytes:
    """Without Adobe's marker; browsers take the inks as inverted all the same."""
    start = data.index(b"Adobe") - 4
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4]) :]


def grained(image: Image.Image) -> Image.Image:
    """With grain that costs an encoder bits."""
    grain = np.random.default_rng(7).integers(-12, 13, (*reversed(image.size), 3))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def arithmetic_jpeg(*options: str) -> bytes:
    """By libjpeg-turbo's own program, which Debian has in `libjpeg-turbo-progs`."""
    plain = encoded(grained(scene((224, 224))), "PPM")
    command = ["cjpeg", "-arithmetic", "-sample", "1x1", *options]
    return subprocess.run(command, input=plain, stdout=subprocess.PIPE, check=True).stdout


def heic() -> bytes:
    import_module("pillow_heif").register_heif_opener()
    return encoded(scene(SIZE), "HEIF", quality=60)


FILES: dict[Path, Callable[[], bytes]] = {
    BUILTIN / "turned.jpg": turned_jpeg,
    BUILTIN / "alpha.png": lambda: alpha_png((240, 180)),
    BUILTIN / "deep.png": lambda: deep_png(120, 160),
    BUILTIN / "palette.gif": lambda: palette_gif((240, 160)),
    GOLDENS / "adobe-cmyk.jpg": cmyk_jpeg,
    GOLDENS / "adobe-ycck.jpg": ycck_jpeg,
    GOLDENS / "unmarked-cmyk.jpg": lambda: unmarked(cmyk_jpeg()),
    GOLDENS / "grey.jpg": lambda: encoded(scene(SIZE).convert("L"), "JPEG"),
    GOLDENS / "progressive.jpg": lambda: encoded(scene((700, 690)), "JPEG", quality=30, progressive=True),
    GOLDENS / "wide-gamut.jpg": lambda: encoded(scene(SIZE), "JPEG", quality=90, icc_profile=rgb_profile()),
    GOLDENS / "lossy.webp": lambda: encoded(scene(SIZE), "WEBP", quality=70),
    GOLDENS / "alpha.webp": lambda: encoded(Image.open(BytesIO(alpha_png(SIZE))), "WEBP", quality=70),
    GOLDENS / "arithmetic.jpg": lambda: arithmetic_jpeg("-quality", "99"),
    GOLDENS / "arithmetic-progressive.jpg": lambda: arithmetic_jpeg("-quality", "95", "-progressive"),
    GOLDENS / "specimen.heic": heic,
} | {
    GOLDENS / f"orientation-{turn}.jpg": lambda turn=turn: encoded(scene(SIZE), "JPEG", quality=70, exif=exif(turn))
    for turn in range(1, 9)
}


def main() -> None:
    for path, draw in FILES.items():
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(draw())


if __name__ == "__main__":
    main()
