"""Parse a request body as RapidJSON 1.1 does in the real server (docs/tensorflow-serving.md, "JSON parsing").

RapidJSON has rules that other parsers do not share. NaN, Infinity and Inf are numbers. The first of several members of
one name wins. Anything after the document is ignored. Strings need not be UTF-8. A NUL byte ends the text. Every error
has its own text and offset. orjson, which is 30 times faster, parses bodies of plain JSON.

Unlike RapidJSON, this parser limits the nesting and the number of values, so that no body costs much time or memory
(`serving/standin/limits.py`). What orjson does not read has much lower limits than what it reads.
"""

import math
import re
from collections.abc import Iterable
from enum import Enum, auto
from typing import NoReturn

import orjson

from serving.standin import limits
from serving.standin.errors import StatusError
from serving.standin.json.structure import check_size, count_names

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""int: a literal without fraction or exponent, -2**63 to 2**64 - 1. str: surrogate escapes where it is not UTF-8."""


class Repeating(dict[str, Json]):
    """An object that has several members of one name. Looking up the name gives the first."""

    def __init__(self, members: list[tuple[str, Json]]) -> None:
        super().__init__(reversed(members))
        self.members = members


def members(value: dict[str, Json]) -> Iterable[tuple[str, Json]]:
    """All members in order, repeated names included."""
    return value.members if isinstance(value, Repeating) else value.items()


def parse(body: bytes) -> Json:
    """Raises StatusError: INVALID_ARGUMENT with RapidJSON's error text, or the limit that the body exceeds."""
    if not body:
        raise StatusError.invalid("JSON Parse error: The document is empty")
    check_size(body)
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _read_slowly(body)
    return _read_slowly(body) if _repeats_names(value, body) else value


def _read_slowly(body: bytes) -> Json:
    if len(body) > limits.SLOW_BYTES:
        raise StatusError.invalid(
            "JSON Parse error: this is not plain JSON (RFC 8259): with an error, NaN, Infinity, repeated names, other"
            f" bytes than UTF-8 or more than 1,024 levels, a body may have at most {limits.SLOW_BYTES:,} bytes"
        )
    return _Reader(body).document()


def _repeats_names(value: Json, body: bytes) -> bool:
    """The library keeps the last of several members of one name; a missing member shows as a colon too many."""
    count = _member_count(value)
    return count != body.count(b":") and count != count_names(body)


def _member_count(value: Json, levels: int = 4) -> int:
    """Members of the objects down to the deepest level of a valid request. Too low a count only costs time."""
    if isinstance(value, dict):
        return len(value) + sum(_member_count(item, levels - 1) for item in value.values())
    if isinstance(value, list) and levels > 1 and value and isinstance(value[0], dict):
        return sum(_member_count(item, levels - 1) for item in value)
    return 0


class _Array:
    closing = b"]"
    unseparated = "Missing a comma or ']' after an array element."

    def __init__(self) -> None:
        self._items: list[Json] = []
        self.add = self._items.append

    def value(self) -> Json:
        return self._items


class _Object:
    closing = b"}"
    unseparated = "Missing a comma or '}' after an object member."

    def __init__(self) -> None:
        self._members: list[tuple[str, Json]] = []
        self.name = ""

    def add(self, value: Json) -> None:
        self._members.append((self.name, value))

    def value(self) -> Json:
        plain = dict(self._members)
        return plain if len(plain) == len(self._members) else Repeating(self._members)


_CONTAINERS: dict[bytes, type[_Array] | type[_Object]] = {b"[": _Array, b"{": _Object}


class _Opened(Enum):
    """In place of a value: a container has begun and is not complete."""

    OPENED = auto()


