"""The memory for the bodies of all requests: who may have more of it, and which body ends where there is none left.

Each caller has two fair shares (`fairness`), one for small bodies and one for others. So the small pictures of a caller
find room while large bodies, its own or others', have taken theirs.

Where there is no room, a body ends that is still arriving and more than PATIENCE_S behind its lowest rate: first of
the caller that holds most, and of its bodies the one that is furthest behind. One that makes progress never ends. A
caller that has used up its share with several bodies costs only its own. If there is none to end, the body that needs
room is refused.
"""

from collections.abc import Callable
from typing import Literal

from gateway.errors import GatewayError
from gateway.fairness import FairShare

SMALL_BYTES = 256 * 1024
"""The largest small body: announced, or so far where nothing is announced."""
PATIENCE_S = 1.0
"""A body that is no further behind makes progress: four checks of its connection."""


def _over(error: GatewayError) -> None:
    """There is no body to end."""


class Pace:
    """How far a body is behind the lowest rate at which it may arrive.

    A leaky bucket: the time in which the gateway reads adds to `behind_s`, the bytes that arrive take away from it, and
    it never falls below zero. So a body at a steady rate is judged by its average, and bytes sent early buy no time.
    """

    __slots__ = ("_counted", "_lowest_bytes_per_s", "behind_s", "end", "received")

    def __init__(self, lowest_bytes_per_s: float, end: Callable[[GatewayError], None] = _over) -> None:
        """`end` ends the body: the next read of it raises that error."""
        self.behind_s = 0.0
        self.end = end
        self.received = 0
        """Bytes; counted by the connection."""
        self._counted = 0
        self._lowest_bytes_per_s = lowest_bytes_per_s

    def passed(self, seconds: float) -> None:
        """So much time has passed in which the gateway would have read."""
        arrived, self._counted = self.received - self._counted, self.received
        self.behind_s = max(0.0, self.behind_s + seconds - arrived / self._lowest_bytes_per_s)

    def over(self) -> None:
        """The body is complete, or its connection is closed. It refers to the connection no more."""
        self.behind_s, self.end = 0.0, _over


class Body:
    """The body of one request, as far as it is in memory."""

    __slots__ = ("announced_bytes", "caller", "held_bytes", "pace", "small")

    def __init__(self, caller: str, announced_bytes: int | None, pace: Pace | None) -> None:
        """`pace`: None where there is no connection that measures it; such a body is never ended."""
        self.caller = caller
        self.announced_bytes = announced_bytes
        self.pace = pace
        self.held_bytes = 0
        self.small = True
        """As far as is known."""

    @property
    def behind_s(self) -> float:
        """See `Pace`."""
        return self.pace.behind_s if self.pace else 0.0

    def share(self, more_bytes: int = 0) -> tuple[str, bool]:
        """Whose share it belongs to, with so many bytes more: its caller's, of small bodies or of others."""
        size = self.held_bytes + more_bytes if self.announced_bytes is None else self.announced_bytes
        return self.caller, size <= SMALL_BYTES


class Bodies:
    """All bodies."""

    def __init__(self, total_bytes: int, ended: Callable[[], GatewayError]) -> None:
        """`ended` makes, and counts, the error of a body that ends for another one."""
        self._shares = FairShare(total_bytes)
        self._ended = ended
        self._arriving: dict[Body, None] = {}

    @property
    def held_bytes(self) -> int:
        """In memory."""
        return int(self._shares.total - self._shares.free)

    def grow(self, body: Body, count: int, *, last: bool = False) -> Literal["", "bodies", "share"]:
        """So many bytes of the body have arrived; they are counted unless there is no room for them.

        Args:
            last: it is complete now.

        Returns:
            "", or why there is no room: all bodies fill the memory, or the caller's fill its share.
        """
        while count and (lack := self._lack(body, count)):
            several = self._of_caller(body.caller) > body.held_bytes
            slow = self._slowest(body, own=several and lack == "share")
            if slow is None or slow.pace is None:
                return lack
            slow.pace.end(self._ended())
            self.release(slow)
        share = body.share(count)
        if body.held_bytes and share != body.share():  # it is small no more
            self._shares.give_back(body.share(), body.held_bytes)
            self._shares.take(share, body.held_bytes)
        if last:
            self._arriving.pop(body, None)
        else:
            self._arriving[body] = None
        body.held_bytes += count
        body.small = share[1]
        if count:
            self._shares.take(share, count)
        return ""

    def release(self, body: Body) -> None:
        """It is in memory no more, or will not be in a moment."""
        self._arriving.pop(body, None)
        if body.held_bytes:
            self._shares.give_back(body.share(), body.held_bytes)
            body.held_bytes = 0

    def _lack(self, body: Body, count: int) -> Literal["", "bodies", "share"]:
        if count > self._shares.free:
            return "bodies"
        alone = self.held_bytes == body.held_bytes  # the largest body that is allowed may need all of the memory
        return "" if alone or self._shares.within(body.share(count)) else "share"

    def _slowest(self, body: Body, *, own: bool) -> Body | None:
        slow = [
            one
            for one in self._arriving
            if one is not body and one.behind_s > PATIENCE_S and (one.caller == body.caller or not own)
        ]
        return max(slow, key=lambda one: (self._of_caller(one.caller), one.behind_s), default=None)

    def _of_caller(self, caller: str) -> int:
        return self._shares.held((caller, True)) + self._shares.held((caller, False))
