"""All connections of clients: how many there may be, and how long each may take."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from gateway.errors import TooManyConnectionsError
from gateway.http.lifecycle import Lifecycle
from gateway.observe import metrics
from gateway.settings import Settings

LOOK_EVERY_S = 0.25
"""One look at all of them costs less than a timer for each request: 4,096 connections take a millisecond."""
ROUNDS = 10
"""In which a look goes; each connection belongs to one. Of two thousand slow clients, fifty would be refused at a time,
and whoever asks in that moment would wait 20 to 50 ms for it."""
RETRY_AFTER_S = 1

log = structlog.get_logger()


class Guest(Protocol):
    """A connection, as the door sees it."""

    def check(self, now: float) -> None:
        """End what takes too long."""

    def hang_up(self) -> None:
        """Close."""


@dataclass(eq=False)
class Door:
    """Who is in."""

    settings: Settings
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    most: int = 0
    """Connections at once; at first as many as the settings say."""
    _open: dict[Guest, int] = field(default_factory=dict)
    """Each with its round."""
    _entered: int = 0
    _resting: dict[Guest, None] = field(default_factory=dict)
    """Between two requests, the longest first."""
    _turned_away: int = 0

    def __post_init__(self) -> None:
        self.most = self.most or self.settings.max_connections

    def enter(self, connection: Guest) -> TooManyConnectionsError | None:
        """Let it in, if need be in the place of one that rests; else say why not."""
        if len(self._open) >= self.most and not self._make_room():
            self._turned_away += 1
            metrics.CONNECTIONS_REFUSED.inc()
            return TooManyConnectionsError(f"{self.most:,} connections are open.", retry_after_s=RETRY_AFTER_S)
        self._entered += 1
        self._open[connection] = self._entered % ROUNDS
        return None

    def _make_room(self) -> bool:
        if not self._resting:
            return False
        longest = next(iter(self._resting))
        self.leave(longest)
        longest.hang_up()
        return True

    def leave(self, connection: Guest) -> None:
        """It is closed."""
        self._open.pop(connection, None)
        self._resting.pop(connection, None)

    def rest(self, connection: Guest) -> None:
        """It has its answer and asks nothing."""
        self._resting[connection] = None

    def wake(self, connection: Guest) -> None:
        """It asks again."""
        self._resting.pop(connection, None)

    async def watch(self) -> None:
        """End what takes too long, for as long as the gateway runs."""
        loop = asyncio.get_running_loop()
        while True:
            for turn in range(ROUNDS):
                await asyncio.sleep(LOOK_EVERY_S / ROUNDS)
                self.look(loop.time(), turn)

    def look(self, now: float, turn: int | None = None) -> None:
        """At each connection once; at those of one round, where it is given."""
        metrics.CONNECTIONS.set(len(self._open))
        for connection in [guest for guest, its in self._open.items() if turn in (None, its)]:
            connection.check(now)
        if self._turned_away:
            log.warning("connections turned away", count=self._turned_away, most=self.most)
            self._turned_away = 0
