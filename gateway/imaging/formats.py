"""Which formats there are, how their bytes begin, and the one parser each may reach.

The first bytes decide, never a name or a Content-Type. Parsers are called by class: `Image.open` would choose
among Pillow's forty-odd plug-ins, read phones' MPO with a parser of its own where the first picture is all
we want, and warn of large pictures where `header` refuses them by a better measure.
"""

import struct
from collections.abc import Collection
from importlib.util import find_spec
from io import BytesIO
from typing import Literal, get_args

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ImageFile import ImageFile

from gateway.errors import ImageEmptyError, UnsupportedImageTypeError

Format = Literal["JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC", "TIFF", "BMP"]
ALL_FORMATS: tuple[Format, ...] = get_args(Format)
"""For files one trusts, as training does."""
WEB_FORMATS: tuple[Format, ...] = ("JPEG", "PNG", "WEBP", "GIF")
"""What browsers and phones send. Each extra parser widens the attack surface."""

# Text is unpacked before any pixel: 60 chunks made 54 MB of a 55 KB file under Pillow's own limit, 64 MiB.
PngImagePlugin.MAX_TEXT_MEMORY = 4 * 1024 * 1024

# How files begin that are not a Format, and what to call them. Longer beginnings before shorter ones.
OTHERS = {
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript document",
    b"\xc5\xd0\xd3\xc6": "a PostScript document",
    b"8BPS": "a Photoshop document",
    b"\0\0\1\0": "an icon",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"FUJIFILMCCD-RAW": "a camera's raw file",
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x1a\x45\xdf\xa3": "a video",
    b"{\\rtf": "a text document",
}
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


class JpegFile(JpegImagePlugin.JpegImageFile):
    """Pillow's parser, but it seeks no resolution in EXIF: slow, and it warns of every odd block."""

    def _read_dpi_from_exif(self) -> None:
        pass


class PngFile(PngImagePlugin.PngImageFile):
    """Pillow's parser, but the transparent colour has the depth of the pixels and not that of the file."""

    def _open(self) -> None:
        super()._open()
        key, packing = self.info.get("transparency"), self.tile[0].args if self.tile else None
        if packing in ("L;2", "L;4") and isinstance(key, int):
            self.info["transparency"] = key * (85 if packing == "L;2" else 17)
        elif packing == "RGB;16B" and isinstance(key, tuple):
            self.info["transparency"] = tuple(channel >> 8 for channel in key)


PARSERS: dict[Format, type[ImageFile]] = {
    "JPEG": JpegFile,
    "PNG": PngFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}


def parse(data: bytes, kind: Format) -> ImageFile:
    """Read the header with the format's own parser. No pixel is decoded, but a WebP's canvas is allocated."""
    if kind == "HEIC":
        check_formats([kind])
        from pi_heif import HeifImageFile

        parsed: ImageFile = HeifImageFile(BytesIO(data))
        return parsed
    return PARSERS[kind](BytesIO(data))


def check_formats(formats: Collection[Format]) -> None:
    """Can all of these be decoded here? To be asked when a process starts.

    Raises:
        ModuleNotFoundError: HEIC is wanted and the optional package pi-heif is not installed.
    """
    if "HEIC" in formats and find_spec("pi_heif") is None:
        raise ModuleNotFoundError(
            "HEIC pictures need the package pi-heif, which is not installed: "
            "pip install pi-heif, or take HEIC off the list of formats",
            name="pi_heif",
        )


def identify(data: bytes, formats: Collection[Format]) -> Format:
    """The format of a file, if it is one of `formats`.

    Raises:
        ImageEmptyError: there is not one byte.
        UnsupportedImageTypeError: any other; the detail names what it is, if we know, and what to send.
    """
    if not data:
        raise ImageEmptyError("The file is empty: send the bytes of a picture.")
    kind = format_of(data)
    if kind is not None and kind in formats:
        return kind
    what = f"{with_article(kind)} picture" if kind else other_kind(data)
    raise UnsupportedImageTypeError(f"This is {what}: send {in_words(formats)}.")


def format_of(data: bytes) -> Format | None:
    """By the first bytes."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if data.startswith(b"BM") and len(data) >= 18 and data[14:18] in BMP_HEADERS:
        return "BMP"
    return format_of_brands(brands(data))


BMP_HEADERS = {struct.pack("<L", size) for size in (12, 40, 52, 56, 64, 108, 124)}
"""`BM` alone begins many a text."""


def brands(data: bytes) -> list[bytes]:
    """Of an ISO media file: its major brand, then those it is compatible with. Empty for other files."""
    if data[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(data[:4]), 256)
    return [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]


def format_of_brands(names: list[bytes]) -> Format | None:
    """AVIF first: it too may call itself `mif1`, the container's general name."""
    if not HEIC_BRANDS.union((b"avif", b"avis")).intersection(names[:1]):
        return None
    return "AVIF" if {b"avif", b"avis"}.intersection(names) else "HEIC"


def other_kind(data: bytes) -> str:
    """A name for what is not one of our formats."""
    for start, what in OTHERS.items():
        if data.startswith(start):
            return what
    text = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if text.startswith((b"<?xml", b"<svg", b"<!--")) and b"<svg" in text:
        return "an SVG drawing"
    if data[4:8] == b"ftyp":
        return "a video"
    return "not a picture that we can read"


def in_words(formats: Collection[Format]) -> str:
    """JPEG, PNG, WebP or GIF."""
    *most, last = (spelling(name) for name in formats)
    return f"{', '.join(most)} or {last}" if most else last


def with_article(kind: Format) -> str:
    """`a JPEG`, `an AVIF`."""
    return f"{'an' if kind == 'AVIF' else 'a'} {spelling(kind)}"


def spelling(kind: Format) -> str:
    """As people write it."""
    return "WebP" if kind == "WEBP" else kind
