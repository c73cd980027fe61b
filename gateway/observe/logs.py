"""One line a request, with its id; text on a terminal, JSON elsewhere. Never picture bytes, file names or keys."""

import json
import logging
import re
import sys
import time
from typing import Any, Literal, TextIO, cast

import orjson
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.observe import metrics, tracing
from gateway.observe.sink import Sink

REQUEST_ID = b"x-request-id"
_ACCEPTABLE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
UNROUTED = "unmatched"
"""Route label where no route matched: paths are the client's and without bound."""

log = structlog.get_logger()


def configure(style: Literal["auto", "json", "text"], level: str) -> None:
    """Send every log line, uvicorn's included, to standard error in one form. Called once, in `__main__`."""
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if text else "iso", utc=not text),
        structlog.processors.StackInfoRenderer(),
    ]
    # Tracebacks without the values of variables, which structlog would print by default: they hold pictures.
    plain = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    final: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if text
        else [structlog.processors.ExceptionRenderer(plain), structlog.processors.JSONRenderer(_as_json)]
    )
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


def _as_json(line: Any, **how: Any) -> str:
    """In a quarter of the time that `json.dumps` takes, which knows more: half characters, very large numbers."""
    try:
        return orjson.dumps(line, **how).decode()
    except orjson.JSONEncodeError:
        return json.dumps(line, **how)


class RequestLog:
    """Gives every request an id, and counts, times and logs it. The outermost layer, so that nothing escapes it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = time.perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 499  # the client left before an answer began

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (REQUEST_ID, request_id.encode())]
            await send(message)

        with tracing.request(scope["headers"], request_id) as span:
            structlog.contextvars.bind_contextvars(request_id=request_id, **tracing.logged())
            try:
                await self._app(scope, receive, observed_send)
            finally:
                route = _template(scope.get("route"))
                _record(scope, route, status, time.perf_counter() - started)
                _note(span, scope, route, status)
                structlog.contextvars.clear_contextvars()


def _note(span: tracing.Span, scope: Scope, route: str, status: int) -> None:
    """By the names that OpenTelemetry has agreed on."""
    method = scope["method"]
    span.note(
        f"{method} {route}",
        {"http.request.method": method, "http.route": route, "http.response.status_code": status},
    )


def _record(scope: Scope, route: str, status: int, seconds: float) -> None:
    metrics.request_answered(route, status, seconds)
    quiet = route in ("/healthz", "/readyz", "/metrics")
    (log.debug if quiet else log.info)(
        "request",
        method=scope["method"],
        route=route,
        status=status,
        ms=round(seconds * 1000, 1),
        **({"caller": caller} if (caller := scope["state"].get("caller")) else {}),
        **scope["state"].get("why", {}),
    )


def _template(route: object) -> str:
    """`/v1/models/{name}`: from a closed set, as a metric's label must be."""
    return str(getattr(route, "path_format", None) or getattr(route, "path", None) or UNROUTED)


def _request_id(scope: Scope) -> str:
    """The caller's own where it is a plain word, else a fresh one: nobody writes our log lines for us."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _ACCEPTABLE_ID.fullmatch(value):
            return str(value, "ascii")
    return tracing.random_hex(16)
