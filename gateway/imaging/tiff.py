"""Which kinds of TIFF are read: those that Pillow decodes right. Source: TIFF revision 6.0, sections 4 to 8, 18 and 19.

A TIFF may hold any numbers in any layout, and Pillow decodes some of them without an error into another picture. Every
kind that it accepts is compared with another reader in `tests/gateway/imaging/test_tiff.py`.
"""

from collections.abc import Mapping
from typing import Any

from gateway.errors import UnsupportedImageTypeError
from gateway.imaging.formats import not_read

SUBFILE, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANAR = 254, 258, 259, 262, 277, 284
SUB_DIRECTORIES, EXTRA_SAMPLES, SAMPLE_FORMAT, DNG_VERSION = 330, 338, 339, 50706
MIN_IS_WHITE, RGB, LAB = 0, 2, 8
SEPARATE_PLANES, REDUCED, UNSPECIFIED = 2, 1, 0

PHOTOMETRICS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Photometric interpretation -> samples per pixel, without extra ones."""
NUMBERS = {2: "signed numbers", 3: "floating-point numbers", 5: "complex numbers", 6: "complex numbers"}
"""Sample format -> what it is called. Which of them is white is not defined."""
BITS_READ = {1, 2, 4, 8, 16}
COMPRESSIONS_READ = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000}
"""None, CCITT (three), LZW, JPEG, Deflate, PackBits, Deflate's older number, LZMA, Zstandard."""


def check_tags(tags: Mapping[int, Any]) -> None:
    """Refuse by its tags what is not read.

    Args:
        tags: of the first directory, as Pillow's parser finds them.

    Raises:
        UnsupportedImageTypeError: another kind of numbers, colours or layout; the detail names it.
    """
    if DNG_VERSION in tags or (tags.get(SUBFILE) == REDUCED and SUB_DIRECTORIES in tags):
        raise unread("a camera's raw file")
    for number in tags.get(SAMPLE_FORMAT, (1,)):
        if number != 1:
            raise unread(f"a TIFF of {NUMBERS.get(number, 'numbers of an unknown kind')}")
    for bits in tags.get(BITS, (1,)):
        if bits not in BITS_READ:
            raise unread(f"a TIFF with {bits} bits per sample")
    if tags.get(COMPRESSION, 1) not in COMPRESSIONS_READ:
        raise unread(f"a TIFF compressed in another way (number {tags[COMPRESSION]})")
    check_layout(tags, tags.get(PHOTOMETRIC, MIN_IS_WHITE), tags.get(EXTRA_SAMPLES, ()))


def check_layout(tags: Mapping[int, Any], photometric: int, extra: tuple[int, ...]) -> None:
    """Refuse by the meaning of the samples of a pixel. Raises as `check_tags` does."""
    if photometric not in PHOTOMETRICS:
        raise unread(f"a TIFF of another kind of colours (photometric interpretation {photometric})")
    missing = tags.get(SAMPLES, 1) - PHOTOMETRICS[photometric] - len(extra)
    if missing < 0:
        raise unread("a TIFF with fewer samples than its colours have")
    if tags.get(PLANAR) != SEPARATE_PLANES:
        return
    if photometric == LAB:
        raise unread("a TIFF of Lab colours in separate planes")
    if missing or (any(extra) and (photometric != RGB or len(extra) > 1)):
        raise unread("a TIFF with transparency in a plane of its own")


def is_inverted(tags: Mapping[int, Any]) -> bool:
    """Whether 0 is white."""
    return bool(tags.get(PHOTOMETRIC, MIN_IS_WHITE) == MIN_IS_WHITE)


def unread(what: str) -> UnsupportedImageTypeError:
    """The error for a TIFF that is not read."""
    return not_read(what, "a PNG")
