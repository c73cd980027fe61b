"""One connection of a client: uvicorn's protocol with bounds on size, time and number.

uvicorn waits for a request without a time limit, takes heads of any size, and reads everything that a refused client
still sends. Here every state that waits for the client ends (`check`, called by the connection limiter), the framing of
a request must be unambiguous, and the work for a client ends when that client leaves.
"""

import asyncio
import re
import select
import urllib.parse
from typing import Any, NoReturn, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.errors import (
    GatewayError,
    HeadTooLargeError,
    MalformedRequestError,
    RequestTimeoutError,
    UrlTooLongError,
)
from gateway.fairness import Pace
from gateway.http.connections import ConnectionLimiter
from gateway.http.exchange import CoalescingTransport, Exchange
from gateway.http.problems import refusal

MAX_URL_BYTES = 8 * 1024
MAX_PIPELINED = 16
"""Requests that may wait on one connection while an earlier one is answered."""
LINGER_S = 1.0
"""How long a connection stays half open after a refusal in the middle of a body: a reset could overtake the answer."""
MAX_DROPPED_BYTES = 256 * 1024

LEFT = getattr(select, "POLLRDHUP", 0)
"""A client has closed its side; a reset is reported unasked, and macOS reports both unasked."""

_HOST = re.compile(rb"[A-Za-z0-9.\-_:\[\]%]+")
BETWEEN, HEAD, BODY, DROPPING = range(4)
"""What the client is sending: nothing, a head, a body, or bytes that are not read any more."""


