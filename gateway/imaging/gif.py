"""Checks the blocks of a GIF before Pillow reads them in Python. Source: GIF89a specification."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from gateway.errors import ImageTooComplexError

IMAGE, EXTENSION, TRAILER = b",!;"
CONTROL = b"!\xf9"
"""The extension before a frame that names its transparent colour."""
MAX_SUB_BLOCKS = 20_000
BYTES_PER_SUB_BLOCK = 128
"""A file may have one more sub-block for each of these bytes. Encoders write sub-blocks of 255 bytes, but an animation
has six small ones per frame. Reading 10,000 takes 1 ms."""


class FirstFrame(NamedTuple):
    """What the blocks up to the first frame announce."""

    canvas: tuple[int, int]
    """Width and height of the screen, or of the frame where that is larger."""
    transparent: bool
    """It has a transparent colour, or leaves a part of the canvas uncovered."""


def first_frame(data: bytes) -> FirstFrame:
    """Size and transparency of the first frame.

    Raises:
        ImageTooComplexError: more sub-blocks than any encoder writes, in the whole file.
    """
    screen = struct.unpack_from("<HH", data.ljust(13, b"\0"), 6)
    keyed, found = False, FirstFrame(screen, transparent=False)
    with suppress(IndexError, struct.error):  # beyond the end: what matters is whether the decoder has every pixel
        framed = False
        for at in blocks(data):
            if data[at : at + 2] == CONTROL and not framed:
                keyed = bool(data[at + 3] & 1)
            elif data[at] == IMAGE and not framed:
                framed, found = True, of_frame(screen, *struct.unpack_from("<4H", data, at + 1), keyed=keyed)
    return found


def of_frame(screen: tuple[int, int], left: int, top: int, width: int, height: int, *, keyed: bool) -> FirstFrame:
    """The canvas of a frame at that place."""
    canvas = max(screen[0], left + width), max(screen[1], top + height)
    return FirstFrame(canvas, transparent=keyed or canvas != (width, height))


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
