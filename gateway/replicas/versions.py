"""Which version of the model a request is bound to. Pure.

By default a request takes the version of the replica whose turn it is, and stays with it: a retry, and the rest of a
batch, go to replicas that have the same one while there are any. A caller may ask for a version; and a set share of
the callers, always the same ones, may be sent to a canary.
"""

import hashlib
from dataclasses import dataclass

SIXTY_FOUR_BITS = 2**64


@dataclass
class Binding:
    """The version of one request, or of one batch."""

    version: str | None = None
    """None until the first replica has been picked."""
    strict: bool = False
    """The caller asked for it: no other will do."""


@dataclass(frozen=True)
class Canary:
    """A version on trial, and the share of callers who get it."""

    version: str
    share: float
    """0..1"""

    def takes(self, caller: str) -> bool:
        """Whether this caller is one of them; the same answer every time, for every gateway."""
        digest = hashlib.blake2b(f"{self.version}\n{caller}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.share * SIXTY_FOUR_BITS


def bind(asked: str | None, canary: Canary | None, caller: str) -> Binding:
    """The binding of a new request.

    Args:
        asked: the number of the version that the caller named.
        caller: who asks, in any words that stay the same.
    """
    if asked is not None:
        return Binding(str(int(asked)), strict=True)
    if canary and canary.takes(caller):
        return Binding(canary.version)
    return Binding()
