"""The one parser that each format may reach.

Parsers are called by class: `Image.open` would choose among some forty plug-ins of Pillow, would read MPO files of
phones with a parser of their own although only the first picture is used, and would warn about large pictures that
`header` refuses by a better measure.
"""

from io import SEEK_CUR, BytesIO

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

from gateway.imaging import png, tiff, webp
from gateway.imaging.formats import Format, check_formats, not_read

Box = tuple[int, int, int, int]
"""Left, upper, right and lower edge, in pixels."""


class JpegFile(JpegImagePlugin.JpegImageFile):
    """Pillow's parser without the search for a resolution in EXIF, which is slow and warns about every odd block."""

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file)
        self.decodermaxblock = len(file.getvalue())  # libjpeg decodes arithmetic coding from one piece only

    def _read_dpi_from_exif(self) -> None:
        pass


def keep_metadata(self: JpegImagePlugin.JpegImageFile, marker: int) -> None:
    """Keep the first EXIF block and the parts of the colour profile; skip every other segment of metadata unread."""
    assert self.fp is not None
    length = max(0, int.from_bytes(self.fp.read(2)) - 2)
    if marker not in (APP1, APP2):
        self.fp.seek(length, SEEK_CUR)
        return
    body = self.fp.read(length)
    if marker == APP1 and body.startswith(b"Exif\0\0"):
        self.info.setdefault("exif", body)
    elif marker == APP2 and body.startswith(b"ICC_PROFILE\0") and len(body) > PROFILE_HEADER_BYTES:
        self.icclist.append(body)


APP1, APP2, COMMENT = 0xFFE1, 0xFFE2, 0xFFFE
PROFILE_HEADER_BYTES = 14
"""Before each part of a colour profile: a name, the part's number, the number of parts."""
# For all of this process: Pillow's own functions for these segments fail where one is shorter than usual.
JpegImagePlugin.MARKER |= dict.fromkeys((*range(0xFFE0, 0xFFF0), COMMENT), ("", "", keep_metadata))


class PngFile(PngImagePlugin.PngImageFile):
    """Pillow's parser, on what `png.needed` leaves of the file.

    The transparent colour is in the depth of the decoded pixels, instead of the file's.
    """

    def __init__(self, file: BytesIO) -> None:
        self.needed = png.needed(file.getvalue())
        super().__init__(BytesIO(self.needed.file))

    def _open(self) -> None:
        super()._open()
        self.info["icc_profile"] = self.needed.profile
        self.box = self.tile[0].extents or (0, 0, *self.size)
        key, packing = self.info.get("transparency"), self.tile[0].args
        if packing in ("L;2", "L;4") and isinstance(key, int):
            self.info["transparency"] = key * (85 if packing == "L;2" else 17)
        elif packing == "RGB;16B" and isinstance(key, tuple):
            self.info["transparency"] = tuple(channel >> 8 for channel in key)

    def load_end(self) -> None:
        super().load_end()
        seen = self.getbbox()  # where the last row is black, it may be missing
        doubtful = self.info.get("interlace") or seen is None or seen[3] < self.box[3]
        if doubtful and not png.is_whole(self.needed.file):
            raise EOFError("rows of pixels are missing")


class TiffFile(TiffImagePlugin.TiffImageFile):
    """Pillow's parser with libtiff's decoder, for those kinds that both read right."""

    def _open(self) -> None:
        assert self.fp is not None
        if self.fp.read(4) == b"MM\0+":  # Pillow takes it for a small one
            raise tiff.unread("a big-endian BigTIFF")
        self.fp.seek(0)
        super()._open()

    def _setup(self) -> None:
        tiff.check_tags(self.tag_v2)
        try:
            super()._setup()
        except SyntaxError as cause:
            raise tiff.unread("a TIFF in another layout of samples") from cause
        self.info["inverted"] = self.mode.startswith("I;16") and tiff.is_inverted(self.tag_v2)


class BmpFile(BmpImagePlugin.BmpImageFile):
    """Pillow's parser, which knows what it does not read."""

    def _open(self) -> None:
        try:
            super()._open()
        except OSError as cause:
            if str(cause).startswith("Unsupported BMP"):
                raise not_read("a BMP in an unusual form", "a PNG") from cause
            raise


# Its own decoder of uncompressed files takes the planes of 16-bit colours for 8 bits; libtiff's does not.
TiffImagePlugin.READ_LIBTIFF = True


class WebpFile(WebPImagePlugin.WebPImageFile):
    """Pillow's parser, on what is whole of the file."""

    def __init__(self, file: BytesIO) -> None:
        super().__init__(BytesIO(webp.whole(file.getvalue())))


PARSERS: dict[Format, type[ImageFile]] = {
    "JPEG": JpegFile,
    "PNG": PngFile,
    "WEBP": WebpFile,
    "GIF": GifImagePlugin.GifImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "TIFF": TiffFile,
    "BMP": BmpFile,
}


def parse(data: bytes, kind: Format) -> ImageFile:
    """Read the header with the format's own parser. It decodes no pixel, but allocates the canvas of a WebP."""
    if kind == "HEIC":
        check_formats([kind])
        from pi_heif import HeifImageFile

        parsed: ImageFile = HeifImageFile(BytesIO(data))
        return parsed
    return PARSERS[kind](BytesIO(data))


def box_of(image: ImageFile, kind: Format) -> Box | None:
    """Where a first frame lies that does not cover its canvas; None where it does."""
    box = image.tile[0].extents if kind in ("GIF", "PNG") else None
    return None if box == (0, 0, *image.size) else box
