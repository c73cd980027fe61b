"""One log line for each request, with its id; text on a terminal, JSON elsewhere.

No line holds picture bytes, file names, keys or other values that a client chose, but for its request id, its trace id
and the origin of a page that was refused (`http.cors`).
Every line has at most 2 KB (`lines`).
"""

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TextIO, cast

import orjson
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.headers import OF_DATA, OF_DOCUMENTS, POLICY
from gateway.observe import lines, metrics, tracing
from gateway.observe.sink import Sink

REQUEST_ID, ORIGIN = b"x-request-id", b"origin"
_ACCEPTABLE_ID = re.compile(rb"(?![A-Za-z0-9_-]{43}$)[A-Za-z0-9._-]{1,64}")
"""A plain word, but none of the form of an API key (`auth`): the id is logged."""
UNROUTED = "unmatched"
"""The route of a request that no route matched: clients choose paths, so they must not become label values."""
QUIET = ("/healthz", "/readyz", "/metrics")
"""Routes that are asked every few seconds: their lines are for debugging."""
CLIENT_LEFT = 499
"""The status in the log of a request whose client left before an answer began."""
_STATUS = "status"
"""Key of the answer's status in the request's state."""

log = structlog.get_logger()


def configure(style: Literal["auto", "json", "text"], level: str) -> None:
    """Send every log line, uvicorn's included, to standard error in one format. Called once, in `__main__`."""
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if text else "iso", utc=not text),
        structlog.processors.StackInfoRenderer(),
    ]
    # Tracebacks as Python prints them, without the values of variables: those hold pictures.
    final: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        lines.bounded(_as_text() if text else _as_json),
    ]
    sink = cast("TextIO", Sink(sys.stderr))
    numeric = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.WriteLoggerFactory(sink),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(numeric, logging.WARNING), force=True)


def _as_text() -> lines.Render:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _as_json(logger: structlog.typing.WrappedLogger, name: str, event: structlog.typing.EventDict) -> str:
    """By orjson in a quarter of the time, by `json` where orjson fails: half characters, very large numbers."""
    try:
        return orjson.dumps(event, default=repr).decode()
    except orjson.JSONEncodeError:
        return json.dumps(event, default=repr)


class RequestLog:
    """Gives every request an id, and its answer the fields that all have; counts, times and logs it.

    The outermost layer, so that no request escapes it.
    """

    def __init__(self, app: ASGIApp, for_pages: Callable[[ASGIApp], ASGIApp]) -> None:
        """`for_pages` is the layer after this one for requests that have a field Origin (`http.cors`)."""
        self._app = app
        self._app_for_pages = for_pages(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = time.perf_counter()
        request_id, of_page = _read(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id

        async def observed_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                state[_STATUS] = message["status"]
                fields = message.get("headers", ())
                added = OF_DOCUMENTS if POLICY in dict(fields) else OF_DATA
                message["headers"] = [*fields, (REQUEST_ID, request_id.encode()), *added]
            await send(message)

        with tracing.request(scope["headers"], request_id) as span:
            structlog.contextvars.bind_contextvars(request_id=request_id, **tracing.logged())
            try:
                await (self._app_for_pages if of_page else self._app)(scope, receive, observed_send)
            finally:
                _end(scope, time.perf_counter() - started, span)
                structlog.contextvars.clear_contextvars()


def answered(scope: Scope) -> bool:
    """Whether the head of an answer to this request has been sent."""
    return _STATUS in scope["state"]


def _read(scope: Scope) -> tuple[str, bool]:
    """The request's id, and whether it has an Origin.

    The id is the caller's own where that is a plain word, else a fresh one: clients must not write our log lines.
    """
    request_id, of_page = "", False
    for name, value in scope["headers"]:
        if name == REQUEST_ID and not request_id and _ACCEPTABLE_ID.fullmatch(value):
            request_id = str(value, "ascii")
        elif name == ORIGIN:
            of_page = True
    return request_id or tracing.random_hex(16), of_page


def _end(scope: Scope, seconds: float, span: tracing.Span | None) -> None:
    """Count and log the request. `span` gets the names that OpenTelemetry has agreed on."""
    matched = scope.get("route")
    route = getattr(matched, "path_format", None) or getattr(matched, "path", None) or UNROUTED
    method, state = scope["method"], scope["state"]
    status = state.get(_STATUS, CLIENT_LEFT)
    facts = {"method": method, **({"caller": state["caller"]} if "caller" in state else {}), **state.get("why", {})}
    request_ended(route, status, seconds, facts)
    if span:
        attributes = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        span.note(f"{method} {route}", attributes)


def request_ended(route: str, status: int, seconds: float, facts: Mapping[str, Any]) -> None:
    """Count one request and write its line.

    Args:
        route: its template, from a closed set.
        facts: what else the line says.
    """
    metrics.requests(route, status).inc()
    metrics.request_seconds(route).observe(seconds)
    write = log.debug if route in QUIET else log.info
    write("request", route=route, status=status, ms=round(seconds * 1000, 1), **facts)
