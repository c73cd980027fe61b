"""From the bytes of a file to the model's input: the steps in their order."""

from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from gateway.errors import (
    GatewayError,
    ImageDecodeError,
    ImageTooLargeError,
    ImageTruncatedError,
    LargerShareError,
)
from gateway.imaging import jpeg
from gateway.imaging.colour import fit, on_canvas
from gateway.imaging.formats import WEB_FORMATS, Format, identify, spelling
from gateway.imaging.header import check_header, check_size, damaged, ends_early, truncated
from gateway.imaging.input_size import SIDE_PX, Pixels
from gateway.imaging.orientation import orientation_of, upright
from gateway.imaging.parsers import box_of, parse

MAX_DECODED_BYTES = 256 * 1024 * 1024
"""Default limit on memory for decoding one picture: 100 megapixels of plain JPEG, 16 of WebP."""
SCALED_SIDE_PX = SIDE_PX * 3 // 2
"""Smallest side that scaled decoding of a JPEG may yield. Measured: docs/decisions/0002-preprocessing.md."""


class Picture(NamedTuple):
    """The result of decoding one file."""

    pixels: Pixels
    format: Format
    width: int
    """In pixels, as displayed: after the rotation that EXIF asks for."""
    height: int


class Decoded(NamedTuple):
    """The result of decoding one file, before its pixels are an array."""

    rgb: bytes | bytearray | memoryview
    """`RGB_BYTES` bytes, row after row."""
    format: Format
    width: int
    height: int

    def picture(self) -> Picture:
        """The same with the bytes as an array. It is not a copy, and is writable if they are."""
        import numpy as np

        pixels = np.frombuffer(self.rgb, np.uint8).reshape(SIDE_PX, SIDE_PX, 3)
        return Picture(pixels, self.format, self.width, self.height)


def preprocess(
    data: bytes, *, formats: Collection[Format] = WEB_FORMATS, max_decoded_bytes: int = MAX_DECODED_BYTES
) -> Pixels:
    """The pixels of `read_picture`, without format and size."""
    return read_picture(data, formats=formats, max_decoded_bytes=max_decoded_bytes).pixels


def read_picture(
    data: bytes, *, formats: Collection[Format] = WEB_FORMATS, max_decoded_bytes: int = MAX_DECODED_BYTES
) -> Picture:
    """Decode one picture and fit it to the model's input; see `decode`."""
    decoded = decode(data, formats=formats, max_decoded_bytes=max_decoded_bytes)
    return decoded._replace(rgb=bytearray(decoded.rgb)).picture()


def decode(
    data: bytes,
    *,
    formats: Collection[Format] = WEB_FORMATS,
    max_decoded_bytes: int = MAX_DECODED_BYTES,
    share_bytes: int | None = None,
    share_s: float | None = None,
) -> Decoded:
    """Decode one picture. A pure function: it may run in any thread or process.

    Of an animation, only the first frame is decoded. The first bytes of `data` determine the format.

    Args:
        data: the whole file.
        formats: accepted formats.
        max_decoded_bytes: limit on the estimated peak memory, checked before any pixel is decoded.
        share_bytes: memory set aside for this picture; it is not decoded if it needs more.
        share_s: CPU time set aside for it, compared with an estimate; 0: no bound.

    Raises:
        LargerShareError: more than the share is needed, but not more than `max_decoded_bytes`.
        ImageEmptyError: no bytes.
        UnsupportedImageTypeError: in none of `formats`.
        ImageTooLargeError: the estimate is above `max_decoded_bytes`.
        ImageTooComplexError: more scans, segments or chunks than any encoder writes.
        ImageTruncatedError: the file ends too early.
        ImageDecodeError: the file is damaged in another way.
    """
    kind = identify(data, formats)
    try:
        needed_bytes = check_header(data, kind, max_decoded_bytes)
        if share_bytes is not None and needed_bytes > share_bytes:
            raise LargerShareError(needed_bytes)
        return _decode(data, kind, max_decoded_bytes, share_bytes, share_s)
    except (GatewayError, LargerShareError, ModuleNotFoundError):
        raise
    except MemoryError as cause:
        raise ImageTooLargeError(
            f"This {spelling(kind)} needs more memory than there is: send a smaller version."
        ) from cause
    except Exception as cause:  # Pillow's parsers raise a dozen types of errors on damaged files, and document none
        if kind == "JPEG" and (whole := _with_another_ending(data, max_decoded_bytes)):
            return whole
        if ends_early(data, kind):
            raise ImageTruncatedError(truncated(kind)) from cause
        raise ImageDecodeError(damaged(kind)) from cause


def _with_another_ending(data: bytes, max_decoded_bytes: int) -> Decoded | None:
    """The picture of a JPEG whose ending is missing or damaged, if no pixel is missing."""
    with suppress(Exception):  # as above
        one, other = (_decode(file, "JPEG", max_decoded_bytes, None, None) for file in jpeg.endings(data))
        return one if one.rgb == other.rgb else None
    return None


def _decode(
    data: bytes, kind: Format, max_decoded_bytes: int, share_bytes: int | None, share_s: float | None
) -> Decoded:
    """Parse, check, decode, resize, convert colours, turn upright. Errors of the parsers pass through unchanged."""
    image = parse(data, kind)
    size = image.size
    scaled = image.draft(None, (SCALED_SIDE_PX, SCALED_SIDE_PX))  # None but for JPEG
    needed = check_size(data, image, kind, size, max_decoded_bytes)
    if (share_bytes is not None and needed.memory_bytes > share_bytes) or (share_s and needed.cpu_s > share_s):
        raise LargerShareError(needed.memory_bytes)
    box = box_of(image, kind)
    image.load()
    orientation = orientation_of(image.info.get("exif"))
    shown = on_canvas(image, box) if box else image
    square = upright(fit(shown, scaled[1] if scaled else None), orientation)
    width, height = reversed(size) if orientation >= 5 else size
    return Decoded(square.tobytes(), kind, width, height)
