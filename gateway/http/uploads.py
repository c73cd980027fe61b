"""The body of an upload to the bytes of its pictures: a multipart form, or the raw body. Strict, and in memory only.

FastAPI's own form parsing is not used: it writes to disk, lets the last of two equal fields win, accepts a form that
was cut off, and applies no limit before it has read everything. `FormReader` reads what RFC 2046 and RFC 7578 allow,
also what few clients write (a text before the first part, folded fields), and refuses what two parsers could read
differently.
"""

import binascii
import re
from collections.abc import AsyncIterator, Callable, Mapping

import pybase64
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from gateway.errors import (
    BodyTooLargeError,
    DuplicateFieldError,
    InvalidMultipartError,
    MissingImageError,
    NotAFileError,
    TooManyImagesError,
    UnknownFieldError,
    UnsupportedImageTypeError,
    UnsupportedMediaTypeError,
)

FIELD = "image"
FORM = "multipart/form-data"
UNTYPED = ("", "application/octet-stream", "binary/octet-stream")
"""Types of a body of which its bytes must say what it is."""
URL_ENCODED = "application/x-www-form-urlencoded"
"""What `curl --data-binary` sends, whatever the bytes are."""
SMALLER = "scale the picture down before you send it"
MAX_LENGTH_DIGITS = 18
"""Of a Content-Length; Python refuses to convert thousands of digits."""


async def read_picture_bytes(request: Request, *, max_bytes: int) -> bytes:
    """The one picture of `POST /v1/classify`: the multipart file field `image`, or the raw body.

    Raises:
        GatewayError: 400, 413 or 415; see `errors`.
    """
    media_type, content_type = _content_type(request)
    if media_type == FORM:
        body = stream_body(request, max_bytes=max_bytes, advice=SMALLER)
        return binary((await _read_form(body, content_type, most=1))[0])
    if not media_type.startswith("image/") and media_type not in (*UNTYPED, URL_ENCODED):
        raise _wrong_type(media_type)
    data = binary(await read_body(request, max_bytes=max_bytes, advice=SMALLER))
    if media_type == URL_ENCODED and _URL_ENCODED.match(data):
        raise _wrong_type(media_type)
    return data


async def read_batch(request: Request, *, max_bytes: int, max_images: int) -> list[bytes]:
    """The pictures of `POST /v1/classify/batch`, in order: every file field `image` of the multipart form.

    Each is as it was sent; see `binary`.

    Raises:
        GatewayError: 400, 413 or 415; see `errors`.
    """
    media_type, content_type = _content_type(request)
    if media_type != FORM:
        raise _wrong_type(media_type, "Send multipart/form-data with a file field `image` for each picture.")
    body = stream_body(request, max_bytes=max_bytes, advice="send fewer pictures, or scale them down")
    return await _read_form(body, content_type, most=max_images)


