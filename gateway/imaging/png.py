"""Takes from a PNG what its pixels need, before Pillow reads it. Source: PNG specification, sections 5, 11 and 13.

Pillow reads every chunk in Python, unpacks texts and profiles, and refuses the file for one wrong checksum. Of an
animation it shows the still picture, even where that is no frame of it.
"""

import struct
import zlib
from contextlib import suppress
from typing import NamedTuple

from gateway.errors import ImageTooComplexError
from gateway.imaging.formats import not_read

MAX_CHUNKS = 20_000
"""libpng writes pixels in chunks of 8 KB, an animation two chunks per frame. Finding 20,000 takes 20 ms."""
BEGIN = b"\x89PNG\r\n\x1a\n"
AROUND = 12
"""Bytes of a chunk around its data: length, name and checksum."""
MAX_PROFILE_BYTES = 2 * 1024 * 1024
"""The largest profiles in use are those for CMYK printing, 0.5 to 1.8 MB."""


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type -> samples per pixel."""
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row and steps of each pass of an interlaced picture."""
UNPACKED_BYTES = 65_536
"""Pixels are unpacked in pieces of this size where they are only counted."""


class Chunk(NamedTuple):
    """Where a chunk lies in its file."""

    name: bytes
    start: int
    end: int
    """Behind the checksum; beyond the end of the file where the file is cut off."""


class Needed(NamedTuple):
    """What a PNG's pixels need."""

    file: bytes
    """A PNG of the same picture, without any other chunk. Its one frame may be smaller than its canvas."""
    profile: bytes | None
    """The ICC profile."""


def check_kind(data: bytes) -> None:
    """Refuse the form of PNG that Apple's tools write into apps: its pixels are compressed without zlib's header.

    Raises:
        UnsupportedImageTypeError: it is of that form.
    """
    if data[12:16] == b"CgBI":
        raise not_read("a PNG that was optimised for an iPhone app", "a plain PNG")


def needed(data: bytes) -> Needed:
    """Leave out every chunk that is not needed, is damaged and not critical, or lies behind the pixels.

    Of an animation, the first frame is taken: the still picture is not always a frame of it.

    Raises:
        ImageTooComplexError: more chunks than any encoder writes.
    """
    chunks = found(data)
    pixels = next((at for at, chunk in enumerate(chunks) if chunk.name == b"IDAT"), len(chunks))
    head = {chunk.name: chunk for chunk in reversed(chunks[:pixels])}  # of several, the first counts
    exif = next((chunk for chunk in chunks if chunk.name == b"eXIf" and is_intact(data, chunk)), None)
    parts = [as_stored(data, chunk) for name in (b"IHDR", b"PLTE") if (chunk := head.get(name))]
    parts += [as_stored(data, chunk) for chunk in (head.get(b"tRNS"), exif) if chunk and is_intact(data, chunk)]
    parts += frame_behind(data, chunks, pixels) or [run(data, chunks[pixels:])]
    return Needed(BEGIN + b"".join([*parts, built(b"IEND", b"")]), profile_of(data, head.get(b"iCCP")))


def found(data: bytes) -> list[Chunk]:
    """All chunks, to the end of the picture or of the file.

    Raises:
        ImageTooComplexError: more than any encoder writes.
    """
    chunks: list[Chunk] = []
    at = len(BEGIN)
    for _ in range(MAX_CHUNKS):
        if at >= len(data):
            return chunks
        chunk = Chunk(data[at + 4 : at + 8], at, at + AROUND + int.from_bytes(data[at : at + 4]))
        chunks.append(chunk)
        at = chunk.end
    raise ImageTooComplexError("This PNG has more chunks than can be read here: save it again.")


def run(data: bytes, chunks: list[Chunk]) -> bytes:
    """The chunks of pixels at the beginning of `chunks`, as they are in the file; one that is cut off is shortened."""
    end = next((at for at, chunk in enumerate(chunks) if chunk.name != b"IDAT"), len(chunks))
    if not end:
        return b""
    last = chunks[end - 1]
    if last.end <= len(data):
        return data[chunks[0].start : last.end]
    return data[chunks[0].start : last.start] + built(b"IDAT", body_of(data, last))


