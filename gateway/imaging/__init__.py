"""File bytes -> pixels, for the whole repository. `docs/preprocessing.md` describes the steps."""

from gateway.imaging.fingerprint import fingerprint, golden_picture
from gateway.imaging.formats import ALL_FORMATS, WEB_FORMATS, Format, check_formats, format_of
from gateway.imaging.input_size import RGB_BYTES, SIDE_PX, Pixels
from gateway.imaging.picture import MAX_DECODED_BYTES, Decoded, Picture, decode, preprocess, read_picture

__all__ = [
    "ALL_FORMATS",
    "MAX_DECODED_BYTES",
    "RGB_BYTES",
    "SIDE_PX",
    "WEB_FORMATS",
    "Decoded",
    "Format",
    "Picture",
    "Pixels",
    "check_formats",
    "decode",
    "fingerprint",
    "format_of",
    "golden_picture",
    "preprocess",
    "read_picture",
]
