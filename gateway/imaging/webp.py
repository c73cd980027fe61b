"""Reads the container of a WebP. Source: WebP container specification."""

import struct

BEGIN_BYTES = 12
"""`RIFF`, a length, `WEBP`; the length counts from behind itself."""
PICTURES = {b"VP8 ", b"VP8L", b"ANMF"}
"""Chunks that hold the pixels of a picture or of a frame."""


def canvas(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas, which the decoder allocates when it is created; 0 where they are missing."""
    kind, body = data[12:16], data[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def ends_early(data: bytes) -> bool:
    """Whether the end of the file is missing."""
    return len(data) < 8 + int.from_bytes(data[4:8], "little")


def whole(data: bytes) -> bytes:
    """The file; where its end is missing, as much of it as ends with the first picture, if that is there.

    libwebp refuses a file that is shorter than it announces, although the first frame of an animation is whole.
    """
    at = BEGIN_BYTES
    while ends_early(data) and at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + length + length % 2
        if data[at : at + 4] in PICTURES and end <= len(data):
            return b"RIFF" + struct.pack("<L", end - 8) + data[8:end]
        at = end
    return data
