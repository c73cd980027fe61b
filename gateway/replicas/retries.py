"""How many retries there may be, and when a second replica is asked beside the first. Pure; neither needs a clock."""

from collections import deque

from gateway.observe import metrics

RETRY_SHARE = 0.1
RETRY_BURST = 20

REMEMBERED = 500
LEARN_FROM = 50
HEDGE_QUANTILE = 0.95
HEDGE_FACTOR = 2.0
HEDGE_AT_LEAST_S = 0.05
"""Sooner, a second attempt costs more than it saves: measured with max(50 ms, 2 x p95) on answers of 10 ms."""


class RetryBudget:
    """How many retries there may be: a share of the requests, and a few in advance.

    Retries repair what one replica spoils; when all of them fail, retries multiply the load that made them fail. Every
    request pays a share of a retry into the budget and every retry takes one out. The budget holds a burst at most, so
    over any stretch of time attempts are at most (1 + share) x requests + burst. As in Finagle and Linkerd.
    """

    def __init__(self, share: float = RETRY_SHARE, burst: int = RETRY_BURST) -> None:
        """Full at first. `share`: of a retry, paid in by each request."""
        self.requests = 0
        """Requests whose share is still to be paid in; counted up by each."""
        self._share = share
        self._burst = burst
        self._left = float(burst)

    def grants(self, what: metrics.Again) -> bool:
        """Whether one may be made; counted. Ask before the turn moves on: a denied retry takes no turn."""
        granted = self.take()
        metrics.RETRIES.labels(what, "granted" if granted else "denied").inc()
        return granted

    def take(self) -> bool:
        """Take one retry if there is enough for it."""
        self._left = min(self._burst, self._left + self._share * self.requests)
        self.requests = 0
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """The retry that was taken last is not made: no replica is left to ask."""
        self._left = min(self._burst, self._left + 1)


class HedgeDelay:
    """When to ask a second replica beside the first: after twice the 95th percentile of the last answers."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=REMEMBERED)
        self._new = 0
        self._delay_s: float | None = None

    def add(self, seconds: float) -> None:
        """One more answer."""
        self._times.append(seconds)
        self._new += 1
        if self._new >= LEARN_FROM:  # sorting 500 numbers for every answer would cost more than it gains
            self._new = 0
            ordered = sorted(self._times)
            self._delay_s = max(HEDGE_AT_LEAST_S, HEDGE_FACTOR * ordered[int(HEDGE_QUANTILE * len(ordered))])

    @property
    def seconds(self) -> float | None:
        """How long to wait for the first replica; None while too few answers are known."""
        return self._delay_s
