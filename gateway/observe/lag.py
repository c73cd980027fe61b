"""How late the event loop is: a task that wants to wake every 20 ms, and notes how much later it did.

A timeout that fires just after the loop itself stood still says nothing about whoever was waited for.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.observe import metrics

PERIOD_S = 0.02
STALL_S = 0.1
"""A time-out seen while the event loop itself was this late shows nothing about a replica."""
KEPT = 1500
"""Wakings that are remembered: half a minute."""


class LagProbe:
    """Measures while `run` runs."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due = clock() + PERIOD_S
        self._late: deque[tuple[float, float]] = deque(maxlen=KEPT)
        """Moment of a waking and its lag; those that were in time are left out."""
        self.latest = 0.0
        """Seconds that the last waking was late."""

    async def run(self) -> None:
        """For as long as the gateway runs."""
        while True:
            self._due = self._clock() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            self.woke(self._clock())

    def woke(self, now: float) -> None:
        """Note one waking."""
        self.latest = max(0.0, now - self._due)
        metrics.LOOP_LAG_SECONDS.observe(self.latest)
        if self.latest > PERIOD_S:
            self._late.append((now, self.latest))

    def stalled(self, since: float) -> bool:
        """Whether a wait that began at `since` and ends now shows nothing: the loop itself stood still meanwhile."""
        return self._clock() - since > STALL_S and self.most(since) > STALL_S

    def most(self, since: float) -> float:
        """The longest lag from the moment `since` until now, in seconds; below 20 ms it may count as none.

        A standstill that ends at this very moment counts, even where the task itself has not come to its turn yet.
        """
        lags = [lag for moment, lag in self._late if moment >= since]
        return max(0.0, self._clock() - self._due, *lags)
