"""One connection of a client: uvicorn's protocol, with bounds on size, time and number.

uvicorn waits for a request without end, takes heads of any size, and reads whatever a refused client still sends.
Here every state that waits for the client has an end (`check`, at each look of the door), the framing of a
request must be unambiguous, and a client that leaves ends the work that was being done for it.
"""

import asyncio
import re
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
from gateway.http.connections import Door
from gateway.http.exchange import Exchange, Wire
from gateway.http.problems import refusal

MAX_URL_BYTES = 8 * 1024
MAX_PIPELINED = 16
"""Requests that wait on one connection for the answer to the one before."""
LINGER_S = 1.0
"""After a refusal in mid-body, before the connection is cut: a reset could overtake the answer."""
MAX_DROPPED_BYTES = 256 * 1024

_HOST = re.compile(rb"[A-Za-z0-9.\-_:\[\]%]+")
NOTHING, HEAD, BODY, OVER = range(4)
"""What the parser is in the middle of; OVER: whatever still comes is dropped."""


class Connection(HttpToolsProtocol):
    """See the module."""

    cycle: Exchange  # None at first, as uvicorn has it

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        door: Door,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._door = door
        self._in = NOTHING
        self._since = self._heard = self._checked = self.loop.time()
        """When that began, when the client was last heard of, and when `check` last looked."""
        self._head_bytes = self._field_bytes = self._body_bytes = self._dropped_bytes = 0
        self._unsent_since: float | None = None
        self._lingering_since: float | None = None
        self._active: tuple[Exchange, asyncio.Task[None]] | None = None
        self._mistake: GatewayError | None = None
        """Why the parser was made to stop."""
        self._last_word: GatewayError | None = None
        """A refusal that waits until the answer before it is out."""

    # --- The connection -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._wire = Wire(transport, self.hang_up)
        if error := self._door.enter(self):
            self._in = OVER
            transport.write(refusal(error))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more: what is being done for them ends."""
        super().connection_lost(exc)
        self._door.leave(self)
        self.pipeline.clear()
        exchange, task = self._active or (None, None)
        if exchange and task and not exchange.response_complete:
            exchange.disconnected = True
            task.cancel()
        if task is None or task.done():
            self._let_go()

    def _let_go(self) -> None:
        """What refers back to this connection ends, so that it is freed now and needs no search for garbage.

        Such a search goes through all connections that are open: half a second beside two thousand slow ones.
        """
        for exchange in (self.cycle, self._active and self._active[0]):
            if exchange:
                exchange.failure = None  # its traceback knows the exchange
        self.cycle = self._active = None  # type: ignore[assignment]  # as at first
        del self._wire

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and count."""
        if self._in == OVER:
            self._drop(len(data))
            return
        self._unset_keepalive_if_required()
        self._heard = self.loop.time()
        if self._in == NOTHING and not self._busy():
            self._begin(HEAD)
        if self._in == HEAD:
            self._head_bytes += len(data)
        self._feed(data)
        if self._in == HEAD and self._head_bytes > self._door.settings.max_head_bytes:
            self._refuse(self._head_too_large())

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # no other protocol is spoken here: this request is answered, the last one
            self.cycle.keep_alive = False
            self._in = OVER
        except httptools.HttpParserError:
            self._refuse(self._mistake or MalformedRequestError("The request is not valid HTTP/1.1."))

    def _begin(self, part: int) -> None:
        self._in = part
        self._since = self._heard
        if part == HEAD:
            self._door.wake(self)
            self._head_bytes = self._field_bytes = 0
        self._body_bytes = 0

    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _drop(self, count: int) -> None:
        self._dropped_bytes += count
        if self._dropped_bytes > MAX_DROPPED_BYTES:
            self.flow.pause_reading()

    def hang_up(self) -> None:
        """Close; where the client still sends, leave it a moment to read the answer."""
        if self.transport.is_closing() or self._lingering_since is not None:
            return
        if self._in == NOTHING or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self._in = OVER
            self._lingering_since = self.loop.time()
            self.flow.pause_reading()
            self.transport.write_eof()

    # --- What takes too long --------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """End what the client has had enough time for."""
        elapsed, self._checked = now - self._checked, now
        if self._unsent_for(now) > self._door.settings.send_timeout_s:
            self.transport.abort()
        elif self._lingering_since is not None:
            if now - self._lingering_since > LINGER_S:
                self.transport.close()
        elif self._in == BODY and self.flow.read_paused:  # it is we who are slow
            self._since += elapsed
            self._heard = now
        elif self._in == BODY and self._body_late(now):
            self._refuse(RequestTimeoutError("The body came too slowly; send it again, over a better line or smaller."))
        elif not self._busy() and now - self._since > self._door.settings.head_timeout_s:
            if self._in == HEAD:
                self._refuse(RequestTimeoutError("The head of the request took too long."))
            elif self.cycle is None:
                self.transport.close()  # not one byte came: a browser's spare connection, or a probe

    def _unsent_for(self, now: float) -> float:
        if not self.transport.get_write_buffer_size():
            self._unsent_since = None
        elif self._unsent_since is None:
            self._unsent_since = now
        return now - self._unsent_since if self._unsent_since is not None else 0.0

    def _body_late(self, now: float) -> bool:
        settings = self._door.settings
        allowed_s = settings.body_timeout_s + self._body_bytes / settings.body_min_bytes_per_s
        return now - self._heard > settings.body_idle_s or now - self._since > allowed_s

    # --- What does not become a request ---------------------------------------------------------------------

    def _refuse(self, error: GatewayError) -> None:
        """Answer `error` when its turn comes, and close."""
        if self._in == BODY:
            self._in = OVER
            self.cycle.fail(error)
        elif self._busy():
            self._in = OVER
            self._last_word = error
        else:
            self._say(error)

    def _say(self, error: GatewayError) -> None:
        self._in = OVER
        if not self.transport.is_closing():
            self.transport.write(refusal(error, self.loop.time() - self._since))
            self.hang_up()

    def _stop_parsing(self, error: GatewayError) -> NoReturn:
        """From within a callback of the parser.

        What is raised is not what is kept: the traceback knows this connection, which would become garbage.
        """
        self._mistake = error
        raise httptools.HttpParserError

    def _head_too_large(self) -> GatewayError:
        settings = self._door.settings
        return HeadTooLargeError(
            f"The head may have at most {settings.max_head_fields} fields and {settings.max_head_bytes:,} bytes."
        )

    # --- Callbacks of the parser ----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._in != HEAD:
            self._begin(HEAD)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._stop_parsing(UrlTooLongError(f"The address may have at most {MAX_URL_BYTES:,} bytes."))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._field_bytes += len(name) + len(value)
        settings = self._door.settings
        if len(self.headers) > settings.max_head_fields or self._field_bytes > settings.max_head_bytes:
            self._stop_parsing(self._head_too_large())

    def on_headers_complete(self) -> None:
        """Begin the exchange, or let it wait for the one before."""
        if mistake := self._ambiguity():
            self._stop_parsing(MalformedRequestError(mistake))
        self._fill_scope()
        self._begin(BODY)
        waits = self._busy()
        self.cycle = Exchange(
            scope=self.scope,
            transport=self._wire,  # as much of a transport as it uses
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.parser.should_keep_alive() and not self._door.lifecycle.draining,
            on_response=self.on_response_complete,
        )
        self.cycle.refuse = self._say
        if waits:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)

    def _ambiguity(self) -> str | None:
        """What in the head could be read in two ways; llhttp has refused the rest of it."""
        version = self.parser.get_http_version()
        hosts = [value for name, value in self.headers if name == b"host"]
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if version not in ("1.0", "1.1"):
            return "Only HTTP/1.1 and HTTP/1.0 are spoken here."
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
            self._stop_parsing(MalformedRequestError("The address of the request is not valid."))
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        self.scope["raw_path"] = url.path
        self.scope["query_string"] = url.query or b""

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            return
        self.cycle.take(body)
        if self.cycle.waiting_bytes > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in = NOTHING
        if not self.pipeline:
            self.flow.resume_reading()  # else nobody notices that the client leaves

    # --- Answers --------------------------------------------------------------------------------------------

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

    def on_response_complete(self) -> None:
        """Go on with the next request, rest, or say the last word."""
        self._wire.flush()
        if self._last_word and not self.pipeline:
            self._say(self._last_word)
        elif self._lingering_since is None:
            super().on_response_complete()
            if self._in == NOTHING and not self._busy():
                self._door.rest(self)
