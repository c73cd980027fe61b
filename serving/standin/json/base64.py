"""Base64 as absl::Base64Unescape decodes it in the real server (docs/tensorflow-serving.md, "base64")."""

import re

import pybase64

from serving.standin.errors import StatusError

_SPACE = re.compile(r"[ \t\n\v\f\r]+")
_DIGITS_AND_PADDING = re.compile(r"([A-Za-z0-9+/]*)([=.]*)")


def decode_base64(text: str) -> bytes:
    """Decode the standard alphabet. White space is ignored; padding may be missing, but not wrong.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    try:
        return pybase64.b64decode(text, validate=True)  # 0.02 ms for a picture; the standard library takes 1 ms
    except ValueError:
        return _decode_leniently(_SPACE.sub("", text))


def _decode_leniently(text: str) -> bytes:
    match = _DIGITS_AND_PADDING.fullmatch(text)
    missing = -len(match[1]) % 4 if match else 3
    if match is None or missing == 3 or len(match[2]) not in (0, missing):
        raise StatusError.invalid("Unable to base64 decode")
    return pybase64.b64decode(match[1] + "=" * missing)
