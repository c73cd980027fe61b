"""What a file's header says of the work to come, asked before that work is done.

The rule: a picture may not need more than `max_decoded_bytes` of memory at its peak. Pixels alone would be a
poor measure: at 16 megapixels a baseline JPEG needs 2 MB, a PNG 65 or 130 MB and a WebP 260 MB.
`check_header` looks at the bytes, before any parser does, and `check_size` at what the parser then says.
"""

import struct
from collections.abc import Iterator

from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from gateway.errors import ImageDecodeError, ImageTooLargeError, ImageTruncatedError
from gateway.imaging.formats import Format, spelling, with_article

BYTES_PER_PIXEL = {"WEBP": 16.4, "AVIF": 12.2, "HEIC": 12.2}
"""Peak of the formats whose decoder decides. Measured: docs/decisions/0002-preprocessing.md."""
BYTES_PER_PIXEL_BY_MODE = {"P": 5.3} | dict.fromkeys(("1", "L", "RGB", "RGBX", "CMYK", "YCbCr"), 4.3)
"""Peak of the other formats: Pillow keeps three channels in four bytes. One channel takes less memory, but as
much time, and a PNG of 88 megapixels may be a file of 10 KB."""
OTHER_MODES = 8.3
"""Alpha is premultiplied in a copy; 16 bits go by way of NumPy."""
JPEG_MIN_BYTES_PER_PIXEL = 2.4
"""Scaled decoding takes hardly any memory, but time: at this price 112 megapixels pass, in 0.2 s."""
PNG_END = b"IEND\xaeB`\x82"
BYTES_PER_ROW = 32
"""Pointers and padding: what a picture one pixel wide costs."""
JPEG_MAX_SEGMENTS = 10_000
GIF_IMAGE, GIF_EXTENSION, GIF_TRAILER = b",!;"
GIF_MAX_PIECES = 200_000
"""Encoders make pieces of 255 bytes, so this is 50 MB; walking them takes 20 ms."""


def check_header(data: bytes, kind: Format, max_decoded_bytes: int) -> None:
    """Refuse by the bytes alone what no parser shall see.

    Raises:
        ImageTooLargeError: a WebP or GIF whose parser would allocate too much at once.
        ImageTruncatedError: the end is missing where Pillow would not notice.
    """
    if kind == "WEBP":
        check_budget(kind, webp_size(data), BYTES_PER_PIXEL[kind], max_decoded_bytes)
    elif kind == "GIF":
        size, complete = walk_gif(data)
        check_budget(kind, size, BYTES_PER_PIXEL_BY_MODE["P"], max_decoded_bytes)
        if not complete:
            raise ImageTruncatedError(truncated(kind))
    elif kind == "PNG" and PNG_END not in data:
        raise ImageTruncatedError(truncated(kind))


def check_size(image: ImageFile, kind: Format, size: tuple[int, int], max_decoded_bytes: int) -> None:
    """Refuse what would take too much memory to decode.

    Args:
        image: parsed, and set to scaled decoding where that is possible; no pixel decoded.
        kind: its format.
        size: width and height that the file announces.
        max_decoded_bytes: the limit.

    Raises:
        ImageTooLargeError: the estimate is over `max_decoded_bytes`.
    """
    per_pixel = BYTES_PER_PIXEL.get(kind) or BYTES_PER_PIXEL_BY_MODE.get(image.mode, OTHER_MODES)
    if isinstance(image, JpegImageFile):
        scaled = (image.width * image.height) / (size[0] * size[1])
        per_pixel = max(per_pixel * scaled + coefficient_bytes_per_pixel(image), JPEG_MIN_BYTES_PER_PIXEL)
    elif "transparency" in image.info:
        per_pixel += 4 if image.mode == "P" else 8
    elif kind == "TIFF":
        per_pixel *= 2  # its parser turns the picture itself, at full size
    check_budget(kind, size, per_pixel, max_decoded_bytes)


def coefficient_bytes_per_pixel(image: JpegImageFile) -> float:
    """What libjpeg keeps of the whole picture: nothing if it is all in one scan, else two bytes a sample."""
    assert image.fp is not None
    channels = len(image.layer)
    scan_header = b"\xff\xda" + struct.pack(">HB", 6 + 2 * channels, channels)
    start = image.fp.tell() - 8 - 2 * channels
    image.fp.seek(start)
    in_one_scan = image.fp.read(2 * channels + 8).startswith(scan_header)
    if in_one_scan and "progressive" not in image.info:
        return 0
    areas = [across * down for _, across, down, _ in image.layer]
    whole = max(across for _, across, *_ in image.layer) * max(down for *_, down, _ in image.layer)
    return 2 * sum(areas) / whole


