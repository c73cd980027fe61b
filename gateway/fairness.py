"""Whose request it is, and how much of something bounded one caller may take.

The rule is that of dynamic thresholds: a caller may take more while it holds less than ALPHA times what is free. One
caller alone gets ALPHA / (1 + ALPHA) of the whole, n callers get ALPHA / (1 + n x ALPHA) each, and the rest stays free
for the next one. Nothing is set aside for callers that do not ask, and no caller is configured.

Source: A. K. Choudhury and E. L. Hahne, "Dynamic queue length thresholds for shared-memory packet switches", IEEE/ACM
Transactions on Networking 6(2), 1998. docs/decisions/0042-shares-per-caller.md
"""

from collections.abc import Hashable
from contextvars import ContextVar

ALPHA = 8
"""One caller alone gets 8/9. Below nine units it gets all of them."""

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""The caller of the request that this task works for: the name of its key, else its address. `admission` sets the
address, `auth` the name. The pictures of a batch are tasks that inherit it."""


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
