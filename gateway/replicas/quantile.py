"""How long answers usually take, learnt from those that came: when to ask a second replica beside the first. Pure."""

from collections import deque

REMEMBERED = 500
LEARN_FROM = 50
QUANTILE = 0.95
TIMES = 2.0
AT_LEAST_S = 0.05
"""A second attempt any sooner would cost more than it saves."""


class HedgeDelay:
    """Twice the 95th percentile of the last answers, at least 50 ms."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=REMEMBERED)
        self._new = 0
        self._delay_s: float | None = None

    def took(self, seconds: float) -> None:
        """One more answer."""
        self._times.append(seconds)
        self._new += 1
        if self._new >= LEARN_FROM:  # sorting 500 numbers for every answer would cost more than it tells
            self._new = 0
            ordered = sorted(self._times)
            self._delay_s = max(AT_LEAST_S, TIMES * ordered[int(QUANTILE * len(ordered))])

    @property
    def seconds(self) -> float | None:
        """How long to wait for the first replica; None while too little is known."""
        return self._delay_s
