"""Which way up: EXIF tag 0x0112, read as browsers read it, and nothing else of EXIF.

Pillow's own reader warns of every odd block and looks into XMP too, which no browser does.
"""

import struct

from PIL import Image
from PIL.Image import Transpose

ORIENTATION_TAG, SHORT = 0x0112, 3

TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""What to do to the stored picture so that it shows as the camera meant; 1 is upright already."""


def orientation_of(exif: object) -> int:
    """1 to 8; 1 where the block says nothing, or nothing sensible.

    Args:
        exif: the block as the parser found it, if it is bytes at all.
    """
    if not isinstance(exif, bytes):
        return 1
    block = exif.removeprefix(b"Exif\0\0")
    try:
        value = first_short({b"II*\0": "<", b"MM\0*": ">"}[block[:4]], block, ORIENTATION_TAG)
    except (KeyError, struct.error):
        return 1
    return value if value in TURNS else 1


def first_short(order: str, block: bytes, wanted: int) -> int | None:
    """Value of one tag in a TIFF block's first directory. No further one is followed: they may loop."""
    (start,) = struct.unpack_from(f"{order}L", block, 4)
    (count,) = struct.unpack_from(f"{order}H", block, start)
    for entry in range(count):
        tag, kind, values, value = struct.unpack_from(f"{order}HHLH", block, start + 2 + 12 * entry)
        if tag == wanted:
            return int(value) if (kind, values) == (SHORT, 1) else None
    return None


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The picture as it is meant to be seen."""
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image