def frame_behind(data: bytes, chunks: list[Chunk], pixels: int) -> list[bytes]:
    """The first frame of an animation that does not begin with the still picture: its control chunk and its pixels.

    Empty for every other file, and where that frame does not fit: then the still picture is shown.
    """
    names = [chunk.name for chunk in chunks]
    if b"acTL" not in names[:pixels] or b"fcTL" in names[:pixels] or b"fcTL" not in names[pixels:]:
        return []
    at = names.index(b"fcTL", pixels)
    control = body_of(data, chunks[at])
    if not is_intact(data, chunks[at]) or not fits(data, control):
        return []
    last = next((end for end in range(at + 1, len(names)) if names[end] != b"fdAT"), len(names))
    coded = b"".join(body_of(data, chunk)[4:] for chunk in chunks[at + 1 : last])
    return [built(b"fcTL", bytes(4) + control[4:]), built(b"IDAT", coded)] if coded else []


def fits(data: bytes, control: bytes) -> bool:
    """Whether a frame lies within the picture."""
    with suppress(struct.error):
        across, down = struct.unpack_from(">2L", data, len(BEGIN) + 8)
        width, height, left, top = struct.unpack_from(">4L", control, 4)
        return bool(0 < width <= across - left and 0 < height <= down - top)
    return False


def is_whole(file: bytes) -> bool:
    """Whether the pixels of a file that `needed` has made are all there: Pillow takes missing rows for black ones."""
    chunks = found(file)
    missing = unpacked_bytes(file, chunks)
    unpacking = zlib.decompressobj()
    for chunk in chunks:
        packed = body_of(file, chunk) if chunk.name == b"IDAT" else b""
        while packed and missing > 0:
            missing -= len(unpacking.decompress(packed, UNPACKED_BYTES))
            packed = unpacking.unconsumed_tail
    return missing <= 0


def unpacked_bytes(file: bytes, chunks: list[Chunk]) -> int:
    """Length of the frame's pixels as they are compressed: rows of whole bytes, each behind a byte for its filter."""
    width, height, depth, colour_type, *_, interlaced = struct.unpack(">2L5B", body_of(file, chunks[0]))
    for chunk in chunks:
        if chunk.name == b"fcTL":
            width, height = struct.unpack_from(">2L", body_of(file, chunk), 4)
    total = 0
    for left, top, across, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        total += rows * (1 + -(-columns * depth * CHANNELS[colour_type] // 8)) if columns > 0 else 0
    return total


def profile_of(data: bytes, chunk: Chunk | None) -> bytes | None:
    """The unpacked ICC profile, if it is intact and not too large."""
    if chunk is None or not is_intact(data, chunk):
        return None
    packed = body_of(data, chunk).partition(b"\0")[2]
    unpacking = zlib.decompressobj()
    with suppress(zlib.error):
        profile = unpacking.decompress(packed[1:], MAX_PROFILE_BYTES)
        return profile if unpacking.eof and packed[:1] == b"\0" else None
    return None


def is_intact(data: bytes, chunk: Chunk) -> bool:
    """Whether the chunk is there to its end, with the right checksum."""
    if chunk.end > len(data):
        return False
    return zlib.crc32(memoryview(data)[chunk.start + 4 : chunk.end - 4]) == int.from_bytes(
        data[chunk.end - 4 : chunk.end]
    )


def as_stored(data: bytes, chunk: Chunk) -> bytes:
    """The whole chunk, as far as it is there."""
    return data[chunk.start : chunk.end]


def body_of(data: bytes, chunk: Chunk) -> bytes:
    """The data of a chunk, as far as it is there."""
    return data[chunk.start + 8 : chunk.end - 4]


def built(name: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    checksum = zlib.crc32(body, zlib.crc32(name))
    return b"".join((len(body).to_bytes(4), name, body, checksum.to_bytes(4)))