_BAD_ESCAPE = "Invalid escape character in string."
_UNENDED = "Missing a closing quotation mark in string."
_SPACE = re.compile(rb"[ \n\r\t]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(?:(\.)([0-9]*))?(?:[eE]([+-]?)([0-9]*))?")
_HEX = re.compile(rb"[0-9a-fA-F]{4}")
_LITERALS: dict[bytes, tuple[bytes, Json]] = {b"n": (b"null", None), b"t": (b"true", True), b"f": (b"false", False)}
_ESCAPES = {b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class _Reader:
    def __init__(self, text: bytes) -> None:
        self._text = text.partition(b"\0")[0]
        self._at = 0
        self._open: list[_Array | _Object] = []
        self._steps = 0

    def document(self) -> Json:
        """The first value in the text, parsed without recursion."""
        self._skip_byte_order_mark()
        self._skip_space()
        if self._peek() in (b"", b"]", b"}", b",", b":"):
            self._fail("The document is empty.")
        while True:
            value: Json | _Opened = self._scalar_or_container()
            while value is not _Opened.OPENED:
                if not self._open:
                    return value
                self._open[-1].add(value)
                value = self._open.pop().value() if self._container_ends() else _Opened.OPENED

    def _scalar_or_container(self) -> "Json | _Opened":
        """The value at the current position; OPENED where it is a container that is not empty."""
        self._count_step()
        kind = _CONTAINERS.get(self._peek())
        if kind is None:
            return self._scalar()
        if len(self._open) == limits.LEVELS:
            self._fail(f"nested deeper than {limits.LEVELS:,} levels")
        self._skip(1)
        if self._peek() == kind.closing:
            self._at += 1
            return kind().value()
        self._open.append(kind())
        self._begin_item()
        return _Opened.OPENED

    def _container_ends(self) -> bool:
        """After an item: True where the container ends, False where a comma precedes another item."""
        self._skip_space()
        container = self._open[-1]
        if self._peek() == b",":
            self._skip(1)
            self._begin_item()
            return False
        if self._peek() != container.closing:
            self._fail(container.unseparated)
        self._at += 1
        return True

    def _begin_item(self) -> None:
        container = self._open[-1]
        if isinstance(container, _Object):
            container.name = self._name()

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > limits.SLOW_STEPS:
            self._fail(f"not plain JSON (RFC 8259), and more than {limits.SLOW_STEPS:,} values, names and escapes")

    def _name(self) -> str:
        self._count_step()
        if self._peek() != b'"':
            self._fail("Missing a name for object member.")
        name = self._string()
        self._skip_space()
        if self._peek() != b":":
            self._fail("Missing a colon after a name of object member.")
        self._skip(1)
        return name

    def _scalar(self) -> Json:
        first = self._peek()
        if first == b'"':
            return self._string()
        if first in _LITERALS:
            word, value = _LITERALS[first]
            return value if self._consume(word) else self._fail("Invalid value.")
        return self._number()

    def _number(self) -> int | float:
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            return self._nan_or_infinity()
        integer, point, fraction, sign, exponent = match.groups()
        if point and not fraction:
            self._fail("Miss fraction part in number.", match.end(2))
        if exponent == b"":
            self._fail("Miss exponent in number.", match.end(4))
        largest_exponent = 308 + len(fraction or b"")
        if float(integer) == math.inf or (exponent and sign != b"-" and float(exponent) > largest_exponent):
            self._fail("Number too big to be stored in double.")
        self._at = match.end()
        if fraction is None and exponent is None and len(integer) < 21 and -(1 << 63) <= int(match[0]) < 1 << 64:
            return int(match[0])
        return float(match[0])

    def _nan_or_infinity(self) -> float:
        negative = self._peek() == b"-"
        self._at += negative
        if self._consume(b"NaN"):
            return math.nan
        if not self._consume(b"Inf") or (self._peek() == b"i" and not self._consume(b"inity")):
            self._fail("Invalid value.")
        return -math.inf if negative else math.inf

    def _string(self) -> str:
        parts: list[bytes] = []
        self._at += 1
        while True:
            parts.append(self._take(_PLAIN))
            following = self._peek()
            if following == b"\\":
                parts.append(self._escape())
                continue
            if following != b'"':
                self._fail(_UNENDED if not following else _BAD_ESCAPE)
            self._at += 1
            return b"".join(parts).decode("utf-8", "surrogateescape")

    def _escape(self) -> bytes:
        self._count_step()
        start = self._at
        letter = self._text[start + 1 : start + 2]
        self._at += 2
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter != b"u":
            self._fail(_BAD_ESCAPE, start)
        code_point = self._hex(start)
        if 0xD800 <= code_point < 0xDC00:
            if not self._consume(b"\\u") or not 0xDC00 <= (low := self._hex(start)) < 0xE000:
                self._fail("The surrogate pair in string is invalid.", start)
            code_point = 0x10000 + (code_point - 0xD800 << 10) + (low - 0xDC00)
        return chr(code_point).encode("utf-8", "surrogatepass")

    def _hex(self, start: int) -> int:
        digits = _HEX.match(self._text, self._at)
        if digits is None:
            self._fail("Incorrect hex digit after \\u escape in string.", start)
        self._at += 4
        return int(digits[0], 16)

    def _consume(self, word: bytes) -> bool:
        """Skip the longest prefix of `word` at the current position; True where that is all of it."""
        for letter in word:
            if self._text[self._at : self._at + 1] != bytes([letter]):
                return False
            self._at += 1
        return True

    def _skip_byte_order_mark(self) -> None:
        for byte in (b"\xef", b"\xbb", b"\xbf"):
            self._consume(byte)

    def _skip_space(self) -> None:
        self._take(_SPACE)

    def _take(self, pattern: re.Pattern[bytes]) -> bytes:
        """Consume the match of `pattern`, which matches everywhere."""
        match = pattern.match(self._text, self._at)
        assert match
        self._at = match.end()
        return match[0]

    def _skip(self, count: int) -> None:
        self._at += count
        self._skip_space()

    def _peek(self) -> bytes:
        return self._text[self._at : self._at + 1]

    def _fail(self, what: str, at: int | None = None) -> NoReturn:
        raise StatusError.invalid(f"JSON Parse error: {what} at offset: {self._at if at is None else at}")
