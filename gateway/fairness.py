"""Whose request it is, and how much of something bounded one caller may take.

The rule is that of dynamic thresholds: a caller may take more while it holds less than ALPHA times what is free. One
caller alone gets ALPHA / (1 + ALPHA) of the whole, n callers get ALPHA / (1 + n x ALPHA) each, and the rest stays free
for the next one. Nothing is set aside for callers that do not ask, and no caller is configured.

Source: A. K. Choudhury and E. L. Hahne, "Dynamic queue length thresholds for shared-memory packet switches", IEEE/ACM
Transactions on Networking 6(2), 1998. docs/decisions/0042-shares-per-caller.md
"""

from collections.abc import Hashable
from contextvars import ContextVar
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

from gateway.settings import Network

ALPHA = 8
"""One caller alone gets 8/9. Below nine units it gets all of them."""

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""The caller of the request that this task works for: the name of its key, else its address. `admission` sets the
address, `auth` the name. The pictures of a batch are tasks that inherit it."""


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

    def allows(self, caller: Hashable, amount: int = 1) -> bool:
        """Whether the caller may take so much more. One that holds nothing may take what is free."""
        return amount <= self.free and self.within(caller)

    def within(self, caller: Hashable) -> bool:
        """Whether the caller is below its threshold."""
        return self._held.get(caller, 0) < ALPHA * self.free

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
