"""Kept results: the pixels of awkward files at the last check.

A line is the mean red, green and blue, so that a change can be judged, and the beginning of the pixels' SHA-256.
After a change that is meant, `python -m tests.gateway.imaging.test_goldens` prints the lines anew. Pictures that
go through LittleCMS or libheif are not here: they compute in floats, and other machines round otherwise.
"""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from gateway.imaging import preprocess
from tests.pictures import raw_png, scene

HERE = Path(__file__).parents[2] / "goldens"
BUILTIN = Path(__file__).parents[3] / "gateway/imaging/builtin"


def by_hand() -> dict[str, bytes]:
    """Files that no encoder's version can change."""
    picture = np.asarray(scene((96, 64)))
    grey, stripes = picture[..., 1], np.indices((64, 96), dtype=np.uint8)[1] // 24
    palette = bytes((255, 0, 0, 0, 255, 0, 0, 0, 255, 90, 90, 90))
    return {
        "16-bit grey": raw_png(grey.astype(np.uint16) * 200),
        "16-bit colour": raw_png(picture.astype(np.uint16) * 257),
        "1-bit": raw_png((grey > 128).astype(np.uint8), bits=1),
        "palette with alpha": raw_png(stripes, palette=palette, tRNS=bytes((255, 128, 0))),
        "colour key": raw_png(picture, tRNS=struct.pack(">3H", 255, 255, 255)),
        "grey with alpha": raw_png(np.dstack([grey, grey])),
        "1x1": raw_png(np.array([[[1, 2, 3]]], np.uint8)),
        "1x65000": raw_png(np.arange(65_000 * 3, dtype=np.uint32).reshape(65_000, 1, 3).astype(np.uint8)),
        "65500x1": raw_png(np.arange(65_500, dtype=np.uint32).astype(np.uint8)[None]),
    }


def files() -> dict[str, bytes]:
    kept = [*sorted(BUILTIN.iterdir()), *sorted(HERE.glob("*.jpg")), *sorted(HERE.glob("*.webp"))]
    return {path.name: path.read_bytes() for path in kept if path.name != "wide-gamut.jpg"} | by_hand()


def line(data: bytes) -> str:
    pixels = preprocess(data)
    means = " ".join(f"{mean:.0f}" for mean in pixels.mean(axis=(0, 1)))
    return f"{means} {hashlib.sha256(pixels.tobytes()).hexdigest()[:12]}"


GOLDENS: dict[str, str] = {
    "alpha.png": "185 193 205 6a842ebc3626",
    "deep.png": "127 127 127 26175ea81381",
    "palette.gif": "129 135 158 5cf7279f69c5",
    "turned.jpg": "130 133 154 c90e3d677b9f",
    "adobe-cmyk.jpg": "129 134 153 f4371ab96166",
    "adobe-ycck.jpg": "130 134 155 2a3c810323ad",
    "arithmetic-progressive.jpg": "135 131 147 918e15bc0e45",
    "arithmetic.jpg": "135 131 147 dd9119dcacad",
    "grey.jpg": "135 135 135 be4a4f8c4e1a",
    "orientation-1.jpg": "129 134 153 2da701ada7b4",
    "orientation-2.jpg": "129 134 153 b38297d419be",
    "orientation-3.jpg": "129 134 153 12e4b9d5764a",
    "orientation-4.jpg": "129 134 153 f00a4bd2130e",
    "orientation-5.jpg": "129 134 153 9b4a3d0c3b05",
    "orientation-6.jpg": "129 134 153 632dfaffd8dc",
    "orientation-7.jpg": "129 134 153 a6e2ceaf9c04",
    "orientation-8.jpg": "129 134 153 e5acb47d4329",
    "progressive.jpg": "134 131 149 8099dc466ff9",
    "unmarked-cmyk.jpg": "129 134 153 f4371ab96166",
    "alpha.webp": "184 193 205 068c12fff26c",
    "lossy.webp": "130 134 153 07fcc904921f",
    "16-bit grey": "104 104 104 e6ac48787992",
    "16-bit colour": "129 134 154 b90d661135be",
    "1-bit": "128 128 128 f8290a1cc9bf",
    "palette with alpha": "182 150 118 2b7c45fdfdd9",
    "colour key": "129 134 154 e09966907dca",
    "grey with alpha": "199 199 199 db248ecce7b8",
    "1x1": "1 2 3 701db217fa86",
    "1x65000": "127 127 127 f48f11eaa2b4",
    "65500x1": "127 127 127 10d599a27db5",
}


@pytest.mark.parametrize("name", files())
def test_an_awkward_file_keeps_its_pixels(name: str) -> None:
    assert line(files()[name]) == GOLDENS[name]


if __name__ == "__main__":
    for name, data in files().items():
        print(f'    "{name}": "{line(data)}",')  # noqa: T201  output is its purpose