def check_budget(kind: Format, size: tuple[int, int], per_pixel: float, max_decoded_bytes: int) -> None:
    """One picture's estimate against the limit."""
    width, height = size
    needed = width * height * per_pixel + height * BYTES_PER_ROW
    if needed > max_decoded_bytes:
        raise too_large(kind, width * height, needed / max_decoded_bytes)


def too_large(kind: Format, pixels: int, excess: float) -> ImageTooLargeError:
    """The error, with the number of pixels that would have passed."""
    return ImageTooLargeError(
        f"This {spelling(kind)} has {pixels / 1e6:.1f} megapixels, and at most {pixels / excess / 1e6:.1f} "
        "of its kind can be decoded here: send a smaller version of the picture."
    )


def truncated(kind: Format) -> str:
    """For the sender of an incomplete file."""
    return f"This is only the beginning of {with_article(kind)}: send the whole file."


def damaged(kind: Format) -> str:
    """For the sender of a file that cannot be decoded."""
    return f"This {spelling(kind)} is damaged: open it in an image program, save it anew and send that."


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas, which the decoder allocates as soon as it is made; 0 where unsaid."""
    kind, body = data[12:16], data[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def walk_gif(data: bytes) -> tuple[tuple[int, int], bool]:
    """Width and height that the first frame needs, and whether the file goes on to its trailer."""
    width, height = struct.unpack_from("<HH", data.ljust(13, b"\0"), 6)
    framed, block = False, 0
    try:
        for at in gif_blocks(data):
            block = data[at]
            if block == GIF_IMAGE and not framed:
                left, top, frame_width, frame_height = struct.unpack_from("<4H", data, at + 1)
                width, height, framed = max(width, left + frame_width), max(height, top + frame_height), True
    except (IndexError, struct.error):  # beyond the end
        return (width, height), False
    return (width, height), block == GIF_TRAILER


def gif_blocks(data: bytes) -> Iterator[int]:
    """Offsets of a GIF's blocks, as far as they go.

    Raises:
        IndexError: the file ends within a block.
        ImageDecodeError: more pieces than any encoder makes.
    """
    at, inside = 13 + colour_table_bytes(data[10]), False
    for _ in range(GIF_MAX_PIECES):
        first = data[at]
        if inside:  # a piece: its length, then that many bytes; the empty one ends the block
            inside = first > 0
            at += 1 + first
            continue
        yield at
        if first == GIF_TRAILER:
            return
        inside = first in (GIF_IMAGE, GIF_EXTENSION)
        at += 11 + colour_table_bytes(data[at + 9]) if first == GIF_IMAGE else 2 if inside else 1
    raise ImageDecodeError(damaged("GIF"))


def colour_table_bytes(flags: int) -> int:
    """Size of the colour table that a GIF descriptor's flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def ends_early(data: bytes, kind: Format) -> bool:
    """Does the file lack its end, as far as its format lets one see? Asked when decoding has failed."""
    if kind == "JPEG":
        return data.find(b"\xff\xd9", jpeg_scan(data)) < 0
    if kind == "WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if kind == "BMP":
        return len(data) < int.from_bytes(data[2:6], "little")
    if kind in ("AVIF", "HEIC"):
        return boxes_end(data) > len(data)
    return False


def jpeg_scan(data: bytes) -> int:
    """Where a JPEG's pixels begin; the end of the data if they do not. A thumbnail before them does not count."""
    at = 2
    for _ in range(JPEG_MAX_SEGMENTS):
        start, marker, length = data[at : at + 1], data[at + 1 : at + 2], data[at + 2 : at + 4]
        if start != b"\xff" or marker == b"\xff":  # padding
            at += 1
        elif marker == b"\xda" or len(length) < 2:
            break
        else:
            at += 2 + int.from_bytes(length)
    return at


def boxes_end(data: bytes) -> int:
    """Where the last top-level box of an ISO media file says it ends."""
    at = 0
    for _ in range(64):
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        if size < 8:
            break
        at += size
    return at
