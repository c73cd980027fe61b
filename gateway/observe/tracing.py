"""Which request an attempt belongs to: its id and its W3C Trace Context, sent to the replica that is asked.

The rules (https://www.w3.org/TR/trace-context/):
- A caller's valid `traceparent` is kept: its trace, its flags and its `tracestate` go on, under a parent id that is
  new for every attempt. Without a valid one, the request starts a trace of its own, not sampled, and the caller's
  `tracestate` is dropped.
- A probe belongs to no request and carries neither.
- Where something records spans (`telemetry`), the parent id is that of the attempt's span; it decides the flags.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from random import getrandbits
from typing import Protocol

from gateway.observe import metrics

Attribute = str | int | float | bool

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KNOWN_FLAGS = 0x03
"""Sampled, and random trace id; the others must not be passed on."""
_MOST_STATE = 512
_STATE = re.compile(rb"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True)
class Trace:
    """A place in a trace."""

    request_id: str
    trace_id: str
    """32 hexadecimal digits."""
    parent_id: str
    """16, of the innermost span; empty where the trace starts here."""
    flags: int
    state: str
    """`tracestate` as it came; empty: none."""


class Span(Protocol):
    """One that is open."""

    def note(self, name: str, attributes: Mapping[str, Attribute]) -> None:
        """Set what is known only at the end: its name and more attributes."""


class Recorder(Protocol):
    """Records spans."""

    def span(
        self, name: str, trace: Trace, attributes: Mapping[str, Attribute], *, serves: bool
    ) -> AbstractContextManager[tuple[Trace, Span]]:
        """A span for as long as the block runs, and the trace inside it. `serves`: it is a request from outside."""


class _Silent:
    def note(self, name: str, attributes: Mapping[str, Attribute]) -> None:
        """Nothing is recorded."""


_SILENT = _Silent()
_NOWHERE = nullcontext(_SILENT)
"""Where nothing records: one for all, because it has no state."""
_current: ContextVar[Trace | None] = ContextVar("trace", default=None)
_recorder: Recorder | None = None


def random_hex(size: int) -> str:
    """`size` random bytes in hexadecimal. Ids, not secrets: a request needs three, so no system call for each."""
    return f"{getrandbits(8 * size):0{2 * size}x}"


def record_with(recorder: Recorder | None) -> None:
    """Record spans from now on; None: do not, as at the start. Called once, in `__main__`."""
    global _recorder  # like the log: one for the process
    _recorder = recorder


def logged() -> dict[str, str]:
    """The trace id for log lines, where the caller or a recorder knows it too."""
    trace = _current.get()
    return {"trace_id": trace.trace_id} if trace and trace.parent_id else {}


def outgoing() -> dict[str, str]:
    """Headers, or gRPC metadata, of an attempt; empty outside of a request."""
    trace = _current.get()
    if trace is None:
        return {}
    parent_id = trace.parent_id if _recorder else random_hex(8)
    headers = {
        "x-request-id": trace.request_id,
        "traceparent": f"00-{trace.trace_id}-{parent_id}-{trace.flags:02x}",
    }
    return headers | {"tracestate": trace.state} if trace.state else headers


@contextmanager
def request(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> Iterator[Span | None]:
    """A request from outside, for as long as the block runs; its span where one is recorded.

    Args:
        headers: as in ASGI, names in lower case.
    """
    token = _current.set(_received(headers, request_id))
    try:
        if _recorder is None:
            yield None
        else:
            with _opened("request", {"request_id": request_id}, serves=True) as span:
                yield span
    finally:
        _current.reset(token)


def span(name: str, attributes: Mapping[str, Attribute] = {}) -> AbstractContextManager[Span]:  # read only
    """A part of the request, for as long as the block runs."""
    return _opened(name, attributes, serves=False) if _recorder else _NOWHERE


def stage(name: metrics.Stage) -> AbstractContextManager[object]:
    """One stage of an upload, for as long as the block runs: timed, and a span of its own where spans are recorded."""
    timer, recorded = metrics.STAGES[name].time(), span(name)
    return timer if recorded is _NOWHERE else _both(timer, recorded)


@contextmanager
def _both(outer: AbstractContextManager[object], inner: AbstractContextManager[object]) -> Iterator[None]:
    with outer, inner:
        yield


@contextmanager
def _opened(name: str, attributes: Mapping[str, Attribute], *, serves: bool) -> Iterator[Span]:
    trace = _current.get()
    if _recorder is None or trace is None:
        yield _SILENT
        return
    with _recorder.span(name, trace, attributes, serves=serves) as (inside, opened):
        token = _current.set(inside)
        try:
            yield opened
        finally:
            _current.reset(token)


def _received(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> Trace:
    headers = list(headers)
    given = [value for name, value in headers if name == b"traceparent"]
    parts = _TRACEPARENT.fullmatch(given[0].strip()) if len(given) == 1 else None
    if parts is None or not _valid(*parts.groups()):
        return Trace(request_id, random_hex(16), "", 0, "")
    _, trace_id, parent_id, flags, _ = parts.groups()
    state = b",".join(value for name, value in headers if name == b"tracestate")
    kept = state.decode("ascii") if len(state) <= _MOST_STATE and _STATE.fullmatch(state) else ""
    return Trace(request_id, trace_id.decode(), parent_id.decode(), int(flags, 16) & _KNOWN_FLAGS, kept)


def _valid(version: bytes, trace_id: bytes, parent_id: bytes, _: bytes, rest: bytes | None) -> bool:
    """Later versions may append fields; those of version 00 keep their places."""
    return (
        version != b"ff"
        and not (version == b"00" and rest)
        and trace_id.strip(b"0") != b""
        and parent_id.strip(b"0") != b""
    )
