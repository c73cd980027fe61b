"""How late the event loop is: a task sleeps for 20 ms at a time and notes how much later it wakes.

A timeout that fires just after the loop itself stood still does not mean that the other side was slow.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.observe import metrics

PERIOD_S = 0.02
STALL_S = 0.1
"""A time-out seen while the event loop itself was this late shows nothing about a replica."""
KEPT = 1500
"""How many late wake-ups are remembered: at least half a minute."""


class LagProbe:
    """Measures the lag while `run` runs."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due = clock() + PERIOD_S
        self._late: deque[tuple[float, float]] = deque(maxlen=KEPT)
        """Moment and lag of each wake-up that was late."""
        self.latest = 0.0
        """Lag of the last wake-up, in seconds."""

    async def run(self) -> None:
        """Measure; ends by cancellation."""
        while True:
            self._due = self._clock() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            self.woke(self._clock())

    def woke(self, now: float) -> None:
        """Note one wake-up."""
        self.latest = max(0.0, now - self._due)
        metrics.LOOP_LAG_SECONDS.observe(self.latest)
        if self.latest > PERIOD_S:
            self._late.append((now, self.latest))

    def stalled(self, since: float) -> bool:
        """Whether a wait that began at `since` and ends now shows nothing: the loop itself stood still meanwhile."""
        return self._clock() - since > STALL_S and self.most(since) > STALL_S

    def most(self, since: float) -> float:
        """The longest lag from the moment `since` until now, in seconds; a lag below 20 ms may be left out.

        A standstill that ends at this moment counts, even if the measuring task has not run since.
        """
        lags = [lag for moment, lag in self._late if moment >= since]
        return max(0.0, self._clock() - self._due, *lags)
