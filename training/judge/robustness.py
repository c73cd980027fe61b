"""Small changes of an upload, as they happen to photos in practice; the answer should stay the same."""

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from gateway.imaging.colour import averageable, over_white, to_srgb

LONGEST_PX = 1024
"""Larger pictures are scaled down first: the network's input has 224 pixels."""
ORIENTATION, TURNED = 0x0112, 6
"""EXIF tag and its value for a picture that is stored turned by 90° to the left."""

Change = Callable[[Image.Image], bytes]
"""Takes the upright RGB picture; returns a file of the changed one."""


def changed(data: bytes, change: Change) -> bytes:
    """The file of the changed picture. `data` must be decodable."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (LONGEST_PX, LONGEST_PX))
        upright = to_srgb(over_white(averageable(ImageOps.exif_transpose(image))), image.info.get("icc_profile"))
    upright.thumbnail((LONGEST_PX, LONGEST_PX))
    return change(upright)


def _jpeg(image: Image.Image, quality: int = 95, exif: bytes = b"") -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=0 if quality > 90 else 2, exif=exif)
    return file.getvalue()


def _cropped(image: Image.Image) -> bytes:
    """Without 5 % at each edge."""
    across, down = round(image.width * 0.05), round(image.height * 0.05)
    return _jpeg(image.crop((across, down, image.width - across, image.height - down)))


def _bordered(image: Image.Image) -> bytes:
    """With 5 % more at each edge, where the edge pixels are repeated."""
    across, down = round(image.width * 0.05), round(image.height * 0.05)
    return _jpeg(Image.fromarray(np.pad(np.asarray(image), ((down, down), (across, across), (0, 0)), mode="edge")))


def _turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    return _jpeg(image.transpose(Image.Transpose.ROTATE_90), exif=exif.tobytes())


CHANGES: Mapping[str, Change] = {
    "JPEG quality 50": lambda image: _jpeg(image, 50),
    "JPEG quality 20": lambda image: _jpeg(image, 20),
    "cropped by 10 %": _cropped,
    "10 % of border": _bordered,
    "darker by 20 %": lambda image: _jpeg(ImageEnhance.Brightness(image).enhance(0.8)),
    "brighter by 20 %": lambda image: _jpeg(ImageEnhance.Brightness(image).enhance(1.2)),
    "turned, with EXIF": _turned,
}
