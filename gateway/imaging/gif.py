"""A GIF's blocks, walked before Pillow reads them in Python. Source: GIF89a specification."""

import struct
from collections.abc import Iterator

from gateway.errors import ImageTooComplexError

IMAGE, EXTENSION, TRAILER = b",!;"
MAX_PIECES = 20_000
BYTES_PER_PIECE = 128
"""One more for each of these: encoders make pieces of 255 bytes, but an animation has six small ones a frame. Walking
10,000 takes 1 ms."""


def walk(data: bytes) -> tuple[tuple[int, int], bool]:
    """Width and height that the first frame needs, and whether the file goes on to its trailer."""
    width, height = struct.unpack_from("<HH", data.ljust(13, b"\0"), 6)
    framed, block = False, 0
    try:
        for at in blocks(data):
            block = data[at]
            if block == IMAGE and not framed:
                left, top, frame_width, frame_height = struct.unpack_from("<4H", data, at + 1)
                width, height, framed = max(width, left + frame_width), max(height, top + frame_height), True
    except (IndexError, struct.error):  # beyond the end
        return (width, height), False
    return (width, height), block == TRAILER


def blocks(data: bytes) -> Iterator[int]:
    """Offsets of a GIF's blocks, as far as they go.

    Raises:
        IndexError: the file ends within a block.
        ImageTooComplexError: more pieces than any encoder makes.
    """
    at, inside = 13 + colour_table_bytes(data[10]), False
    for _ in range(MAX_PIECES + len(data) // BYTES_PER_PIECE):
        first = data[at]
        if inside:  # a piece: its length, then that many bytes; the empty one ends the block
            inside = first > 0
            at += 1 + first
            continue
        yield at
        if first == TRAILER:
            return
        inside = first in (IMAGE, EXTENSION)
        at += 11 + colour_table_bytes(data[at + 9]) if first == IMAGE else 2 if inside else 1
    raise ImageTooComplexError("This GIF has more pieces than can be read here: save it anew.")


def colour_table_bytes(flags: int) -> int:
    """Size of the colour table that a GIF descriptor's flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
