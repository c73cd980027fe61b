"""Write JSON as RapidJSON does: strings that pass bytes through, error bodies, and values quoted in error texts."""

import math
import re
from collections.abc import Iterator

import numpy as np

from serving.standin.json.numbers import decimals, shortest
from serving.standin.json.parser import Json, members

_QUOTED_AT_MOST = 256
_SPECIAL = re.compile(r'[\x00-\x1f"\\]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LARGEST_FLOAT = 3.4028234e38


def quoted(text: str) -> str:
    """A JSON string. Only what must be is escaped: `/` and non-ASCII are not (spec section 5)."""
    return f'"{_SPECIAL.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    return _SHORT.get(match[0]) or f"\\u{ord(match[0]):04X}"


def error_body(message: str) -> bytes:
    return f'{{\n    "error": {quoted(message)}\n}}'.encode("utf-8", "surrogateescape")


def debug_text(value: Json) -> str:
    """How error texts quote a JSON value: pretty-printed and cut (VAL in the spec)."""
    if isinstance(value, float):
        return _root_number(value)
    text = ""
    for part in _pretty(value):
        text += part
        if len(text) > _QUOTED_AT_MOST:
            return f"{text[:_QUOTED_AT_MOST]}..."
    return text


def _root_number(number: float) -> str:
    """A number on its own is written like an answer, as float if it is in the range of one."""
    kind = np.float32 if abs(number) <= _LARGEST_FLOAT else np.float64
    return decimals(np.array([number], kind))[0]


def _pretty(root: Json) -> Iterator[str]:
    """Piece by piece, without recursion. Arrays stay on one line, objects take a line for each member.

    Ends early at a NaN or infinity within an array or object: RapidJSON's writer gives up there.
    """
    pending = [iter([("", root)])]
    closings = [""]
    while pending:
        following = next(pending[-1], None)
        if following is None:
            pending.pop()
            yield closings.pop()
            continue
        lead_in, value = following
        yield lead_in
        if isinstance(value, float) and not math.isfinite(value):
            return
        if isinstance(value, dict | list) and value:
            yield "{" if isinstance(value, dict) else "["
            closings.append(f"\n{_indent(len(pending) - 1)}}}" if isinstance(value, dict) else "]")
            pending.append(_lead_ins(value, _indent(len(pending))))
        else:
            yield _leaf(value)


def _indent(levels: int) -> str:
    return "    " * levels


def _lead_ins(container: dict[str, Json] | list[Json], indent: str) -> Iterator[tuple[str, Json]]:
    """The items of a container, each with what is written before it."""
    if isinstance(container, list):
        for at, item in enumerate(container):
            yield (", " if at else ""), item
        return
    for at, (name, item) in enumerate(members(container)):
        yield f"{',' if at else ''}\n{indent}{quoted(name)}: ", item


def _leaf(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return shortest(value)
        case str():
            return quoted(value)
        case dict():
            return "{}"
        case _:
            return "[]"
