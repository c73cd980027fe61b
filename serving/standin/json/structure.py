"""Bound the number of values in JSON before it is parsed: in Python an empty list takes 24 times its three bytes."""

from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.standin import limits
from serving.standin.errors import StatusError

_PIECE = 1 << 18
"""Bytes looked at together: they fit the processor's cache."""
_TOO_SMALL = 3 * limits.NAMES
"""Bytes of a body in which no limit can be passed: an empty object takes three."""


class Structure(NamedTuple):
    """Counts of what separates and encloses values."""

    lists: int
    objects: int
    commas: int
    colons: int
    quotes: int
    backslashes: int

    def plus(self, other: "Structure") -> "Structure":
        return Structure(*(ours + theirs for ours, theirs in zip(self, other, strict=True)))

    def excess(self) -> str | None:
        """What there is too much of, as a text for the client. Every value follows a comma or begins a container."""
        containers = self.lists + self.objects
        counts = (
            ("values", self.commas + containers, limits.VALUES),
            ("lists", containers, limits.CONTAINERS),
            ("objects", self.objects, limits.NAMES),
            ("strings", self.quotes // 2, limits.STRINGS),
            ("names", self.colons, limits.NAMES),
        )
        return next((f"more than {most:,} {what}" for what, count, most in counts if count > most), None)


_MARKS = b'[{,:"\\'
_NOTHING = Structure(0, 0, 0, 0, 0, 0)


def check_size(body: bytes) -> None:
    """At most 1 ns a byte; 4 ns where a string holds so many brackets, commas, colons or quotes that they mislead.

    Raises:
        StatusError: INVALID_ARGUMENT: there are more values than `limits` allows.
    """
    excess = None if len(body) < _TOO_SMALL else _excess(body)
    if excess:
        raise StatusError.invalid(f"JSON Parse error: {excess}; send fewer in one request")


def _excess(body: bytes) -> str | None:
    at_most = _sum(_pieces(body))
    if at_most.backslashes > limits.VALUES:
        return f"more than {limits.VALUES:,} escapes"
    if not at_most.excess():
        return None
    so_far = accumulate(map(_counted, _outside_strings(body)), Structure.plus)
    return next(filter(None, map(Structure.excess, so_far)), None)


def count_names(body: bytes) -> int:
    """Members of all objects. Exact for JSON without errors of syntax."""
    return _sum(_outside_strings(body)).colons if b'"' in body else 0


def _sum(pieces: Iterator[NDArray[np.uint8]]) -> Structure:
    total = _NOTHING
    for piece in pieces:
        total = total.plus(_counted(piece))
    return total


def _counted(piece: NDArray[np.uint8]) -> Structure:
    return Structure(*(int(np.count_nonzero(piece == mark)) for mark in _MARKS))


def _pieces(body: bytes) -> Iterator[NDArray[np.uint8]]:
    text = np.frombuffer(body, np.uint8)
    return (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))


def _outside_strings(body: bytes) -> Iterator[NDArray[np.uint8]]:
    """Each piece without the contents of strings; their quotes are left."""
    inside = False
    for piece in _pieces(_without_escapes(body)):
        quotes = piece == ord('"')
        within = np.logical_xor.accumulate(quotes) ^ inside
        inside = bool(within[-1])
        yield piece[~within | quotes]


def _without_escapes(body: bytes) -> bytes:
    """The escapes of a quote and of a backslash blanked; pairs are taken from the left, as a parser does."""
    return body.replace(b"\\\\", b"  ").replace(b'\\"', b"  ") if b"\\" in body else body
