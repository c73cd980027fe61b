"""Every kind of GIF: depths, interlacing, transparency, colour tables, frames within their screen, endings.

Written by hand (GIF89a specification), for the forms that Pillow does not write.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from gateway.imaging import Pixels
from tests.pictures import Levels
from tests.pictures.kinds import SQUARE, Kind, pixels, square

SIDE = SQUARE[0]


class Frame(NamedTuple):
    """One frame: indices into a colour table, (height, width)."""

    indices: Levels
    colours: bytes = b""
    """A colour table of its own."""
    at: tuple[int, int] = (0, 0)
    transparent: int | None = None
    disposal: int = 0
    interlaced: bool = False
    codes: bytes | None = None
    """Coded pixels in place of the right ones."""


def gif(
    *frames: Frame,
    colours: bytes = b"",
    screen: tuple[int, int] = SQUARE,
    background: int = 0,
    version: bytes = b"89a",
    extensions: bytes = b"",
) -> bytes:
    """A whole file; `colours` is the table for all frames."""
    flags = 0x80 | table_size(colours) if colours else 0
    head = b"GIF" + version + struct.pack("<2H3B", *screen, flags, background, 0) + colours
    return head + extensions + b"".join(block(frame) for frame in frames) + b";"


def block(frame: Frame) -> bytes:
    """A frame with the control block before it."""
    height, width = frame.indices.shape
    key = frame.transparent
    control = struct.pack("<BHB", frame.disposal << 2 | (key is not None), 10, key or 0)
    flags = (0x80 | table_size(frame.colours) if frame.colours else 0) | frame.interlaced << 6
    place = b"," + struct.pack("<4HB", *frame.at, width, height, flags) + frame.colours
    rows = frame.indices
    if frame.interlaced:
        rows = np.concatenate([rows[first::step] for first, step in ((0, 8), (4, 8), (2, 4), (1, 2))])
    depth = max(2, int(rows.max(initial=0)).bit_length())
    coded = codes(rows.tobytes(), depth) if frame.codes is None else frame.codes
    return b"!\xf9\4" + control + b"\0" + place + bytes([depth]) + sub_blocks(coded)


def table_size(colours: bytes) -> int:
    """The field of a descriptor: 2 to the power of it plus one is the number of colours."""
    return (len(colours) // 3).bit_length() - 2


def codes(indices: bytes, depth: int) -> bytes:
    """LZW without a dictionary: it is cleared before codes become longer."""
    clear = 1 << depth
    run = clear - 2
    parts = [[clear, *indices[at : at + run]] for at in range(0, len(indices), run)]
    values = np.array([*(code for part in parts for code in part), clear + 1])
    bits = (values[:, None] >> np.arange(depth + 1)) & 1
    return np.packbits(bits.astype(np.uint8).ravel(), bitorder="little").tobytes()


def sub_blocks(data: bytes) -> bytes:
    parts = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def quantized(colours: int) -> tuple[Levels, bytes, Pixels]:
    """The scene in so many colours: indices, colour table with the darkest first, what it shows."""
    image = square().quantize(colours)
    table = np.array(image.getpalette(), np.uint8).reshape(-1, 3)[:colours]
    order = np.argsort(table.sum(axis=1), kind="stable")
    size = max(2, 1 << (colours - 1).bit_length())
    indices = np.argsort(order).astype(np.uint8)[np.array(image)]
    return indices, table[order].tobytes().ljust(size * 3, b"\0"), pixels(image)


def shown(twin: Pixels, box: tuple[slice, slice]) -> Pixels:
    """White outside a box."""
    page = np.full_like(twin, 255)
    page[box] = twin[box]
    return page


INDICES, COLOURS, TWIN = quantized(64)
BOX = np.s_[40:140, 30:180]
OTHER = INDICES[::-1]


def plain() -> Iterator[Kind]:
    for count in (2, 3, 4, 8, 16, 64, 200, 256):
        indices, colours, twin = quantized(count)
        for interlaced in (False, True):
            way = ", interlaced" if interlaced else ""
            yield Kind(f"GIF: {count} colours{way}", gif(Frame(indices, interlaced=interlaced), colours=colours), twin)
        yield Kind(f"GIF: {count} colours of the frame's own", gif(Frame(indices, colours)), twin)
    strange = bytes(range(192))
    yield Kind("GIF: the frame's colours instead of the screen's", gif(Frame(INDICES, COLOURS), colours=strange), TWIN)
    yield Kind("GIF: version 87a", gif(Frame(INDICES), colours=COLOURS, version=b"87a"), TWIN)
    ramp = np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1))
    greys = bytes(level for level in range(256) for _ in range(3))
    yield Kind("GIF: grey", gif(Frame(ramp), colours=greys), np.dstack([ramp] * 3))
    yield Kind(
        "GIF: grey, transparent",
        gif(Frame(ramp, transparent=200), colours=greys),
        np.dstack([np.where(ramp == 200, 255, ramp)] * 3).astype(np.uint8),
    )


def transparent() -> Iterator[Kind]:
    for key in (0, int(INDICES[100, 100]), 63):
        twin = np.where(np.equal(INDICES, key)[..., None], 255, TWIN).astype(np.uint8)
        for disposal in range(4):
            data = gif(
                Frame(INDICES, transparent=key, disposal=disposal), Frame(OTHER), colours=COLOURS, background=key
            )
            yield Kind(f"GIF: colour {key} transparent, disposal {disposal}", data, twin)
    yield Kind(
        "GIF: a transparent colour that no pixel has",
        gif(Frame(INDICES % 60, transparent=63), colours=COLOURS),
        pixels(indexed(INDICES % 60)),
    )
    yield Kind(
        "GIF: a transparent colour beyond the table", gif(Frame(INDICES, transparent=200), colours=COLOURS), TWIN
    )


def indexed(indices: Levels) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(COLOURS)
    return image


def animated() -> Iterator[Kind]:
    loop = b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0"
    for disposal in range(4):
        frames = [Frame(INDICES, disposal=disposal), Frame(OTHER, disposal=disposal)]
        yield Kind(f"GIF: animation, disposal {disposal}", gif(*frames, colours=COLOURS, extensions=loop), TWIN)


def within_screen() -> Iterator[Kind]:
    """First frames that leave a part of their screen uncovered."""
    part = INDICES[BOX]
    for background in (0, 5):
        for disposal in range(4):
            frame = Frame(part, at=(30, 40), disposal=disposal)
            data = gif(frame, Frame(OTHER), colours=COLOURS, background=background)
            name = f"GIF: frame within its screen, background {background}, disposal {disposal}"
            yield Kind(name, data, shown(TWIN, BOX))
    key = int(part[50, 50])
    holes = np.where(np.equal(INDICES, key)[..., None], 255, TWIN).astype(np.uint8)
    own = Frame(part, COLOURS, at=(30, 40), interlaced=True)
    yield Kind(
        "GIF: frame within its screen, transparent",
        gif(Frame(part, at=(30, 40), transparent=key), colours=COLOURS),
        shown(holes, BOX),
    )
    yield Kind("GIF: frame within its screen, its own colours", gif(own), shown(TWIN, BOX))
    yield Kind(
        "GIF: frame in the corner of its screen",
        gif(Frame(INDICES[:200, :200]), colours=COLOURS),
        shown(TWIN, np.s_[:200, :200]),
    )
    yield Kind(
        "GIF: frame one row short of its screen",
        gif(Frame(INDICES[1:], at=(0, 1)), colours=COLOURS),
        shown(TWIN, np.s_[1:, :]),
    )
    greys = bytes(level for level in range(256) for _ in range(3))
    ramp = np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1))
    yield Kind(
        "GIF: grey frame within its screen",
        gif(Frame(ramp[BOX], at=(30, 40)), colours=greys),
        shown(np.dstack([ramp] * 3), BOX),
    )
    yield Kind("GIF: frame larger than its screen", gif(Frame(INDICES), colours=COLOURS, screen=(100, 100)), TWIN)
    corner = np.full_like(TWIN, 255)
    corner[100:, 100:] = TWIN[100:, 100:]
    beyond = gif(Frame(INDICES[100:, 100:], at=(100, 100)), colours=COLOURS, screen=(200, 200))
    yield Kind("GIF: frame that reaches beyond its screen", beyond, corner)
    yield Kind("GIF: screen without a size", gif(Frame(INDICES), colours=COLOURS, screen=(0, 0)), TWIN)


def ended() -> Iterator[Kind]:
    whole = gif(Frame(INDICES), colours=COLOURS)
    moving = gif(Frame(INDICES), Frame(OTHER), colours=COLOURS)
    yield Kind("GIF: no trailer", whole[:-1], TWIN)
    yield Kind("GIF: cut before the last empty block", whole[:-2], TWIN)
    yield Kind("GIF: cut within its second frame", moving[:-2000], TWIN)
    yield Kind("GIF: cut within the control block behind the frame", moving[: len(whole) + 3], TWIN)
    yield Kind("GIF: trailing data", whole + b"PK\3\4" * 50, TWIN)
    yield Kind("GIF: nonsense instead of a trailer", whole[:-1] + b"\x99" * 50, TWIN)
    comment = b"!\xfe\5hello\0"
    yield Kind("GIF: comments", gif(Frame(INDICES), colours=COLOURS, extensions=comment * 20), TWIN)
    unknown = b"!\x77\3abc\0!\1\x0c" + bytes(12) + b"\3abc\0"
    yield Kind("GIF: unknown extensions and plain text", gif(Frame(INDICES), colours=COLOURS, extensions=unknown), TWIN)


def every() -> Iterator[Kind]:
    for group in (plain, transparent, animated, within_screen, ended):
        yield from group()
