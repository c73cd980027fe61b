"""Whose turn it is. No I/O and no clock: every rule takes `now`, in seconds of any monotonic clock.

The rules:
- *Available* is a replica that is ready (the probe found a version that this gateway accepts), not ejected and
  below its limit of attempts in flight. Turns go round the available ones, exactly evenly.
- Two failures in a row eject a replica, for a second at first and twice as long each further time up to half a
  minute; a success wipes the slate.
- At most half of the ready replicas are ejected at a time (docs/decisions/0004): what strikes all of them at once is
  more likely ours, and a guess beats a certain no. Should all that is left be ejected, the ejected ones get turns.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.contract import ServedModel

FAILURES_TO_EJECT = 2
FIRST_EJECTION_S = 1.0
LONGEST_EJECTION_S = 30.0

State = Literal["available", "ejected", "not ready"]


@dataclass(eq=False)
class Replica:
    """One model server process, as far as it is known here."""

    address: str
    """host:port"""
    model: ServedModel | None = None
    """The version it serves for us; None: it is not ready."""
    reason: str = "not probed yet"
    """Why it is not ready, or why its newest version is not the one that serves; for the operator."""
    versions: Mapping[int, str] = field(default_factory=dict)
    """Every version it told of, with its state."""
    in_flight: int = 0
    attempts: int = 0
    failures: int = 0
    """In a row."""
    ejected_until: float = float("-inf")

    def state(self, now: float) -> State:
        """What an operator wants to see."""
        if self.model is None:
            return "not ready"
        return "ejected" if self.ejected_until > now else "available"


class Pool:
    """The replicas, in order, and the turn."""

    def __init__(self, *, max_in_flight: int) -> None:
        """`max_in_flight`: attempts at work at once on one replica."""
        self.replicas: list[Replica] = []
        self._max_in_flight = max_in_flight
        self._turn = 0

    def set_addresses(self, addresses: Iterable[str]) -> None:
        """What discovery found. A replica that stays keeps all that is known of it, attempts in flight included."""
        known = {replica.address: replica for replica in self.replicas}
        self.replicas = [known.get(address) or Replica(address) for address in dict.fromkeys(addresses)]

    def pick(self, now: float, *, tried: Collection[Replica] = ()) -> Replica | None:
        """The next replica in turn, or None. The turn moves only when one is picked."""
        candidates = [r for r in self.replicas if r.model and r not in tried]
        if not any(r.ejected_until <= now for r in candidates):
            return self._next(candidates)
        return self._next([r for r in candidates if r.ejected_until <= now])

    def _next(self, candidates: Collection[Replica]) -> Replica | None:
        for step in range(len(self.replicas)):
            turn = (self._turn + step) % len(self.replicas)
            replica = self.replicas[turn]
            if replica in candidates and replica.in_flight < self._max_in_flight:
                self._turn = turn + 1
                return replica
        return None

    def started(self, replica: Replica) -> None:
        """An attempt is on its way to it."""
        replica.in_flight += 1
        replica.attempts += 1

    def finished(self, replica: Replica) -> None:
        """That attempt is over, however it ended."""
        replica.in_flight -= 1

    def succeeded(self, replica: Replica) -> None:
        """The slate is wiped."""
        replica.failures = 0
        replica.ejected_until = float("-inf")

    def failed(self, replica: Replica, now: float) -> bool:
        """One more failure in a row; True: it has just been ejected."""
        replica.failures += 1
        if replica.failures < FAILURES_TO_EJECT or replica.ejected_until > now or not self._may_eject_one_more(now):
            return False
        doublings = min(replica.failures - FAILURES_TO_EJECT, 10)  # an uncapped exponent overflows one day
        replica.ejected_until = now + min(FIRST_EJECTION_S * 2**doublings, LONGEST_EJECTION_S)
        return True

    def _may_eject_one_more(self, now: float) -> bool:
        states = [replica.state(now) for replica in self.replicas]
        return (states.count("ejected") + 1) * 2 <= len(states) - states.count("not ready")

    @property
    def ready(self) -> bool:
        """Some replica has a version that this gateway accepts."""
        return any(replica.model for replica in self.replicas)

    @property
    def model(self) -> ServedModel | None:
        """The newest version that any ready replica serves."""
        models = [replica.model for replica in self.replicas if replica.model]
        return max(models, key=lambda model: int(model.version), default=None)
