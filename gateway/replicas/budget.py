"""How many retries there may be: a share of the requests, and a few in advance. Pure; it needs no clock.

Retries mend what one replica spoils; when all of them fail, they only multiply the load that made them fail. Every
request pays a share of a retry into the budget and every retry takes one out. The budget holds a burst at most, so
over any stretch of time attempts are at most (1 + share) x requests + burst. As Finagle's and Linkerd's budgets.
"""

SHARE = 0.1
BURST = 20


class RetryBudget:
    """Full at first: the first failure after a start is mended, too."""

    def __init__(self, share: float = SHARE, burst: int = BURST) -> None:
        """`share`: of a retry, that each request pays in."""
        self._share = share
        self._burst = burst
        self._left = float(burst)

    def pay_in(self) -> None:
        """A request has come."""
        self._left = min(self._burst, self._left + self._share)

    def take(self) -> bool:
        """Is there enough for a retry? If so, it is taken."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """The retry that was taken last is not made: nobody is there to ask."""
        self._left = min(self._burst, self._left + 1)
