"""Checks the blocks of a GIF before Pillow reads them in Python. Source: GIF89a specification."""

import struct
from collections.abc import Iterator
from contextlib import suppress

from gateway.errors import ImageTooComplexError

IMAGE, EXTENSION, TRAILER = b",!;"
MAX_SUB_BLOCKS = 20_000
BYTES_PER_SUB_BLOCK = 128
"""A file may have one more sub-block for each of these bytes. Encoders write sub-blocks of 255 bytes, but an animation
has six small ones per frame. Reading 10,000 takes 1 ms."""


def canvas(data: bytes) -> tuple[int, int]:
    """Width and height of the screen, or of the first frame where that is larger.

    Raises:
        ImageTooComplexError: more sub-blocks than any encoder writes, in the whole file.
    """
    width, height = struct.unpack_from("<HH", data.ljust(13, b"\0"), 6)
    framed = False
    with suppress(IndexError, struct.error):  # beyond the end: what matters is whether the decoder has every pixel
        for at in blocks(data):
            if data[at] == IMAGE and not framed:
                left, top, frame_width, frame_height = struct.unpack_from("<4H", data, at + 1)
                width, height, framed = max(width, left + frame_width), max(height, top + frame_height), True
    return width, height


def is_complete(data: bytes) -> bool:
    """Whether the file has its trailer."""
    with suppress(IndexError):
        return data[list(blocks(data))[-1]] == TRAILER
    return False


def blocks(data: bytes) -> Iterator[int]:
    """Offsets of the blocks of a GIF, in order.

    Raises:
        IndexError: the file ends within a block.
        ImageTooComplexError: more sub-blocks than any encoder writes.
    """
    at, inside = 13 + colour_table_bytes(data[10]), False
    for _ in range(MAX_SUB_BLOCKS + len(data) // BYTES_PER_SUB_BLOCK):
        first = data[at]
        if inside:  # a sub-block: its length, then that many bytes; an empty one ends the block
            inside = first > 0
            at += 1 + first
            continue
        yield at
        if first == TRAILER:
            return
        inside = first in (IMAGE, EXTENSION)
        at += 11 + colour_table_bytes(data[at + 9]) if first == IMAGE else 2 if inside else 1
    raise ImageTooComplexError("This GIF has more data blocks than can be read here: save it again.")


def colour_table_bytes(flags: int) -> int:
    """Size in bytes of the colour table that the flags of a descriptor announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