def _content_type(request: Request) -> tuple[str, str]:
    """The media type, and the whole field."""
    if (encoding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise UnsupportedMediaTypeError(
            f"The body has the Content-Encoding {encoding[:20]}; send it uncompressed, pictures are compressed already."
        )
    content_type = request.headers.get("content-type", "")
    return content_type.partition(";")[0].strip().lower(), content_type


_RAW_ADVICE = (
    "Send multipart/form-data with a file field `image`, or the bytes of the picture with their type, such as "
    "Content-Type: image/jpeg."
)


def _wrong_type(media_type: str, advice: str = _RAW_ADVICE) -> UnsupportedMediaTypeError:
    found = f"the type {media_type[:80]}" if media_type else "no Content-Type"
    return UnsupportedMediaTypeError(f"The body has {found}. {advice}")


# --- Base64 ----------------------------------------------------------------------------------------------------------

_URL_ENCODED = re.compile(rb"[ -~]{16}|[ -~]+\Z")
"""Such a body is ASCII; every picture has another byte among its first."""
_BASE64 = re.compile(rb"\s{0,8}[A-Za-z0-9+/_-]{32}")
"""No picture begins so: in each format a byte of the first 32 is none of these. With - and _ it is refused by name."""
MIN_LINE_BYTES = 16
"""Of base64, on average, for each CR and each LF. Encoders write 64 or 76; taking out millions of breaks costs time."""
_DATA_URL = re.compile(rb"(?i)\s{0,8}data:([^,]{0,200}),")


def binary(data: bytes) -> bytes:
    """A picture that was sent as base64, bare (with or without line breaks) or in a data URL; others as they are.

    Raises:
        UnsupportedImageTypeError: it cannot be decoded.
    """
    url = _DATA_URL.match(data)
    if not url and not _BASE64.match(data):
        return data
    text = data[url.end() if url else 0 :].strip()
    if url and not url[1].lower().endswith(b";base64"):
        raise UnsupportedImageTypeError("The file is a data URL without base64; send the bytes of the picture.")
    try:
        if (text.count(b"\r") + text.count(b"\n")) * MIN_LINE_BYTES > len(text):
            raise binascii.Error("hardly anything but line breaks")
        text = text.replace(b"\r", b"").replace(b"\n", b"").rstrip(b"=")
        return pybase64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as cause:
        raise UnsupportedImageTypeError(
            "The file is text that looks like base64 and cannot be decoded; send the bytes of the picture."
        ) from cause


# --- Forms -----------------------------------------------------------------------------------------------------------

MAX_BOUNDARY_BYTES = 70
"""RFC 2046, section 5.1.1."""
MAX_PADDING_BYTES = 100
"""Blanks after a boundary."""
MAX_FIELDS, MAX_FIELD_BYTES = 8, 4096
"""Of the head of a part: header fields, and bytes in each."""
MAX_HEAD_BYTES = MAX_FIELDS * (MAX_FIELD_BYTES + 2) + 4
READ = ("content-disposition", "content-type", "content-transfer-encoding")
"""The fields of a part that count (RFC 7578, section 4.8)."""
CODINGS = ("", "7bit", "8bit", "binary", "base64")
"""Content-Transfer-Encodings that are read; base64 is known by the bytes."""

_END_OF_LINE = re.compile(rb"--|[ \t]*\r\n")
_END_OF_LINE_BEGUN = re.compile(rb"-|[ \t]*\r?")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_FOLD = re.compile(rb"\r\n[ \t]+")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PARAMETER = re.compile(r""";\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)""")
_LET_A_LIBRARY = "let your HTTP library build the form"


async def _read_form(body: AsyncIterator[bytes], content_type: str, *, most: int) -> list[bytes]:
    boundary = _parameters(content_type)[1].get("boundary", "").encode("latin-1")
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise InvalidMultipartError(
            "The Content-Type names no usable boundary; let your HTTP library write that header."
        )
    form, pictures = FormReader(body, boundary), list[bytearray]()
    while await form.up_to_boundary(pictures[-1].extend if pictures else _ignore):
        _check_part(await form.head())
        if len(pictures) == most:
            raise _one_too_many(most)
        pictures.append(bytearray())
    async for _ in body:
        pass  # RFC 2046 allows a text after the last part
    if not pictures:
        raise MissingImageError(f"The form has no field `{FIELD}`; send the picture as `curl -F {FIELD}=@photo.jpg`.")
    return [bytes(picture) for picture in pictures]


def _ignore(_: memoryview) -> None:
    """What stands before the first part."""


def _check_part(fields: Mapping[str, str]) -> None:
    """Refuse a part before its content arrives.

    Raises:
        GatewayError: it is not a file of the field `image`, or it has an encoding that is not read.
    """
    kind, options = _parameters(fields.get("content-disposition", ""))
    if kind != "form-data" or "name" not in options:
        raise InvalidMultipartError(f"A part of the form has no name; {_LET_A_LIBRARY}.")
    if (name := options["name"].encode("latin-1").decode(errors="replace")) != FIELD:
        raise UnknownFieldError(f"The form has a field {name[:40]!r}; the only one is `{FIELD}`.")
    media_type = fields.get("content-type", "").partition(";")[0].strip().lower()
    typed = media_type.startswith("image/") or media_type in UNTYPED[1:]
    if not typed and not options.keys() & {"filename", "filename*"}:
        raise NotAFileError(
            f"The field `{FIELD}` has neither a file name nor the Content-Type of a picture, so it is text; send a "
            f"file, as in `curl -F {FIELD}=@photo.jpg`."
        )
    if (coding := fields.get("content-transfer-encoding", "").strip().lower()) not in CODINGS:
        raise InvalidMultipartError(
            f"A part has the Content-Transfer-Encoding {coding[:20]!a}; send the bytes of the picture as they are."
        )


def _one_too_many(most: int) -> DuplicateFieldError | TooManyImagesError:
    if most == 1:
        return DuplicateFieldError(
            f"The form has the field `{FIELD}` twice; send several pictures to /v1/classify/batch."
        )
    return TooManyImagesError(f"A batch may have at most {most} pictures; split it.")


def _parameters(field: str) -> tuple[str, dict[str, str]]:
    """`form-data; name="image"` -> ("form-data", {"name": "image"}).

    Raises:
        InvalidMultipartError: a parameter occurs twice, or there are thousands.
    """
    if len(field) > MAX_FIELD_BYTES:  # what follows takes quadratic time
        raise InvalidMultipartError(f"The Content-Type has more than {MAX_FIELD_BYTES:,} bytes; {_LET_A_LIBRARY}.")
    names = [found[1].lower() for found in _PARAMETER.finditer(field)]
    if len(set(names)) < len(names):
        raise InvalidMultipartError(f"A header of the form has a parameter twice; {_LET_A_LIBRARY}.")
    kind, parsed = parse_options_header(field)  # leaves out a file name that it cannot decode
    options = {name.decode("latin-1"): value.decode("latin-1") for name, value in parsed.items()}
    return kind.decode("latin-1"), dict.fromkeys(names, "") | options


class FormReader:
    """The parts of a multipart body as they arrive (RFC 2046, section 5.1)."""

    def __init__(self, body: AsyncIterator[bytes], boundary: bytes) -> None:
        self._body = body
        self._delimiter = b"\r\n--" + boundary
        self._data, self._at = b"\r\n", 0
        """What has arrived, and how far it has been read. The first boundary may be at the very beginning."""
        self._begun = False

    async def up_to_boundary(self, take: Callable[[memoryview], object]) -> bool:
        """Hand on everything before the next boundary.

        Returns:
            Whether a part follows.

        Raises:
            InvalidMultipartError: the body ends before the boundary, or the boundary's line does not end as it must.
        """
        while (found := self._data.find(self._delimiter, self._at)) < 0:
            tail = self._data.rfind(b"\r", max(self._at, len(self._data) - len(self._delimiter) + 1))
            self._hand_on(take, tail if tail >= 0 else len(self._data))
            await self._more()
        self._hand_on(take, found)
        self._at += len(self._delimiter)
        while not (line := _END_OF_LINE.match(self._data, self._at)):
            left = len(self._data) - self._at
            if left > MAX_PADDING_BYTES or not _END_OF_LINE_BEGUN.fullmatch(self._data, self._at):
                raise InvalidMultipartError(
                    f"A line of the form goes on after the boundary, or does not end in CR and LF; {_LET_A_LIBRARY}."
                )
            await self._more()
        self._begun = True
        last = line[0] == b"--"
        self._at = line.end() if last else line.end() - 2  # a head may be empty
        return not last

    async def head(self) -> dict[str, str]:
        """The fields of a part that count, by their names in small letters.

        Raises:
            InvalidMultipartError: they are malformed, too many or too long.
        """
        start = self._at
        while (end := self._data.find(b"\r\n\r\n", start)) < 0:
            left = len(self._data) - self._at
            if left > MAX_HEAD_BYTES:
                raise _malformed_head(self._data[self._at :])
            await self._more()
            start = max(0, left - 3)
        head = self._data[self._at + 2 : end]
        self._at = end + 4
        return _fields(head)

    def _hand_on(self, take: Callable[[memoryview], object], end: int) -> None:
        take(memoryview(self._data)[self._at : end])
        self._at = end

    async def _more(self) -> None:
        """Wait for the next piece of the body."""
        piece = await anext(self._body, b"")
        if not piece and self._begun:
            raise InvalidMultipartError("The form breaks off before its closing boundary; send it again, whole.")
        if not piece:
            raise InvalidMultipartError(
                "No line of the body begins with two hyphens and the boundary that its Content-Type names; "
                f"{_LET_A_LIBRARY}."
            )
        self._data, self._at = self._data[self._at :] + piece, 0


def _fields(head: bytes) -> dict[str, str]:
    lines = _FOLD.sub(b" ", head).split(b"\r\n") if head else []
    if len(lines) > MAX_FIELDS or any(len(line) > MAX_FIELD_BYTES for line in lines):
        raise _malformed_head(head)
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name) or b"\r" in value or b"\n" in value:
            raise _malformed_head(head)
        if (known := name.decode().lower()) in READ:
            if known in fields:
                raise InvalidMultipartError(f"A part of the form has its {known} twice; {_LET_A_LIBRARY}.")
            fields[known] = value.decode("latin-1").strip()
    return fields


