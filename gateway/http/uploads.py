"""The body of an upload to the bytes of its pictures: a multipart form, or the raw body. Strict, and in memory only.

FastAPI's own form parsing is not used: it writes to disk, lets the last of two equal fields win, accepts a form that
was cut off, and applies no limit before it has read everything.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from gateway.errors import (
    BodyTooLargeError,
    DuplicateFieldError,
    InvalidMultipartError,
    MissingImageError,
    NotAFileError,
    TooManyImagesError,
    UnknownFieldError,
    UnsupportedMediaTypeError,
)

FIELD = "image"
MAX_BOUNDARY_BYTES = 70
"""RFC 2046 §5.1.1."""
SMALLER = "scale the picture down before you send it"
MAX_LENGTH_DIGITS = 18
"""Of a Content-Length; Python refuses to convert thousands of digits."""


async def read_picture_bytes(request: Request, *, max_bytes: int) -> bytes:
    """The one picture of `POST /v1/classify`: the multipart file field `image`, or the raw `image/*` body.

    Raises:
        GatewayError: 400, 413 or 415; see `errors`.
    """
    media_type, options = _content_type(request)
    if media_type.startswith("image/"):
        return await read_body(request, max_bytes=max_bytes, advice=SMALLER)
    if media_type != "multipart/form-data":
        raise _wrong_type(
            media_type,
            "Send multipart/form-data with a file field `image`, or the bytes of the picture with their type, such as "
            "Content-Type: image/jpeg.",
        )
    body = stream_body(request, max_bytes=max_bytes, advice=SMALLER)
    return (await _read_form(body, options, most=1))[0]


async def read_batch(request: Request, *, max_bytes: int, max_images: int) -> list[bytes]:
    """The pictures of `POST /v1/classify/batch`, in order: every file field `image` of the multipart form.

    Raises:
        GatewayError: 400, 413 or 415; see `errors`.
    """
    media_type, options = _content_type(request)
    if media_type != "multipart/form-data":
        raise _wrong_type(media_type, "Send multipart/form-data with a file field `image` for each picture.")
    body = stream_body(request, max_bytes=max_bytes, advice="send fewer pictures, or scale them down")
    return await _read_form(body, options, most=max_images)


def _content_type(request: Request) -> tuple[str, dict[bytes, bytes]]:
    if (encoding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise UnsupportedMediaTypeError(
            f"The body has the Content-Encoding {encoding[:20]}; send it uncompressed, pictures are compressed already."
        )
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    return media_type.decode("latin-1"), options


def _wrong_type(media_type: str, advice: str) -> UnsupportedMediaTypeError:
    found = f"the type {media_type[:80]}" if media_type else "no Content-Type"
    return UnsupportedMediaTypeError(f"The body has {found}. {advice}")


async def _read_form(body: AsyncIterator[bytes], options: dict[bytes, bytes], *, most: int) -> list[bytes]:
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise InvalidMultipartError(
            "The Content-Type names no usable boundary; let your HTTP library write that header."
        )
    form = _Form(most)
    parser = MultipartParser(boundary, form.callbacks())
    try:
        async for chunk in body:
            parser.write(chunk)
    except MultipartParseError as cause:
        raise InvalidMultipartError("The form is malformed; let your HTTP library build it.") from cause
    if not form.ended:
        raise InvalidMultipartError("The form breaks off before its closing boundary; send it again, whole.")
    if not form.pictures:
        raise MissingImageError(f"The form has no field `{FIELD}`; send the picture as `curl -F {FIELD}=@photo.jpg`.")
    return [bytes(picture) for picture in form.pictures]


@dataclass
class _Form:
    """The form as far as it has been parsed."""

    most: int
    pictures: list[bytearray] = field(default_factory=list)
    ended: bool = False
    _header: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _disposition: bytes = b""

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": lambda data, start, end: self.pictures[-1].extend(memoryview(data)[start:end]),
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._disposition = b""

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _open_part(self) -> None:
        """Refuse the part before its content arrives, or begin a picture."""
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise InvalidMultipartError("A part of the form has no name; let your HTTP library build the form.")
        name = options[b"name"].decode(errors="replace")
        if name != FIELD:
            raise UnknownFieldError(f"The form has a field {name[:40]!r}; the only one is `{FIELD}`.")
        if b"filename" not in options and b"filename*=" not in self._disposition:
            raise NotAFileError(f"The field `{FIELD}` is text; send a file, as in `curl -F {FIELD}=@photo.jpg`.")
        if len(self.pictures) == self.most:
            raise self._one_too_many()
        self.pictures.append(bytearray())

    def _one_too_many(self) -> DuplicateFieldError | TooManyImagesError:
        if self.most == 1:
            return DuplicateFieldError(
                f"The form has the field `{FIELD}` twice; send several pictures to /v1/classify/batch."
            )
        return TooManyImagesError(f"A batch may have at most {self.most} pictures; split it.")

    def _end(self) -> None:
        self.ended = True


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
