"""The structure of a JSON document without its values, in time linear in the document.

A body may hold millions of numbers. To parse them takes 5 ms of CPU a megabyte or more; the structure alone is enough
to know the nesting and the shape of every list, and a few passes of numpy and of `bytes.translate` find it in about
1 ms a megabyte. Both work through a large document in pieces, so that no other thread waits for long.

Only valid JSON has a structure in the sense of this module. Of an invalid document it may be wrong from the first
mistake on, which is where a parser stops.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.errors import PredictBodyError

MAX_STRINGS = 16_384
"""Names of members included."""
MAX_LISTS = 2**21
"""A picture of 224 x 224 pixels takes 50,401."""
MAX_OBJECTS = 16_384
MAX_EMPTY = 16_384
"""Lists that have nothing in them."""
MAX_VALUES = 2**23
MAX_NUMBER = 256
"""Bytes of one number or word that always pass; of one four times as long, none do."""

STRING, EMPTY, B64 = b'"', b"\x01", b"\x02"
"""In a skeleton: a string as a value, the end of a list that has nothing in it, and the name `b64`."""
FIRST_NAME, LAST_NAME = 0x80, 0xFF
"""The bytes that stand for the names of members. The last one stands for all further names."""

_PIECE = 2**19
_SAMPLE = 2**11
_FEW = 32
_QUOTE, _BACKSLASH, _OBJECT, _LIST, _CLOSED, _COMMA, _COLON = b'"\\{[],:'
_SPACE = b" \t\r\n"
_KEPT = b"{}[],:" + STRING
_DELETED = bytes(set(range(256)) - set(_KEPT + EMPTY))
_BOUNDS = {
    _COMMA: (MAX_VALUES, "values"),
    _LIST: (MAX_LISTS, "lists"),
    _OBJECT: (MAX_OBJECTS, "objects"),
    EMPTY[0]: (MAX_EMPTY, "empty lists"),
}
_BOM = b"\xef\xbb\xbf"
_IN_WORD = np.ones(256, bool)
_IN_WORD[list(_KEPT + _SPACE)] = False

Bytes = NDArray[np.uint8]
Span = tuple[int, int]
"""Where a part of a document begins and ends."""


@dataclass(frozen=True)
class Skeleton:
    """A document without its numbers, words, white space and the texts of its strings."""

    structure: bytes
    """`{}[],:`, and in the place of strings: STRING for a value, a byte from FIRST_NAME on for a member's name.
    An object with the only member b64 is written as STRING, which is what it means (docs/tensorflow-serving.md,
    "base64"). A list with nothing in it ends in EMPTY; `[]` is a list of one number."""
    names: Mapping[int, str]
    """What the bytes from FIRST_NAME on stand for."""
    values: Sequence[str | None]
    """The string behind each occurrence of the name that was asked for; None: it is no string that can be decoded."""


def skeleton(body: bytes, expected: Sequence[str] = (), *, valued: str = "") -> Skeleton:
    """The structure of a JSON document.

    Args:
        expected: names that get bytes of their own, however many others there are.
        valued: the name whose values are wanted where they are strings.

    Raises:
        PredictBodyError: a bound of this module is exceeded.
    """
    body = body.removeprefix(_BOM)
    text = _without_escaped_quotes(body)
    quotes = [-1, *_quotes(text), len(text)]
    outside = [(begin + 1, end) for begin, end in zip(quotes[::2], quotes[1::2], strict=False)]
    strings = list(zip(quotes[1::2], quotes[2::2], strict=False))
    names, values = _Names(expected), list[str | None]()
    wanted = names.new(valued) if valued else b""
    first, *parts = _structure(text, outside).split(STRING)
    structure = [first]
    for i, ((begin, end), behind) in enumerate(zip(strings, parts, strict=False)):
        mark = STRING
        if behind[:1] == b":":
            mark = names.mark(body[begin + 1 : end])
            if mark == wanted:
                values.append(_value(body, strings[i + 1 : i + 2]) if behind == b":" else None)
        structure += (mark, behind)
    whole = b"".join(structure)
    if B64 in whole:
        whole = whole.replace(b"{" + B64 + b":" + STRING + b"}", STRING).replace(B64, names.new("b64"))
    return Skeleton(whole, names.known, values)


def _without_escaped_quotes(body: bytes) -> bytes:
    r"""The same document with other bytes for `\\` and `\"`, so that every quote begins or ends a string.

    Every byte keeps its place.
    """
    if b"\\" not in body or not _escapes_quotes(np.frombuffer(body, np.uint8)):
        return body
    return body.replace(b"\\\\", b"\0\0").replace(b'\\"', b"\0\0")


def _escapes_quotes(text: Bytes) -> bool:
    """Whether a backslash or a quote follows some backslash: `replace` costs twice what all the rest does."""
    escaped = text[1:][text[:-1] == _BACKSLASH]
    if np.count_nonzero(escaped == _BACKSLASH) > MAX_STRINGS * 16:
        raise PredictBodyError(f"The body has more than {MAX_STRINGS * 16:,} escaped backslashes.")
    return bool(np.any((escaped == _QUOTE) | (escaped == _BACKSLASH)))


def _quotes(text: bytes) -> list[int]:
    found: list[int] = []
    for begin in range(0, len(text), _PIECE):
        is_quote = np.frombuffer(text, np.uint8, min(_PIECE, len(text) - begin), begin) == _QUOTE
        if np.count_nonzero(is_quote) + len(found) > 2 * MAX_STRINGS:
            raise PredictBodyError(f"The body has more than {MAX_STRINGS:,} strings and names; send fewer instances.")
        found += (np.flatnonzero(is_quote) + begin).tolist()
    return found


def _structure(text: bytes, outside: Sequence[Span]) -> bytes:
    """Without what is no structure, STRING for each string, and EMPTY at the end of each list with nothing in it."""
    structure, counts = [], dict.fromkeys(_BOUNDS, 0)
    for piece in _pieces(text, outside):
        if _has_long_word(np.frombuffer(piece, np.uint8)):
            raise PredictBodyError(f"The body has a number of more than {MAX_NUMBER} digits.")
        kept = _kept(piece)
        structure.append(kept)
        marks = np.frombuffer(kept, np.uint8)
        for mark, (most, what) in _BOUNDS.items():
            counts[mark] += int(np.count_nonzero(marks == mark))
            if counts[mark] > most:
                raise PredictBodyError(f"The body has more than {most:,} {what}; send fewer instances, or base64.")
    return b"".join(structure)


def _pieces(text: bytes, spans: Sequence[Span]) -> Iterator[bytes]:
    """The spans with STRING between them, in pieces that fit a processor's cache: a whole copy costs more.

    They end behind a comma, so no empty list is cut in two.
    """
    if len(spans) > _FEW:
        text = STRING.join([text[begin:end] for begin, end in spans])
        spans = [(0, len(text))]
    for number, (begin, end) in enumerate(spans):
        if number:
            yield STRING
        while end - begin > _PIECE:
            cut = text.rfind(b",", begin, begin + _PIECE) + 1
            if not cut:
                raise PredictBodyError(f"The body has {_PIECE:,} bytes without a comma or a string.")
            yield text[begin:cut]
            begin = cut
        yield text[begin:end]


def _kept(piece: bytes) -> bytes:
    """What is structure, EMPTY in the place of the end of each list that has nothing in it."""
    kept = _without_values(piece)
    pairs = _pairs(np.frombuffer(kept, np.uint8))  # of lists that are empty or hold one number
    if not pairs.any():
        return kept
    text = np.frombuffer(piece, np.uint8)
    if ((text[:-1] == _LIST) & (text[1:] <= _SPACE[0])).any():
        piece = piece.translate(None, _SPACE)
        text = np.frombuffer(piece, np.uint8)
    empty = _pairs(text)
    if not empty.any():
        return kept
    if np.count_nonzero(empty) == np.count_nonzero(pairs):
        return _marked(kept, pairs)
    return _without_values(_marked(piece, empty))


def _without_values(piece: bytes) -> bytes:
    """Where structure is dense, `translate` is slow, because no processor can predict what it keeps."""
    if len(piece[:_SAMPLE].translate(None, _DELETED)) < _SAMPLE // 6:
        return piece.translate(None, _DELETED)
    text = np.frombuffer(piece, np.uint8)
    kept = text == _COMMA
    brackets = (text | (_OBJECT ^ _LIST)) - _OBJECT  # 0 where one opens, 2 where one closes
    for same in (brackets & 0xFD) == 0, text == _COLON, text == _QUOTE, text == EMPTY[0]:
        kept |= same
    found: bytes = text.take(np.flatnonzero(kept), mode="clip").tobytes()
    return found


def _pairs(text: Bytes) -> NDArray[np.bool_]:
    """Where `[]` begins."""
    found: NDArray[np.bool_] = (text[:-1] == _LIST) & (text[1:] == _CLOSED)
    return found


def _marked(text: bytes, pairs: NDArray[np.bool_]) -> bytes:
    marked = np.frombuffer(text, np.uint8).copy()
    marked[1:][pairs] = EMPTY[0]  # `replace` takes ten times as long
    return marked.tobytes()


def _has_long_word(text: Bytes) -> bool:
    """Whether an aligned block of twice MAX_NUMBER bytes lies within one number or word.

    In nearly all blocks is a comma or white space, the least of all bytes. Of the others, those are out that have a
    separator in the place of that of the first one, until none is left.
    """
    size = 2 * MAX_NUMBER
    blocks = text[: len(text) // size * size].reshape(-1, size)
    left = np.flatnonzero(blocks.min(axis=1) > _COMMA)
    while len(left):
        separators = np.flatnonzero(~_IN_WORD[blocks[left[0]]])
        if not len(separators):
            return True
        left = left[_IN_WORD[blocks[left, separators[0]]]]
    return False


# --- names --------------------------------------------------------------------------------------------------------


class _Names:
    """Gives each name of a member its byte."""

    def __init__(self, expected: Sequence[str]) -> None:
        self.known: dict[int, str] = {}
        self._by_name: dict[str, bytes] = {}
        self._by_text = {b"b64": B64}
        for name in expected:
            self.new(name)

    def mark(self, text: bytes) -> bytes:
        """The byte for a name as it stands in the document."""
        if (mark := self._by_text.get(text)) is None:
            name = _decoded(text)
            mark = B64 if name == "b64" else self.new(name)
            self._by_text[text] = mark
        return mark

    def new(self, name: str | None) -> bytes:
        """The byte for a name; LAST_NAME where it cannot be decoded, or there are too many."""
        at = FIRST_NAME + len(self.known)
        if name is None or (at >= LAST_NAME and name not in self._by_name):
            return bytes([LAST_NAME])
        if name not in self._by_name:
            self.known[at] = name
            self._by_name[name] = bytes([at])
        return self._by_name[name]


def _value(body: bytes, string: Sequence[tuple[int, int]]) -> str | None:
    """The string, which lies between two quotes; None where there is none."""
    return _decoded(body[string[0][0] + 1 : string[0][1]]) if string else None


def _decoded(text: bytes) -> str | None:
    """A string of the document, escapes resolved; None: it is not valid."""
    try:
        return str(orjson.loads(b'"%b"' % text))
    except ValueError:
        return None
