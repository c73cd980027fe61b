"""Estimates from a file's header what decoding will cost, and refuses what costs too much.

The rules. Decoding may need at most `max_decoded_bytes` of memory at its peak. The number of pixels would be a poor
measure: at 16 megapixels a baseline JPEG needs 2 MB, a PNG 65 or 130 MB and a WebP 260 MB. A file may have no more
parts than encoders write (`jpeg`, `png`, `gif`); frames are not counted, because only the first one is decoded.
`check_header` reads the bytes before any parser does; `check_size` uses what the parser has found.
"""

from typing import NamedTuple

from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from gateway.errors import ImageTooLargeError
from gateway.imaging import gif, jpeg, png, webp
from gateway.imaging.formats import Format, spelling, with_article
from gateway.imaging.parsers import box_of

BYTES_PER_PIXEL = {"WEBP": 16.4, "AVIF": 12.2, "HEIC": 12.2}
"""Peak memory of the formats where the decoder alone determines it. Measured: docs/decisions/0002-preprocessing.md."""
BYTES_PER_PIXEL_BY_MODE = {"P": 5.3} | dict.fromkeys(("1", "L", "RGB", "RGBX", "CMYK", "YCbCr"), 4.3)
"""Peak memory of the other formats: Pillow stores three channels in four bytes. One channel takes less memory but the
same time, and a file of 10 KB may be a PNG of 88 megapixels."""
OTHER_MODES = 8.3
"""Alpha is premultiplied in a copy; 16-bit values are converted through 32 bits."""
WITH_ALPHA = 8
"""More bytes per pixel where an alpha channel is made."""
JPEG_MIN_BYTES_PER_PIXEL = 2.4
"""Scaled decoding takes time and little memory. At this value up to 112 megapixels are accepted, which take 0.2 s."""
NS_PER_PIXEL = {"JPEG": 4, "GIF": 10}
OTHER_NS_PER_PIXEL = 18
NS_PER_PIXEL_AND_SCAN = 1
"""CPU time, measured on pictures with sensor noise at 1 to 4 megapixels; one of 0.1 megapixels takes 1 to 2 ms. Hostile
files may take longer, but not several times as long."""
PNG_END = b"IEND\xaeB`\x82"
BYTES_PER_ROW = 32
"""Pointers and padding: the cost of a picture that is one pixel wide."""


class Needs(NamedTuple):
    """The estimated cost of decoding one picture."""

    memory_bytes: int
    cpu_s: float


def check_header(data: bytes, kind: Format, max_decoded_bytes: int) -> int:
    """Refuse by the bytes alone what no parser may read.

    Returns:
        Memory in bytes, at least what `check_size` will find, of formats whose parser allocates some; else 0.

    Raises:
        ImageTooLargeError: a WebP or GIF whose parser would allocate too much at once.
        ImageTooComplexError: more parts than any encoder writes.
        UnsupportedImageTypeError: a kind of JPEG or PNG that is not read.
    """
    if kind == "WEBP":
        return check_budget(kind, webp.canvas(data), BYTES_PER_PIXEL[kind], max_decoded_bytes)
    if kind == "GIF":
        return check_gif(gif.first_frame(data), max_decoded_bytes)
    if kind == "JPEG":
        jpeg.check_kind(jpeg.first_scan(data).frame)
    elif kind == "PNG":
        png.check_kind(data)
    return 0


def check_size(data: bytes, image: ImageFile, kind: Format, size: tuple[int, int], max_decoded_bytes: int) -> Needs:
    """Refuse a picture that needs too much memory to decode.

    Args:
        data: the whole file.
        image: parsed, and set to scaled decoding where that is possible; no pixel is decoded yet.
        kind: its format.
        size: width and height in the header.
        max_decoded_bytes: the limit.

    Raises:
        ImageTooLargeError: the estimate is over `max_decoded_bytes`.
        ImageTooComplexError: a JPEG with too many scans.
    """
    per_pixel = BYTES_PER_PIXEL.get(kind) or BYTES_PER_PIXEL_BY_MODE.get(image.mode, OTHER_MODES)
    if isinstance(image, JpegImageFile):
        return check_jpeg(data, image, per_pixel, size, max_decoded_bytes)
    if box_of(image, kind):
        per_pixel += WITH_ALPHA  # the frame is cut out and laid on a canvas
    elif "transparency" in image.info:
        per_pixel += 4 if image.mode == "P" else WITH_ALPHA
    elif kind == "TIFF":
        per_pixel *= 2  # its parser rotates the picture itself, at full size
    needed_bytes = check_budget(kind, size, per_pixel, max_decoded_bytes)
    return Needs(needed_bytes, size[0] * size[1] * NS_PER_PIXEL.get(kind, OTHER_NS_PER_PIXEL) / 1e9)


