"""HTTP as libevent 2.1.12 implements it in the real server: parse requests and format responses, without I/O.

A general HTTP server cannot be used: it rejects by itself what the real server answers, such as unknown methods (501),
bad chunk sizes (413), folded headers and lines that end in LF alone (docs/tensorflow-serving.md, "HTTP").
"""

import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from enum import Enum, auto
from http import HTTPStatus

from serving.standin import limits

METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"})
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_LONGEST_HEAD = 1 << 20
"""Bytes. The real server has no limit; it has been recorded with up to 200 KB."""
_REQUEST_LINE = re.compile(r"([^ ]+) (.+) HTTP/(\d{1,9})\.(\d{1,9})")
_CHUNK_SIZE = re.compile(rb"(?:0[xX])?([0-9a-fA-F]{1,15})(?: .*)?")
_PHRASES = {429: "Client Error", 499: "Client Error", 504: "Gateway Time-out", 413: "Request Entity Too Large"}


class HttpError(Exception):
    """The response is an HTML page, and the connection closes after it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    version: tuple[int, int]
    headers: Mapping[str, str]
    """Names in lower case. The first of several headers of one name wins."""
    body: bytes = b""

    @property
    def keeps_open(self) -> bool:
        connection = self.headers.get("connection", "").lower()
        return connection != "close" if self.version >= (1, 1) else connection.startswith("keep-alive")


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    closes: bool = False


def html_error(status: int) -> Response:
    phrase = _phrase(status)
    page = f"<HTML><HEAD>\n<TITLE>{status} {phrase}</TITLE>\n</HEAD><BODY>\n<H1>{phrase}</H1>\n</BODY></HTML>\n"
    return Response(status, page.encode(), "text/html", closes=True)


def _phrase(status: int) -> str:
    return _PHRASES.get(status) or HTTPStatus(status).phrase


def write_head(response: Response, version: tuple[int, int], *, keeps_open: bool) -> bytes:
    lines = [f"HTTP/{version[0]}.{version[1]} {response.status} {_phrase(response.status)}"]
    lines.append(f"Content-Type: {response.content_type}")
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines.append(f"Date: {formatdate(usegmt=True)}")
    lines.append(f"Content-Length: {len(response.body)}")
    if not keeps_open:
        lines.append("Connection: close")
    elif version < (1, 1):
        lines.append("Connection: keep-alive")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Await(Enum):
    """Why the next request is not complete yet."""

    BYTES = auto()
    PERMISSION = auto()
    """The client waits for `100 Continue` before it sends the body."""


class RequestReader:
    """An incremental parser of the requests on one connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._requests = self._read()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next_request(self) -> Request | Await:
        """The next complete request, or why there is none yet.

        Raises:
            HttpError: the bytes are not HTTP/1.0 or 1.1. The reader cannot be used any more.
        """
        return next(self._requests)

    def _read(self) -> Iterator[Request | Await]:
        while True:
            method, target, version = _parse_request_line((yield from self._line()))
            headers = yield from self._headers()
            head = Request(method, target, version, headers)
            chunked = headers.get("transfer-encoding", "").lower() == "chunked"
            length = 0 if chunked else _body_length(head)
            if length > limits.BODY_BYTES:
                raise HttpError(413)
            if (chunked or length) and not self._buffer and _asks_permission(head):
                yield Await.PERMISSION
            body = yield from (self._chunks() if chunked else self._exactly(length))
            yield replace(head, body=body)

    def _line(self) -> Generator[Await, None, bytes]:
        """The next line without its end, which is LF or CRLF."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > _LONGEST_HEAD:
                raise HttpError(400)
            yield Await.BYTES
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def _exactly(self, count: int) -> Generator[Await, None, bytes]:
        while len(self._buffer) < count:
            yield Await.BYTES
        with memoryview(self._buffer) as buffer:
            taken = bytes(buffer[:count])
        del self._buffer[:count]
        return taken

    def _headers(self) -> Generator[Await, None, dict[str, str]]:
        lines: list[str] = []
        size = 0
        while line := (yield from self._line()):
            size += len(line)
            folded = line[:1] in (b" ", b"\t")
            if size > _LONGEST_HEAD or (folded and not lines) or (not folded and b":" not in line):
                raise HttpError(400)
            text = line.decode("latin-1")
            if folded:
                lines[-1] += text
            else:
                lines.append(text)
        pairs = [text.partition(":")[::2] for text in reversed(lines)]
        return {name.lower(): value.strip() for name, value in pairs}

    def _chunks(self) -> Generator[Await, None, bytes]:
        body = bytearray()
        chunks = 0
        while size := (yield from self._chunk_size()):
            chunks += 1
            if len(body) + size > limits.BODY_BYTES or chunks > limits.CHUNKS:
                raise HttpError(413)
            body += yield from self._exactly(size)
        yield from self._headers()  # trailers are ignored
        return bytes(body)

    def _chunk_size(self) -> Generator[Await, None, int]:
        line = (yield from self._line()) or (yield from self._line())  # an empty one ends the previous chunk
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise HttpError(413)
        return int(match[1], 16)


def _parse_request_line(line: bytes) -> tuple[str, str, tuple[int, int]]:
    match = _REQUEST_LINE.fullmatch(line.decode("latin-1").rstrip(" "))
    if match is None or int(match[3]) > 1:
        raise HttpError(400)
    return match[1], match[2], (int(match[3]), int(match[4]))


def _body_length(head: Request) -> int:
    text = head.headers.get("content-length")
    if text is None:
        connection = head.headers.get("connection", "close").lower()
        if head.method in _METHODS_WITH_BODY and connection != "close":
            raise HttpError(400)  # the end of the body is unknown
        return 0
    if not re.fullmatch(r"\+?[0-9]{1,18}", text):
        raise HttpError(400)
    return int(text)


def _asks_permission(head: Request) -> bool:
    return head.version >= (1, 1) and head.headers.get("expect", "").lower() == "100-continue"
