"""The connection limiter: how many connections of clients may be open, and when each is checked for time-outs."""

import asyncio
import sys
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from gateway.admission import refusal
from gateway.errors import GatewayError
from gateway.http.exchange import Turns
from gateway.http.lifecycle import Lifecycle
from gateway.observe import metrics
from gateway.settings import Settings

CHECK_EVERY_S = 0.25
"""One timer for all connections costs less than a timer for each request: 4,096 checks take a millisecond."""
GROUPS = 10
"""Connections are checked in groups, one after the other. Of two thousand slow clients, fifty would otherwise time out
at the same moment, and a request that arrives then would wait 20 to 50 ms."""

log = structlog.get_logger()


class Limited(Protocol):
    """A connection, as the limiter uses it."""

    def check(self, now: float) -> None:
        """End what takes too long."""

    def give_way(self, error: GatewayError | None = None) -> None:
        """Close at once, an answer that the client does not read included; `error` answers a request not begun."""


@dataclass(eq=False)
class ConnectionLimiter:
    """Counts open connections. At the limit, a new one replaces another, or is refused.

    It replaces the one that has been idle longest; else, of the caller with most requests that wait for their turn to
    begin, the one with the latest of these.
    """

    settings: Settings
    turns: Turns[Limited]
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    limit: int = 0
    """Most open connections; 0: as many as the settings allow."""
    last_descriptor: int = sys.maxsize
    """The last file descriptor that a connection may have; those above are for other things (`descriptors`)."""
    _open: dict[Limited, int] = field(default_factory=dict)
    """Connection -> its group."""
    _admitted: int = 0
    _idle: dict[Limited, None] = field(default_factory=dict)
    """Between two requests, or does not read its answer; the longest idle first."""
    _refused: int = 0
    """Since the last line in the log."""
    _reported: float = 0.0
    """When that was: there is at most one a second."""

    def __post_init__(self) -> None:
        self.limit = self.limit or self.settings.max_connections

    def admit(self, connection: Limited, descriptor: int = 0) -> GatewayError | None:
        """Count a new connection; an error where there is no room for it."""
        full = len(self._open) >= self.limit or descriptor > self.last_descriptor
        if full and not self._close_idle() and not self._close_crowding():
            self._refused += 1
            return self._too_many()
        self._admitted += 1
        self._open[connection] = self._admitted % GROUPS
        return None

    def _close_idle(self) -> bool:
        if not self._idle:
            return False
        longest = next(iter(self._idle))
        self.remove(longest)
        longest.give_way()
        return True

    def _close_crowding(self) -> bool:
        if (crowding := self.turns.crowding()) is None:
            return False
        self.remove(crowding)
        crowding.give_way(self._too_many())
        return True

    def _too_many(self) -> GatewayError:
        return refusal("connections", f"{len(self._open):,} connections are open.")

    def remove(self, connection: Limited) -> None:
        """It is closed."""
        self._open.pop(connection, None)
        self._idle.pop(connection, None)

    def mark_idle(self, connection: Limited) -> None:
        """Its request is answered and the next has not begun, or its client does not read the answer."""
        if connection in self._open:
            self._idle[connection] = None

    def mark_active(self, connection: Limited) -> None:
        """A request has begun."""
        self._idle.pop(connection, None)

    async def watch(self) -> None:
        """Check every connection regularly; ends by cancellation."""
        loop = asyncio.get_running_loop()
        while True:
            for group in range(GROUPS):
                await asyncio.sleep(CHECK_EVERY_S / GROUPS)
                self.check(loop.time(), group)

    def check(self, now: float, group: int | None = None) -> None:
        """Check the connections of one group, or all."""
        metrics.CONNECTIONS.set(len(self._open))
        for connection in [connection for connection, its in self._open.items() if group in (None, its)]:
            connection.check(now)
        if self._refused and now - self._reported >= 1:
            log.warning("connections turned away", count=self._refused, most=self.limit)
            self._refused, self._reported = 0, now
