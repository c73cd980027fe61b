"""Orientation: EXIF tag 0x0112, read as browsers read it. Nothing else of EXIF is read.

Pillow's own reader warns about every odd block and also reads XMP, which browsers do not.
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
"""Orientation -> how to turn the stored picture so that it is upright; 1 is upright already."""


def orientation_of(exif: object) -> int:
    """Orientation, 1 to 8; 1 where the block has no valid one.

    Args:
        exif: the block as the parser found it; of any type, as Pillow does not promise bytes.
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
    """Value of one tag in the first directory of a TIFF block. Further directories may form a loop and are not read."""
    (start,) = struct.unpack_from(f"{order}L", block, 4)
    (count,) = struct.unpack_from(f"{order}H", block, start)
    for entry in range(count):
        tag, kind, values, value = struct.unpack_from(f"{order}HHLH", block, start + 2 + 12 * entry)
        if tag == wanted:
            return int(value) if (kind, values) == (SHORT, 1) else None
    return None


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn the picture so that it is upright."""
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image
