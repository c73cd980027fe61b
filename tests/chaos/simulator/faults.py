"""What can be wrong with an answer: each fault as the bytes to send, and what happens to the connection after them.

Pure; `http` sends the bytes.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Literal, get_args

from tests.chaos.simulator import model

After = Literal["keep", "close", "reset"]


@dataclass(frozen=True)
class Sent:
    """What goes out for one request."""

    pieces: Iterator[bytes]
    pause_s: float = 0
    """Before each piece but the first."""
    after: After = "keep"


@dataclass(frozen=True)
class Asked:
    """The request whose answer a fault spoils."""

    name: str
    """The right class name."""
    version: int


def message(status: int, body: bytes, *, kind: str = "application/json", extra: str = "") -> bytes:
    """One HTTP answer."""
    head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def whole(body: bytes, **options: str) -> Sent:
    """200 with this body."""
    return Sent(iter([message(200, body, **options)]))


def failed(status: int, extra: str = "") -> Sent:
    """An error in TensorFlow Serving's form."""
    return Sent(iter([message(status, json.dumps({"error": f"simulated {status}"}).encode(), extra=extra)]))


def row(*numbers: object) -> bytes:
    """A predict answer of one row, its numbers printed as given."""
    return f'{{"predictions": [[{", ".join(str(number) for number in numbers)}]]}}'.encode()


def right(asked: Asked) -> bytes:
    """The right answer."""
    return model.answer(asked.name, asked.version)


def wrong(asked: Asked) -> bytes:
    """A well-formed answer for another picture."""
    other = model.NAMES[(model.NAMES.index(asked.name) + 1) % model.CLASSES]
    return model.answer(other, asked.version)


def in_place_of_first(asked: Asked, number: str) -> Sent:
    """The right row with another first number."""
    return whole(row(number, *model.probabilities(asked.name, asked.version)[1:]))


def truncated(asked: Asked) -> Sent:
    """All of Content-Length announced, half of it sent."""
    whole_message = message(200, right(asked))
    return Sent(iter([whole_message[: -len(right(asked)) // 2]]), after="close")


def infinite(_: Asked) -> Sent:
    """Chunks without end; each 64 KiB of JSON that might still become an answer."""
    head = b"HTTP/1.1 200 x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"0.5,".ljust(0x10000) + b"\r\n"

    def pieces() -> Iterator[bytes]:
        yield head + b'f\r\n{"predictions":\r\n'
        yield from repeat(chunk)

    return Sent(pieces())


def drip(asked: Asked) -> Sent:
    """A byte a second."""
    return Sent((bytes([byte]) for byte in message(200, right(asked))), pause_s=1)


FAULTS: dict[str, Callable[[Asked], Sent]] = {
    "status 500": lambda _: failed(500),
    "status 503": lambda _: failed(503),
    "status 429": lambda _: failed(429, "Retry-After: 1\r\n"),
    "status 400": lambda _: failed(400),
    "status 404": lambda _: failed(404),
    "garbage": lambda _: whole(bytes(range(256))),
    "html": lambda _: whole(b"<html><title>Welcome to nginx!</title></html>", kind="text/html"),
    "nan": lambda asked: in_place_of_first(asked, "NaN"),
    "too large a number": lambda asked: in_place_of_first(asked, "1e400"),
    "narrow": lambda asked: whole(row(*model.probabilities(asked.name, asked.version)[:-1])),
    "wide": lambda asked: whole(row(*model.probabilities(asked.name, asked.version), 0.0)),
    "no row": lambda _: whole(b'{"predictions": []}'),
    "empty row": lambda _: whole(b'{"predictions": [[]]}'),
    "two rows": lambda asked: whole(
        json.dumps({"predictions": [model.probabilities(asked.name, asked.version)] * 2}).encode()
    ),
    "not probabilities": lambda asked: in_place_of_first(asked, "7.5"),
    "not summing to 1": lambda asked: in_place_of_first(asked, "0.45"),
    "deeply nested": lambda _: whole(b'{"predictions": ' + b"[" * 100_000),
    "huge number": lambda _: whole(row("9" * 100_000)),
    "truncated": truncated,
    "infinite": infinite,
    "drip": drip,
    "two replies": lambda asked: Sent(iter([message(200, right(asked)) + message(200, wrong(asked))])),
    "reset before the head": lambda _: Sent(iter(()), after="reset"),
    "closed before the head": lambda _: Sent(iter(()), after="close"),
    "reset in the head": lambda _: Sent(iter([b"HTTP/1.1 200 x\r\nContent-"]), after="reset"),
    "reset in the body": lambda asked: Sent(iter([message(200, right(asked))[:-20]]), after="reset"),
}
"""What is answered to a whole request."""

Early = Literal["reset on accept", "reset on the first bytes", "reset on reuse", "early reply", "hang"]
EARLY: tuple[Early, ...] = get_args(Early)
"""What is done before a request is in."""


def early_reply() -> Sent:
    """413 before the body is read, then a reset, as from a server that refuses a large body."""
    return Sent(iter([message(413, b'{"error": "too large"}')]), after="reset")
