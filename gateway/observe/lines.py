"""A line of the log has at most 2 KB, whatever it holds.

Where a line is longer, its longest values are cut in the middle, tracebacks too, so that their ends stay; each says how
much is missing. A caller could otherwise choose how fast the log that is kept is filled.
"""

from collections.abc import Callable, Iterator

from structlog.typing import EventDict, WrappedLogger

MAX_BYTES = 2048
"""With its line break."""
_ALLOWANCES = (1200, 800, 500, 300, 150, 70, 30, 10, 0)
"""Characters of each value, tried in turn: escapes and code points make several bytes of one."""

Render = Callable[[WrappedLogger, str, EventDict], str]


def bounded(render: Render) -> Render:
    """The renderer, with its result cut to `MAX_BYTES`."""

    def rendered(logger: WrappedLogger, name: str, event: EventDict) -> str:
        for candidate in _candidates(event):
            line = render(logger, name, dict(candidate))  # it takes some of the keys out
            if _fits(line):
                return line
        return cut(line, MAX_BYTES // 8)  # hundreds of keys; there are no such lines

    return rendered


def _candidates(event: EventDict) -> Iterator[EventDict]:
    yield event
    for allowance in _ALLOWANCES:
        yield {
            key: value if isinstance(value, int | float) else cut(str(value), allowance) for key, value in event.items()
        }


def _fits(line: str) -> bool:
    return 4 * len(line) < MAX_BYTES or len(line.encode(errors="replace")) < MAX_BYTES


def cut(text: str, most: int) -> str:
    """The text, its middle left out where it has more than `most` characters."""
    if len(text) <= most:
        return text
    left_out = len(text) - most
    return f"{text[: most // 2]}[{left_out:,} characters left out]{text[len(text) - (most - most // 2) :]}"