class Connection(HttpToolsProtocol):
    """uvicorn's protocol for one connection, bounded."""

    cycle: Exchange  # None at first, as uvicorn has it

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limiter: ConnectionLimiter,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limiter = limiter
        self._receiving = BETWEEN
        self._since = self._heard = self._checked = self.loop.time()
        """When the current state began, when bytes last arrived, and when `check` was last called."""
        self._head_bytes = self._field_bytes = self._dropped_bytes = 0
        self._pace = Pace(limiter.settings.body_min_bytes_per_s)
        """Of the latest body."""
        self._unsent_since: float | None = None
        self._lingering_since: float | None = None
        self._upgrade_offered = False
        """The parser is at the end of a head that offers another protocol, and will skip the body."""
        self._active: tuple[Exchange, asyncio.Task[None]] | None = None
        self._stopped_by: GatewayError | None = None
        """Why a callback stopped the parser."""
        self._pending_refusal: GatewayError | None = None
        """It waits until the answer before it has been sent."""

    # --- The connection ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._writer = CoalescingTransport(transport, self.hang_up)
        self._descriptor = _descriptor(transport)
        if error := self._limiter.admit(self, self._descriptor):
            self._receiving = DROPPING
            transport.write(refusal(error))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left, so the work for it ends."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn keeps its timer, and so the connection, after a reset
        self._limiter.remove(self)
        self.pipeline.clear()
        exchange, task = self._active or (None, None)
        if exchange and task and not exchange.response_complete:
            exchange.disconnected = True
            task.cancel()
        if task is None or task.done():
            self._let_go()

    def _let_go(self) -> None:
        """Break the reference cycles of this connection, so that it is freed now and not by the garbage collector.

        A collection goes through every open connection: half a second beside two thousand slow ones.
        """
        for exchange in (self.cycle, self._active and self._active[0]):
            if exchange:
                exchange.failure = None  # its traceback refers to the exchange
        self.cycle = self._active = None  # type: ignore[assignment]  # as at first
        del self._writer
        self._pace.over()

    def data_received(self, data: bytes) -> None:
        """Count the bytes and feed the parser."""
        if self._receiving == DROPPING:
            self._drop(len(data))
            return
        self._unset_keepalive_if_required()
        self._heard = self.loop.time()
        if self._receiving == BETWEEN and not self._busy():
            self._begin(HEAD)
        if self._receiving == HEAD:
            self._head_bytes += len(data)
        self._feed(data)
        if self._receiving == HEAD and self._head_bytes > self._limiter.settings.max_head_bytes:
            self._refuse(self._head_too_large())

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                data = self._head_without_offer() + data[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)  # the other one may take the request for its last
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
            except httptools.HttpParserError:
                self._refuse(self._stopped_by or MalformedRequestError("The request is not valid HTTP/1.1."))
                return

    def _head_without_offer(self) -> bytes:
        """The head that was parsed last, without its field Upgrade, to be parsed again.

        An offer of another protocol is ignored (RFC 9110, section 7.8), but httptools skips the body after it.
        """
        self._upgrade_offered = False
        self._field_bytes = 0
        version = self.parser.get_http_version().encode()
        first = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)
        fields = [b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"]
        return b"\r\n".join([first, *fields, b"", b""])

    def _begin(self, part: int) -> None:
        self._receiving = part
        self._since = self._heard
        if part == HEAD:
            self._limiter.mark_active(self)
            self._head_bytes = self._field_bytes = 0

    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _drop(self, count: int) -> None:
        self._dropped_bytes += count
        if self._dropped_bytes > MAX_DROPPED_BYTES:
            self.flow.pause_reading()

    def hang_up(self) -> None:
        """Close. A client that is still sending gets a moment to read the answer."""
        if self.transport.is_closing() or self._lingering_since is not None:
            return
        if self._receiving == BETWEEN or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self._receiving = DROPPING
            self._lingering_since = self.loop.time()
            self.flow.pause_reading()
            self.transport.write_eof()

    def give_way(self, error: GatewayError | None = None) -> None:
        """Close at once, with `error` as the answer to a request that has not begun.

        What the client has not read is dropped, or the descriptor would stay in use.
        """
        if self.transport.get_write_buffer_size():
            self.transport.abort()
            return
        if error:
            self.transport.write(refusal(error, self.loop.time() - self._since))
        self.transport.close()

    # --- Time limits -------------------------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """End the state that the connection is in, where its time is over."""
        elapsed, self._checked = now - self._checked, now
        if self._unsent_for(now) > self._limiter.settings.send_timeout_s or self._left_unnoticed():
            self.transport.abort()
        elif self._lingering_since is not None:
            if now - self._lingering_since > LINGER_S:
                self.transport.close()
        elif self._receiving == BODY and self.flow.read_paused:  # the gateway is slow, not the client
            self._since += elapsed
            self._heard = now
        elif self._receiving == BODY and self._body_late(now, elapsed):
            self._refuse(
                RequestTimeoutError(
                    "The body arrived too slowly; send it again, over a faster connection or scaled down."
                )
            )
        elif not self._busy() and now - self._since > self._limiter.settings.head_timeout_s:
            if self._receiving == HEAD:
                self._refuse(RequestTimeoutError("The head of the request took too long; send it in one piece."))
            elif self.cycle is None:
                self.transport.close()  # not one byte arrived: a browser's spare connection, or a probe

    def _left_unnoticed(self) -> bool:
        """Whether the client has left while nothing is read, as behind pipelined requests that wait."""
        watched = self.flow.read_paused and self._busy() and self._lingering_since is None
        if not watched or not self._descriptor or self.transport.is_closing():
            return False
        poll = select.poll()
        poll.register(self._descriptor, LEFT)
        return bool(poll.poll(0))

    def _unsent_for(self, now: float) -> float:
        if not self.transport.get_write_buffer_size():
            self._unsent_since = None
        elif self._unsent_since is None:
            self._unsent_since = now
        return now - self._unsent_since if self._unsent_since is not None else 0.0

    def _body_late(self, now: float, elapsed: float) -> bool:
        settings, pace = self._limiter.settings, self._pace
        pace.passed(min(elapsed, now - self._since))
        return now - self._heard > settings.body_idle_s or pace.behind_s > settings.body_timeout_s

    # --- Requests that do not reach the application ------------------------------------------------------------------

    def _refuse(self, error: GatewayError) -> None:
        """Answer `error` after the requests before it, and close."""
        if self._receiving == BODY:
            self._receiving = DROPPING
            self.cycle.fail(error)
        elif self._busy():
            self._receiving = DROPPING
            self._pending_refusal = error
        else:
            self._answer_and_close(error)

    def _answer_and_close(self, error: GatewayError) -> None:
        self._receiving = DROPPING
        if not self.transport.is_closing():
            self.transport.write(refusal(error, self.loop.time() - self._since))
            self.hang_up()

    def _stop_parsing(self, error: GatewayError) -> NoReturn:
        """Stop the parser from within one of its callbacks.

        `error` is kept and not raised: its traceback would refer to this connection and form a reference cycle.
        """
        self._stopped_by = error
        raise httptools.HttpParserError

    def _head_too_large(self) -> GatewayError:
        settings = self._limiter.settings
        return HeadTooLargeError(
            f"The head may have at most {settings.max_head_fields} fields and {settings.max_head_bytes:,} bytes."
        )

    # --- Callbacks of the parser -------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._receiving != HEAD:
            self._begin(HEAD)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._stop_parsing(
                UrlTooLongError(f"The URL may have at most {MAX_URL_BYTES:,} bytes; send pictures in the request body.")
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._field_bytes += len(name) + len(value)
        settings = self._limiter.settings
        if len(self.headers) > settings.max_head_fields or self._field_bytes > settings.max_head_bytes:
            self._stop_parsing(self._head_too_large())

    def on_headers_complete(self) -> None:
        """Start the exchange, or queue it behind the one before."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrade_offered = True
            return
        if ambiguity := self._ambiguity():
            self._stop_parsing(MalformedRequestError(ambiguity))
        self._fill_scope()
        self._begin(BODY)
        self._pace = Pace(self._limiter.settings.body_min_bytes_per_s, self._refuse)
        self.scope["state"]["pace"] = self._pace  # for `admission`
        waits = self._busy()
        self.cycle = Exchange(
            scope=self.scope,
            transport=self._writer,  # the part of a transport that it uses
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.parser.should_keep_alive() and not self._limiter.lifecycle.draining,
            on_response=self.on_response_complete,
        )
        self.cycle.refuse = self._answer_and_close
        self.cycle.turns, self.cycle.connection = self._limiter.turns, self
        if waits:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)

    def _ambiguity(self) -> str | None:
        """What two parsers could read differently in the head; llhttp refuses other ambiguities itself."""
        version = self.parser.get_http_version()
        hosts = [value for name, value in self.headers if name == b"host"]
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if version not in ("1.0", "1.1"):
            return "This server speaks HTTP/1.1 and HTTP/1.0 only."
        if (len(hosts) != 1 and (hosts or version == "1.1")) or not all(_HOST.fullmatch(host) for host in hosts):
            return "A request needs exactly one valid Host field."
        if codings and (version == "1.0" or [coding.strip().lower() for coding in codings] != [b"chunked"]):
            return "The only Transfer-Encoding is chunked, once, in HTTP/1.1."
        if len(self.pipeline) >= MAX_PIPELINED:
            return f"At most {MAX_PIPELINED} requests may wait on one connection."
        return None

    def _fill_scope(self) -> None:
        version = self.parser.get_http_version()
        try:
            url = httptools.parse_url(self.url)
            path = url.path.decode("ascii")
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError, AttributeError):
            self._stop_parsing(MalformedRequestError("The request target is not a valid path and query."))
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        self.scope["raw_path"] = url.path
        self.scope["query_string"] = url.query or b""

    def on_body(self, body: bytes) -> None:
        self._pace.received += len(body)
        if self.cycle.response_complete:
            return
        self.cycle.take(body)
        if self.cycle.waiting_bytes > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        if self._upgrade_offered:
            return
        super().on_message_complete()
        self._receiving = BETWEEN
        self._pace.over()
        if not self.pipeline:
            self.flow.resume_reading()  # otherwise a client that leaves would go unnoticed

    # --- Answers -----------------------------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self._ended)
        self.tasks.add(task)
        self._active = cast("Exchange", cycle), task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        lost = self.parser is None
        if lost and self._active and self._active[1] is task:
            self._let_go()

    def pause_writing(self) -> None:
        """The client has not read a good part of an answer: its connection gives way like one that is idle."""
        super().pause_writing()
        self._limiter.mark_idle(self)

    def resume_writing(self) -> None:
        """It has read, and is active if it has a request."""
        super().resume_writing()
        if self._busy():
            self._limiter.mark_active(self)

    def on_response_complete(self) -> None:
        """Go on with the next request, become idle, or send the pending refusal."""
        self._writer.flush()
        if self._pending_refusal and not self.pipeline:
            self._answer_and_close(self._pending_refusal)
        elif self._lingering_since is None:
            super().on_response_complete()
            if self._receiving == BETWEEN and not self._busy():
                self._limiter.mark_idle(self)


def _descriptor(transport: asyncio.Transport) -> int:
    """The file descriptor of a connection; 0 where there is none."""
    its = transport.get_extra_info("socket")
    return its.fileno() if its else 0