def _malformed_head(head: bytes) -> InvalidMultipartError:
    """Names what is wrong with the head of a part, whole or as far as it has arrived."""
    lines = _FOLD.sub(b" ", head.removeprefix(b"\r\n")).split(b"\r\n")
    if _BARE_LF.search(head):
        wrong = "has a line that ends in LF alone; lines end in CR and LF"
    elif any(len(line) > MAX_FIELD_BYTES for line in lines):
        wrong = f"has a header field of more than {MAX_FIELD_BYTES:,} bytes, the file name included; shorten it"
    elif len(lines) > MAX_FIELDS:
        wrong = f"has more than {MAX_FIELDS} header fields; send Content-Disposition and Content-Type only"
    else:
        wrong = f"has a header field without a valid name; {_LET_A_LIBRARY}"
    return InvalidMultipartError(f"A part of the form {wrong}.")


# --- Bodies ----------------------------------------------------------------------------------------------------------


async def stream_body(request: Request, *, max_bytes: int, advice: str) -> AsyncIterator[bytes]:
    """The chunks of the body as they arrive. Nothing is kept here and nothing goes to disk.

    Args:
        advice: what the client can do where the body is too large.

    Raises:
        BodyTooLargeError: at once where Content-Length announces too much, else with the first byte too many.
        ClientDisconnect: the client left before the end.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > MAX_LENGTH_DIGITS or int(announced) > max_bytes):
        raise _too_large("body", max_bytes, advice)
    received, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        if chunk := message.get("body"):
            received += len(chunk)
            if received > max_bytes:
                raise _too_large("body", max_bytes, advice)
            yield chunk


async def read_body(request: Request, *, max_bytes: int, advice: str) -> bytes:
    """The whole body; see `stream_body`."""
    return b"".join([chunk async for chunk in stream_body(request, max_bytes=max_bytes, advice=advice)])


def picture_too_large(max_bytes: int) -> BodyTooLargeError:
    """For a picture inside a body that is small enough."""
    return _too_large("picture", max_bytes, SMALLER)


def _too_large(what: str, max_bytes: int, advice: str) -> BodyTooLargeError:
    return BodyTooLargeError(f"The {what} may have at most {max_bytes:,} bytes; {advice}.")
