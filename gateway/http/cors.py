"""Which pages of other origins may call the API (CORS), and what the operator learns of those that may not.

A page of a listed origin may send any field but those in WITHHELD: upload widgets and tracing add fields of their own.
The browser enforces the refusals and tells the page's script nothing, so each leaves a line in the log and counts in
`gateway_cross_origin_refused_total{reason}`. An origin is logged only in the form that browsers send.

Source: the Fetch standard, "CORS protocol".
"""

import contextvars
import re
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import CrossOriginError
from gateway.http import problems
from gateway.http.origins import ALL, is_origin
from gateway.observe import metrics

METHODS = ("GET", "HEAD", "POST", "PUT")
WITHHELD = frozenset(
    {
        "cookie",
        "forwarded",
        "proxy-authorization",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-real-ip",
    }
)
"""Credentials that are not for this API, and what a proxy reports about the caller."""
MAX_AGE_S = 3600
"""How long a browser may keep the answer to a preflight."""
PER_MINUTE = 20
"""Most lines in the log; a caller chooses the origins that it sends."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_EXPOSED = (b"access-control-expose-headers", b"X-Request-ID, Retry-After")

log = structlog.get_logger()


class CrossOrigin:
    """Takes requests that have a field Origin: answers preflights, and lets pages of listed origins read answers."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._refusals = Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer a preflight."""
        fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
        if scope["method"] == "OPTIONS" and "access-control-request-method" in fields:
            answer = await self._preflight(scope, fields)
            await answer(scope, receive, send)
        elif self._allowed(fields["origin"]):
            await self._app(scope, receive, partial(_readable, self._allow_origin(fields["origin"]), send))
        else:
            if not _of_this_origin(fields):
                self._refusals.note(fields["origin"], "origin")
            await self._app(scope, receive, send)

    async def _preflight(self, scope: Scope, fields: Mapping[str, str]) -> Response:
        try:
            return self._permission(fields)
        except CrossOriginError as refused:
            return await problems.answer(Request(scope), refused)

    def _permission(self, fields: Mapping[str, str]) -> Response:
        """The answer to a preflight.

        Raises:
            CrossOriginError: the origin, the method or a field is not allowed.
        """
        origin, asked = fields["origin"], fields.get("access-control-request-headers", "")
        names = [name.strip().lower() for name in asked.split(",") if name.strip()]
        if not self._allowed(origin):
            raise self._refused(origin, "origin")
        if fields["access-control-request-method"] not in METHODS:
            raise self._refused(origin, "method")
        for name in names:
            if name in WITHHELD or not _TOKEN.fullmatch(name):
                raise self._refused(origin, "header", name if name in WITHHELD else "that is no name")
        headers = {
            "access-control-allow-origin": self._allow_origin(origin),
            "access-control-allow-methods": ", ".join(METHODS),
            "access-control-allow-headers": ", ".join(names),
            "access-control-max-age": str(MAX_AGE_S),
            "vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
        }
        if "access-control-request-private-network" in fields:
            headers["access-control-allow-private-network"] = "true"
        return Response(headers={name: value for name, value in headers.items() if value})

    def _allowed(self, origin: str) -> bool:
        return ALL in self._origins or origin in self._origins

    def _allow_origin(self, origin: str) -> str:
        return ALL if ALL in self._origins else origin

    def _refused(self, origin: str, reason: metrics.CrossOriginReason, name: str = "") -> CrossOriginError:
        self._refusals.note(origin, reason, name)
        what = f"{reason} {name}".strip()
        return CrossOriginError(f"A page of {shown(origin)} may not send this request because of its {what}.")


async def _readable(allow_origin: str, send: Send, message: Message) -> None:
    """Send a message of an answer that the page may read."""
    if message["type"] == "http.response.start":
        allowed = (b"access-control-allow-origin", allow_origin.encode("latin-1"))
        message["headers"] = [*message.get("headers", ()), allowed, _EXPOSED]
    await send(message)


def _of_this_origin(fields: Mapping[str, str]) -> bool:
    """Whether one of the gateway's own pages sent it; behind a proxy the Host may be another one."""
    own = fields["origin"].partition("://")[2] == fields.get("host")
    return own or fields.get("sec-fetch-site") == "same-origin"


def shown(origin: str) -> str:
    """The origin where it is one that a browser could have sent; it is logged and answered."""
    return origin if origin == "null" or is_origin(origin) else "no valid origin"


class Refusals:
    """Counts what is refused, and logs each origin and reason once a minute, with at most PER_MINUTE lines."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._began = float("-inf")
        self._logged: set[tuple[str, str, str]] = set()
        self._unlogged = 0
        """Since the last line."""

    def note(self, origin: str, reason: metrics.CrossOriginReason, name: str = "") -> None:
        """Count one refusal; `name` is of a field in WITHHELD, or the gateway's own words."""
        metrics.CROSS_ORIGIN_REFUSED.labels(reason).inc()
        now, key = self._clock(), (shown(origin), reason, name)
        if now >= self._began + 60:
            self._began, self._logged = now, set()
        if key in self._logged or len(self._logged) >= PER_MINUTE:
            self._unlogged += 1
            return
        self._logged.add(key)
        facts = {"origin": key[0], "reason": f"{reason} {name}".strip(), "refused_before": self._unlogged}
        self._unlogged = 0
        # Without the id of this request, which has a line of its own.
        contextvars.Context().run(partial(log.warning, "cross-origin request refused", **facts))
