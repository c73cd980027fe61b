"""Checks the markers of a JPEG before any parser reads them.

Pillow's parser reads padding and segments in Python, byte by byte, and libjpeg decodes every scan over the whole
picture: a file of 240 KB with tiny scans took 23 s. Source: ITU-T T.81, annex B.
"""

import re
from typing import NamedTuple

from gateway.errors import ImageTooComplexError
from gateway.imaging.formats import not_read

MAX_SEGMENTS = 1_000
"""An ICC profile may take 255 segments, and 16 MB of metadata from a phone another 255."""
MAX_PADDING_BYTES = 4_096
"""Padding between segments; encoders write none, or a few bytes for alignment."""
MAX_RESOURCES = 2_000
"""Photoshop itself writes about thirty."""
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
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
ARITHMETIC = {0xC9, 0xCA}
BETWEEN_SCANS = {0xC4, 0xCC, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE}
"""Tables, restart intervals, metadata."""
COEFFICIENTS = 64
NOISE = b"".join(bytes((*range(0xFD, 1, -3), 0xFF, 0xD0 + number)) for number in range(8)) * 2
"""Bytes that continue a scan with anything but zeros, restarts among them."""


NOT_READ = {
    **dict.fromkeys((0xC3, 0xCB), "a lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "a hierarchical JPEG"),
    0xF7: "a JPEG-LS picture",
}
"""Frame markers of the kinds that are not read; ITU-T T.87 has the last."""


class Frame(NamedTuple):
    """What the frame header says; all 0 where there is none."""

    marker: int = 0
    precision: int = 0
    """Bits per sample."""
    components: int = 0
    """Colours."""


class FirstScan(NamedTuple):
    """Where the coded pixels begin."""

    at: int
    """Offset of the scan's marker; the end of the data if there is no scan."""
    frame: Frame = Frame()
    several: bool = False
    """Whether more scans must follow; if not, libjpeg never decodes what lies behind this one."""


def first_scan(data: bytes) -> FirstScan:
    """Read the markers up to the first scan.

    Raises:
        ImageTooComplexError: more padding, segments or Photoshop resources than any encoder writes.
    """
    at, padding, frame = 2, 0, Frame()
    for _ in range(MAX_SEGMENTS):
        end = at + MAX_PADDING_BYTES + 2  # bounded: a search through a megabyte of padding takes 13 ms
        found = MARKER.search(data, at, end)
        padding += (found.start() if found else min(end, len(data))) - at
        if padding > MAX_PADDING_BYTES:
            raise too_complex("padding")
        if found is None:
            return FirstScan(len(data), frame)
        marker, body = data[found.start() + 1], found.end()
        if marker == START_OF_SCAN:
            if data.count(b"8BIM", 0, body) > MAX_RESOURCES:
                raise too_complex("Photoshop resources")
            of_all = data[body + 2 : body + 3] == bytes((frame.components,))
            return FirstScan(found.start(), frame, frame.marker in PROGRESSIVE or not of_all)
        if marker in FRAMES and len(data) > body + 7:
            frame = Frame(marker, data[body + 2], data[body + 7])
        at = body if marker in ALONE else body + max(2, int.from_bytes(data[body : body + 2]))
    raise too_complex("segments")


def check_kind(frame: Frame) -> None:
    """Refuse by its frame header what Pillow would call damaged, or decode only where it is small.

    Raises:
        UnsupportedImageTypeError: a lossless or hierarchical JPEG, JPEG-LS, or other samples than 8 bits of 1, 3 or 4
            colours.
    """
    what = NOT_READ.get(frame.marker)
    if what is None and frame.marker and frame.precision != 8:
        what = f"a JPEG with {frame.precision} bits per sample"
    if what is None and frame.marker and frame.components not in (1, 3, 4):
        what = f"a JPEG with {frame.components} colours per pixel"
    if what is not None:
        raise not_read(what, "a plain JPEG")


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


def endings(data: bytes) -> list[bytes]:
    """The file with two other endings behind its coded pixels: their pictures are equal only if no pixel is missing.

    libjpeg fills missing pixels up, and Pillow does not report its warning. So one file ends at once, and the other
    goes on with noise. Empty where a scan is missing, and for arithmetic coding, whose data may end early.
    """
    at, frame, several = first_scan(data)
    end, coefficients = last_scan(data, at, several=several)
    if frame.marker in ARITHMETIC or not coefficients or len(coefficients) < COEFFICIENTS * frame.components:
        return []
    coded = data[:end].rstrip(b"\xff")
    return [coded + b"\xff\xd9", coded + NOISE + b"\xff\xd9"]


def last_scan(data: bytes, at: int, *, several: bool) -> tuple[int, set[tuple[int, int]]]:
    """Where the last scan ends, and the coefficients of each component that the scans complete."""
    end, complete = at, set()
    for _ in range(MAX_SEGMENTS):
        marker, body = data[at + 1 : at + 2], at + 2
        behind = body + int.from_bytes(data[body : body + 2])
        if marker == b"\xda":
            complete |= completed(data[body:behind])
            found = MARKER_AFTER_SCAN.search(data, behind)
            at = end = found.start() if found else len(data)
        elif marker and marker[0] in BETWEEN_SCANS and several:
            at = behind
        else:
            break
    return end, complete


def completed(scan: bytes) -> set[tuple[int, int]]:
    """Components and coefficients whose last bit a scan holds, from its header."""
    count = scan[2] if len(scan) > 2 else 0
    if len(scan) != 6 + 2 * count or scan[-1] & 15:
        return set()
    first, last = scan[-3], scan[-2]
    return {(scan[3 + 2 * at], number) for at in range(count) for number in range(first, min(last, 63) + 1)}


def too_complex(what: str) -> ImageTooComplexError:
    """The error for a JPEG with too many parts of one kind."""
    return ImageTooComplexError(f"This JPEG has more {what} than can be read here: save it again as a plain JPEG.")
