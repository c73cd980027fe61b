"""Pictures that a version brings for pages to offer: small, as JPEG, without metadata."""

import base64
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from gateway.labels import MAX_SAMPLE_CHARACTERS, MAX_SAMPLES, Sample, plain_name
from training.data.manifest import SUFFIXES
from training.errors import ExportError

SIDE_PX = 320
"""Longest side."""


def of_folder(folder: Path) -> list[Sample]:
    """The pictures in a folder, by name; the name of a file without its extension is the title.

    Raises:
        ExportError: the folder holds none or more than eight, or one cannot be read.
    """
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in SUFFIXES)
    if not 1 <= len(files) <= MAX_SAMPLES:
        raise ExportError(f"{folder} holds {len(files)} pictures: give a folder of 1 to {MAX_SAMPLES} as samples.")
    return [_read(file) for file in files]


def sample(title: str, picture: Image.Image) -> Sample:
    """A picture as a version carries it: fitted into 320 x 320 pixels."""
    small = picture.convert("RGB")
    if max(small.size) > SIDE_PX:
        small = ImageOps.contain(small, (SIDE_PX, SIDE_PX))
    for quality in (90, 75, 50):
        file = BytesIO()
        small.save(file, "JPEG", quality=quality)
        text = base64.b64encode(file.getvalue()).decode()
        if len(text) <= MAX_SAMPLE_CHARACTERS:
            break
    return Sample(title=title, jpeg=text)


def _read(file: Path) -> Sample:
    try:
        with Image.open(file) as picture:
            return sample(plain_name(file.stem)[:80], ImageOps.exif_transpose(picture))
    except (OSError, ValueError, Image.DecompressionBombError) as cause:
        raise ExportError(f"{file} cannot be read as a picture: remove it from the samples.") from cause
