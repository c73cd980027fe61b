"""The server: uvicorn with bounded connections, and a stop that first drains and then ends within a known time."""

import asyncio
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI

from gateway.http import descriptors
from gateway.http.connection import Connection
from gateway.http.connections import ConnectionLimiter
from gateway.http.exchange import Turns
from gateway.http.lifecycle import Lifecycle
from gateway.process import memory
from gateway.settings import Settings

GRACE_S = 5
"""Seconds for an answer to reach its client after the request's own deadline."""
BACKLOG = 65_535
"""Connections that wait to be accepted: as many as the kernel allows. It drops the packets of further ones, so their
clients try again after 1, 3 and 7 seconds."""
HURRY_S = 2
"""Seconds for embedded replicas to end after a second signal."""

log = structlog.get_logger()


class Server(uvicorn.Server):
    """After a signal it drains, then finishes the requests in flight, then cancels the rest, and exits with 0."""

    def __init__(self, app: FastAPI, settings: Settings, lifecycle: Lifecycle) -> None:
        self._settings = settings
        self._lifecycle = lifecycle
        self._drained_at = 0.0
        self._stopping: dict[str, str | float] = {}
        self._limiter = ConnectionLimiter(settings, Turns(app.state.callers.of), lifecycle)
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                backlog=BACKLOG,
                http=partial(Connection, limiter=self._limiter),  # type: ignore[arg-type]  # called like the class
                loop="uvloop",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=settings.keep_alive_s,  # type: ignore[arg-type]  # it is only added to a time
                timeout_graceful_shutdown=int(settings.deadline_s) + GRACE_S,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections and log the address."""
        self._limiter.limit, self._limiter.last_descriptor = descriptors.room(self._settings)
        await super().startup(sockets)
        self._endless = [asyncio.create_task(self._limiter.watch()), asyncio.create_task(memory.give_back_regularly())]
        memory.collect_garbage_rarely()
        host = "localhost" if self.config.host in ("127.0.0.1", "0.0.0.0", "::") else self.config.host  # noqa: S104
        log.info("listening", url=f"http://{f'[{host}]' if ':' in host else host}:{self.config.port}")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Call `handle_exit` for SIGINT and SIGTERM while the block runs."""
        before = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: drain, then finish. Ctrl-C: finish without draining. A second signal: stop at once."""
        if self._lifecycle.draining:
            self.should_exit = self.force_exit = True
            return
        drain_s = self._settings.drain_s if sig == signal.SIGTERM else 0.0
        self._lifecycle.draining = True
        self._drained_at = time.monotonic() + drain_s
        within_s = drain_s + (self.config.timeout_graceful_shutdown or 0)
        self._stopping = {"signal": signal.Signals(sig).name, "accepting_s": drain_s, "within_s": within_s}

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop now."""
        if self._stopping:  # a gateway that waits for a slow client must not look hung
            log.info("stopping", **self._stopping)  # not in the handler, which may interrupt a request
            self._stopping = {}
        drained = self._lifecycle.draining and time.monotonic() >= self._drained_at
        return await super().on_tick(counter) or drained

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listeners, finish requests within the grace period, answer the rest with 503."""
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                await self._wait_tasks_to_complete()
        await self._end_the_rest()
        for task in self._endless:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(HURRY_S if self.force_exit else None):
                await self.lifespan.shutdown()

    async def _end_the_rest(self) -> None:
        self._lifecycle.grace_over = True
        if left := set(self.server_state.tasks):
            log.warning("grace is over", cancelled=len(left))
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=1)
        for connection in list(self.server_state.connections):
            connection.transport.close()
