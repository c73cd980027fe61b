"""Whose request it is, and how much one caller may take of what is bounded.

The rule is that of dynamic thresholds: a caller may take more while it holds less than ALPHA times what is free. One
caller alone gets ALPHA / (1 + ALPHA) of the whole, n callers get ALPHA / (1 + n x ALPHA) each, and the rest stays free
for the next one. Nothing is set aside for callers that do not ask, and no caller is configured.

The memory for bodies follows it with one rule more. Each caller has two shares, one for small bodies and one for
others. So the small pictures of a caller find room while large bodies, its own or others', have taken theirs. Where
there is no room, a body ends that is still arriving and more than PATIENCE_S behind its lowest rate: first of the
caller that holds most, and of its bodies the one that is furthest behind. One that makes progress never ends. A caller
that has used up its share with several bodies costs only its own. If there is none to end, the body that needs room is
refused.

Source: A. K. Choudhury and E. L. Hahne, "Dynamic queue length thresholds for shared-memory packet switches", IEEE/ACM
Transactions on Networking 6(2), 1998. docs/decisions/0042-shares-per-caller.md
"""

from collections.abc import Callable, Hashable
from contextvars import ContextVar
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Literal

from starlette.types import Scope

from gateway.errors import GatewayError
from gateway.settings import Network

Lack = Literal["", "all", "share"]
"""Why a caller may take no more: nothing, all callers together hold the rest, or it holds its share."""

ALPHA = 8
"""One caller alone gets 8/9. Below nine units it gets all of them."""

SMALL_BYTES = 256 * 1024
"""The largest small body: announced, or so far where nothing is announced."""
PATIENCE_S = 1.0
"""A body that is no further behind makes progress: four checks of its connection."""

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""The caller of the request that this task works for: the name of its key, set by `auth`, else its address, set by
`admission`. The pictures of a batch are tasks that inherit it."""


def address_of(scope: Scope, trusted: tuple[Network, ...]) -> str:
    """The client's IPv4 address, or the first 64 bits of its IPv6 address, which one household shares.

    It is the peer's, or the one that a trusted proxy reports. X-Forwarded-For is read from its end, as far as trusted
    proxies wrote it: the client may have invented the part before.
    """
    peer = scope["client"][0] if scope.get("client") else ""
    if not trusted:
        return _address(peer, "", ())
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    return _address(peer, forwarded.decode("latin-1"), trusted)


@lru_cache(maxsize=256)  # 10 us each
def _address(peer: str, forwarded: str, trusted: tuple[Network, ...]) -> str:
    address, hops = _parsed(peer), forwarded.split(",")
    while hops and address and any(address in network for network in trusted):
        if (before := _parsed(hops.pop().strip())) is None:
            break
        address = before
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), 64), strict=False))
    return str(address) if address else peer


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An IPv4-mapped address (::ffff:192.0.2.1), as a dual-stack socket reports IPv4 peers, is the IPv4 address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


class FairShare:
    """A bounded quantity, and what each caller holds of it."""

    def __init__(self, total: float) -> None:
        self.total = total
        self.free = total
        self._held: dict[Hashable, int] = {}

    def held(self, caller: Hashable) -> int:
        """What the caller holds."""
        return self._held.get(caller, 0)

    def lack(self, caller: Hashable, amount: int = 1) -> Lack:
        """Why the caller may not take so much more. One that holds nothing may take what is free."""
        if amount > self.free:
            return "all"
        return "" if self._held.get(caller, 0) < ALPHA * self.free else "share"

    def take(self, caller: Hashable, amount: int = 1) -> None:
        """Count what the caller takes, allowed or not."""
        self.free -= amount
        self._held[caller] = self._held.get(caller, 0) + amount

    def give_back(self, caller: Hashable, amount: int = 1) -> None:
        """The opposite of `take`."""
        self.free += amount
        if left := self._held.get(caller, 0) - amount:
            self._held[caller] = left
        else:
            self._held.pop(caller, None)


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

    def grow(self, body: Body, count: int, *, last: bool = False) -> Lack:
        """So many bytes of the body have arrived; they are counted unless there is no room for them.

        Args:
            last: it is complete now.

        Returns:
            Why there is no room.
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

    def _lack(self, body: Body, count: int) -> Lack:
        lack = self._shares.lack(body.share(count), count)
        alone = self.held_bytes == body.held_bytes  # the largest body that is allowed may need all of the memory
        return "" if alone and lack == "share" else lack

    def _slowest(self, body: Body, *, own: bool) -> Body | None:
        slow = [
            one
            for one in self._arriving
            if one is not body and one.behind_s > PATIENCE_S and (one.caller == body.caller or not own)
        ]
        return max(slow, key=lambda one: (self._of_caller(one.caller), one.behind_s), default=None)

    def _of_caller(self, caller: str) -> int:
        return self._shares.held((caller, True)) + self._shares.held((caller, False))
