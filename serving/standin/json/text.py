"""Write JSON as RapidJSON does: strings of any bytes, error bodies, and values quoted in error texts."""

import math
import re
from collections.abc import Iterator

import numpy as np

from serving.standin import limits
from serving.standin.json.numbers import decimals, shortest
from serving.standin.json.parser import Json, members

_QUOTED_AT_MOST = 256
_SPECIAL = re.compile(r'[\x00-\x1f"\\]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LARGEST_FLOAT = 3.4028234e38


def quoted(text: str) -> str:
    """A JSON string. `/` and characters beyond ASCII are not escaped."""
    return f'"{_SPECIAL.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    return _SHORT.get(match[0]) or f"\\u{ord(match[0]):04X}"


def error_body(message: str) -> bytes:
    """A message beyond `limits.ERROR_CHARACTERS` is cut: it quotes a long name of the request."""
    message = message[: limits.ERROR_CHARACTERS]
    return f'{{\n    "error": {quoted(message)}\n}}'.encode("utf-8", "surrogateescape")


def debug_text(value: Json) -> str:
    """A JSON value as error texts quote it: pretty-printed, and cut after 256 characters."""
    if isinstance(value, float):
        return _root_number(value)
    text = ""
    for part in _pretty(value):
        text += part
        if len(text) > _QUOTED_AT_MOST:
            return f"{text[:_QUOTED_AT_MOST]}..."
    return text


def _root_number(number: float) -> str:
    """A number outside of containers is printed as in a response, as float32 if it is in the range of one."""
    kind = np.float32 if abs(number) <= _LARGEST_FLOAT else np.float64
    return decimals(np.array([number], kind))[0]


def _pretty(root: Json) -> Iterator[str]:
    """The text in pieces, without recursion. Arrays stay on one line; an object has one line for each member.

    The text ends at a NaN or infinity inside an array or object, where RapidJSON's writer stops.
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
    """The items of a container, each with the text that precedes it."""
    if isinstance(container, list):
        for at, item in enumerate(container):
            yield (", " if at else ""), item
        return
    for at, (name, item) in enumerate(members(container)):
        yield f"{',' if at else ''}\n{indent}{_quoted_start(name)}: ", item


def _quoted_start(text: str) -> str:
    """As much of a string as a quote can show: a long one with many escapes would take seconds."""
    return quoted(text[: _QUOTED_AT_MOST + 1])


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
            return _quoted_start(value)
        case dict():
            return "{}"
        case _:
            return "[]"
