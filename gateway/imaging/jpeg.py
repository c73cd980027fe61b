"""Checks the markers of a JPEG before any parser reads them.

Pillow's parser reads padding and segments in Python, byte by byte, and libjpeg decodes every scan over the whole
picture: a file of 240 KB with tiny scans took 23 s. Source: ITU-T T.81, annex B.
"""

import re

from gateway.errors import ImageTooComplexError

MAX_SEGMENTS = 1_000
"""An ICC profile may take 255 segments, and 16 MB of metadata from a phone another 255."""
MAX_PADDING_BYTES = 4_096
"""Padding between segments; encoders write none, or a few bytes for alignment."""
MAX_RESOURCES = 2_000
"""Photoshop resources, which Pillow reads one by one; Photoshop itself writes about thirty."""
MAX_SCANS = 64
"""Encoders use 1 to 18."""
SCANS_AT_ANY_SIZE = 20
MAX_PIXELS_BY_SCANS = 64_000_000
"""Bound on scans x pixels beyond that number of scans: each scan takes 1.1 ms per megapixel."""

MARKER = re.compile(rb"\xff[\x01-\xfe]")
MARKER_AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""Within coded pixels, FF 00 is a value and FF D0 to FF D7 are restart markers."""
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
ALONE = {0x01, *range(0xD0, 0xDA)}
"""Markers without a segment."""
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}


def first_scan(data: bytes) -> tuple[int, bool]:
    """Find the first scan, and whether more scans follow; if not, libjpeg never decodes what lies behind it.

    Returns:
        Offset of the first scan, or the end of the data if there is none; whether more scans must follow.

    Raises:
        ImageTooComplexError: more padding, segments or Photoshop resources than any encoder writes.
    """
    at, padding, frame = 2, 0, b""
    for _ in range(MAX_SEGMENTS):
        end = at + MAX_PADDING_BYTES + 2  # bounded: a search through a megabyte of padding takes 13 ms
        found = MARKER.search(data, at, end)
        padding += (found.start() if found else min(end, len(data))) - at
        if padding > MAX_PADDING_BYTES:
            raise too_complex("padding")
        if found is None:
            return len(data), False
        marker, body = data[found.start() + 1], found.end()
        if marker == START_OF_SCAN:
            if data.count(b"8BIM", 0, body) > MAX_RESOURCES:
                raise too_complex("Photoshop resources")
            return found.start(), frame[:1] == b"P" or frame[1:2] != data[body + 2 : body + 3]
        if marker in FRAMES:
            frame = (b"P" if marker in PROGRESSIVE else b"S") + data[body + 7 : body + 8]
        at = body if marker in ALONE else body + max(2, int.from_bytes(data[body : body + 2]))
    raise too_complex("segments")


def check_scans(data: bytes, at: int, pixels: int) -> int:
    """Count the scans. Each is a pass over the whole picture, so their number is bounded.

    Raises:
        ImageTooComplexError: there are too many scans for this number of pixels.
    """
    scans = count_scans(data, at)
    if scans > SCANS_AT_ANY_SIZE and scans * pixels > MAX_PIXELS_BY_SCANS:
        raise too_complex("scans")
    return scans


def count_scans(data: bytes, at: int) -> int:
    """Number of scans from the one at `at` to the end of the picture."""
    scans = 0
    for _ in range(MAX_SEGMENTS):
        found = MARKER_AFTER_SCAN.search(data, at)
        if found is None or data[found.end() - 1] == END_OF_IMAGE:
            return scans
        body = found.end()
        scans += data[body - 1] == START_OF_SCAN
        if scans > MAX_SCANS:
            raise too_complex("scans")
        at = body if data[body - 1] in ALONE else body + max(2, int.from_bytes(data[body : body + 2]))
    raise too_complex("segments")


def too_complex(what: str) -> ImageTooComplexError:
    """The error for a JPEG with too many parts of one kind."""
    return ImageTooComplexError(f"This JPEG has more {what} than can be read here: save it again as a plain JPEG.")