def check_gif(first: gif.FirstFrame, max_decoded_bytes: int) -> int:
    """The estimate for a GIF: without transparency for the limit, with all that it may cost for the share."""
    per_pixel = BYTES_PER_PIXEL_BY_MODE["P"]
    needed_bytes = check_budget("GIF", first.canvas, per_pixel, max_decoded_bytes)
    if not first.transparent:
        return needed_bytes
    return min(max_decoded_bytes, int(needed_bytes * (per_pixel + WITH_ALPHA) / per_pixel))


def check_jpeg(
    data: bytes, image: JpegImageFile, per_pixel: float, size: tuple[int, int], max_decoded_bytes: int
) -> Needs:
    """Scaled decoding yields few pixels, but a JPEG in several scans keeps all coefficients in memory."""
    pixels = size[0] * size[1]
    per_pixel *= image.width * image.height / pixels
    first = jpeg.first_scan(data)
    if first.several:
        per_pixel += coefficient_bytes_per_pixel(image)
    needed_bytes = check_budget("JPEG", size, max(per_pixel, JPEG_MIN_BYTES_PER_PIXEL), max_decoded_bytes)
    scans = jpeg.check_scans(data, first.at, pixels) if first.several else 0
    return Needs(needed_bytes, pixels * (NS_PER_PIXEL["JPEG"] + scans * NS_PER_PIXEL_AND_SCAN) / 1e9)


def coefficient_bytes_per_pixel(image: JpegImageFile) -> float:
    """Memory for the coefficients of a JPEG in several scans: libjpeg keeps two bytes per sample."""
    areas = [across * down for _, across, down, _ in image.layer]
    whole = max(across for _, across, *_ in image.layer) * max(down for *_, down, _ in image.layer)
    return 2 * sum(areas) / whole


def check_budget(kind: Format, size: tuple[int, int], per_pixel: float, max_decoded_bytes: int) -> int:
    """The estimate in bytes, if it is within the limit."""
    width, height = size
    needed = width * height * per_pixel + height * BYTES_PER_ROW
    if needed > max_decoded_bytes:
        raise too_large(kind, width * height, needed / max_decoded_bytes)
    return int(needed)


def too_large(kind: Format, pixels: int, excess: float) -> ImageTooLargeError:
    """The error, with the number of pixels that would be accepted."""
    return ImageTooLargeError(
        f"This {spelling(kind)} has {pixels / 1e6:.1f} megapixels, and at most {pixels / excess / 1e6:.1f} "
        "of its kind can be decoded here: send a smaller version of the picture."
    )


def truncated(kind: Format) -> str:
    """The error detail for an incomplete file."""
    return f"This is only the beginning of {with_article(kind)}: send the whole file."


def damaged(kind: Format) -> str:
    """The error detail for a file that cannot be decoded."""
    return f"This {spelling(kind)} is damaged: open it in an image program, save it again and send that."


def ends_early(data: bytes, kind: Format) -> bool:
    """Whether the end of the file is missing, as far as its format shows it. Called when decoding has failed."""
    if kind == "JPEG":
        return data.find(b"\xff\xd9", jpeg.first_scan(data).at) < 0
    if kind == "WEBP":
        return webp.ends_early(data)
    if kind == "BMP":
        return len(data) < int.from_bytes(data[2:6], "little")
    if kind in ("AVIF", "HEIC"):
        return boxes_end(data) > len(data)
    return (kind == "PNG" and PNG_END not in data) or (kind == "GIF" and not gif.is_complete(data))


def boxes_end(data: bytes) -> int:
    """Offset at which the last top-level box of an ISO media file ends, by its announced length."""
    at = 0
    for _ in range(64):
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        if size < 8:
            break
        at += size
    return at
