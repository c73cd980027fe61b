"""The accepted formats, and how their files begin. The first bytes decide, never a file name or a Content-Type."""

import struct
from collections.abc import Collection
from importlib.util import find_spec
from typing import Literal, get_args

from gateway.errors import ImageEmptyError, UnsupportedImageTypeError

Format = Literal["JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC", "TIFF", "BMP"]
ALL_FORMATS: tuple[Format, ...] = get_args(Format)
"""For trusted files, as in training."""
WEB_FORMATS: tuple[Format, ...] = ("JPEG", "PNG", "WEBP", "GIF")
"""What browsers and phones send. Each extra parser widens the attack surface."""

# How files of other kinds begin, and what to call them. Longer beginnings come before shorter ones.
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
    **dict.fromkeys(
        (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR"),
        "a camera's raw file",
    ),
    b"II\xbc\x01": "a JPEG XR picture",
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x1a\x45\xdf\xa3": "a video",
    b"{\\rtf": "a text document",
}
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def check_formats(formats: Collection[Format]) -> None:
    """Check that all of these can be decoded here. Called when a process starts.

    Raises:
        ModuleNotFoundError: HEIC is among them and the optional package pi-heif is not installed.
    """
    if "HEIC" in formats and find_spec("pi_heif") is None:
        raise ModuleNotFoundError(
            "HEIC pictures need the package pi-heif, which is not installed: "
            "pip install pi-heif, or remove HEIC from the list of formats",
            name="pi_heif",
        )


def identify(data: bytes, formats: Collection[Format]) -> Format:
    """The format of a file, if it is one of `formats`.

    Raises:
        ImageEmptyError: there are no bytes.
        UnsupportedImageTypeError: another format; the detail names it, if it is known, and the formats to send.
    """
    if not data:
        raise ImageEmptyError("The file is empty: send the bytes of a picture.")
    kind = format_of(data)
    if kind is not None and kind in formats:
        return kind
    what = f"{with_article(kind)} picture" if kind else other_kind(data)
    raise UnsupportedImageTypeError(f"This is {what}: send {in_words(formats)}.")


def format_of(data: bytes) -> Format | None:
    """The format that the first bytes announce, accepted or not; None for other files."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")) and data[8:10] != CANON_RAW:
        return "TIFF"
    if data.startswith(b"BM") and len(data) >= 18 and data[14:18] in BMP_HEADERS:
        return "BMP"
    return format_of_brands(brands(data))


CANON_RAW = b"CR"
"""Behind the header of a TIFF: a CR2 file."""
BMP_HEADERS = {struct.pack("<L", size) for size in (12, 40, 52, 56, 64, 108, 124)}
"""Length of a BMP's header: many text files begin with `BM`, too."""


def brands(data: bytes) -> list[bytes]:
    """The brands of an ISO media file: the major brand, then the compatible ones. Empty for other files."""
    if data[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(data[:4]), 256)
    return [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]


def format_of_brands(names: list[bytes]) -> Format | None:
    """The format that these brands announce. AVIF is tried first: its files may also name `mif1`, the general brand."""
    if not HEIC_BRANDS.union((b"avif", b"avis")).intersection(names[:1]):
        return None
    return "AVIF" if {b"avif", b"avis"}.intersection(names) else "HEIC"


def other_kind(data: bytes) -> str:
    """A name for a file that is in none of the accepted formats."""
    for start, what in OTHERS.items():
        if data.startswith(start):
            return what
    text = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if text.startswith((b"<?xml", b"<svg", b"<!--")) and b"<svg" in text:
        return "an SVG drawing"
    if data[8:10] == CANON_RAW or data[4:12] == b"ftypcrx ":
        return "a camera's raw file"
    if data[4:8] == b"ftyp":
        return "a video"
    return "not a picture that we can read"


def not_read(what: str, instead: str) -> UnsupportedImageTypeError:
    """The error for a file of an accepted format, but of a kind that is not read."""
    return UnsupportedImageTypeError(f"This is {what}, which is not read here: save it as {instead} and send that.")


def in_words(formats: Collection[Format]) -> str:
    """For example `JPEG, PNG, WebP or GIF`."""
    *most, last = (spelling(name) for name in formats)
    return f"{', '.join(most)} or {last}" if most else last


def with_article(kind: Format) -> str:
    """For example `a JPEG`, `an AVIF`."""
    return f"{'an' if kind == 'AVIF' else 'a'} {spelling(kind)}"


def spelling(kind: Format) -> str:
    """The name as it is usually written."""
    return "WebP" if kind == "WEBP" else kind
