"""The replicas: who may be asked, who is out of turn and for how long. No I/O and no clock: every rule takes `now`.

The rules, in the order in which a request meets them:
- *Ready* is a replica with a version that the probes found AVAILABLE and acceptable. *Available* is one that is ready
  and not ejected. `pick` asks the available ones below their limit of attempts in flight; `choosing` says which.
- A request that is bound to a version gets replicas that have it. A version that is held back (the canary) is the
  default of nobody who has another one.
- Two failures in a row eject a replica, two probes in a row without an answer as well, and so does an answer time
  three times that of the others. The first time is a second, each further one twice as long, up to half a minute;
  half a minute of good service wipes the slate. Whoever was ejected comes back only after it has answered rightly for
  the golden picture, and then with a growing share of its turns.
- One that says to be busy (429, 503) is healthy, but the others are asked first for a tenth of a second, twice as long
  each further time: retries cannot pay for a replica that always refuses. Where all are busy, all get turns.
- At most a set share of the ready replicas is ejected at a time (docs/decisions/0004): what strikes all of them at
  once is more likely ours. Should all that is left be ejected, the ejected ones get turns: a guess beats a certain no.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median

from gateway.replicas.balancing import Choosing, RoundRobin
from gateway.replicas.replica import SAMPLES_TO_JUDGE, Replica
from gateway.tfserving.contract import ServedModel

FAILURES_TO_EJECT = 2
FIRST_EJECTION_S = 1.0
LONGEST_EJECTION_S = 30.0
MOST_DOUBLINGS = 10
"""An uncapped exponent overflows one day."""

FIRST_REST_S = 0.1
LONGEST_REST_S = 2.0

SLOW_FACTOR = 3.0
"""A replica is an outlier when it takes so many times as long as the others do in the middle."""
SLOW_BY_S = 0.05
"""And so much longer: between 2 ms and 7 ms there is nothing to gain."""

PROBES_TO_FALL = 2
PROBES_TO_RISE = 2


class Pool:
    """The replicas, in the order in which discovery names them."""

    def __init__(
        self,
        *,
        max_in_flight: int,
        max_ejected_share: float = 0.5,
        choosing: Choosing | None = None,
        held_back: str | None = None,
    ) -> None:
        """`max_in_flight`: attempts at work at once on one replica; `held_back`: the canary's version."""
        self.replicas: list[Replica] = []
        self._max_in_flight = max_in_flight
        self._max_ejected_share = max_ejected_share
        self._choosing = choosing or RoundRobin()
        self._held_back = held_back

    def set_addresses(self, addresses: Iterable[str]) -> None:
        """What discovery found. A replica that stays keeps all that is known of it, attempts in flight included."""
        known = {replica.address: replica for replica in self.replicas}
        self.replicas = [known.get(address) or Replica(address) for address in dict.fromkeys(addresses)]

    # --- choosing ---------------------------------------------------------------------------------------------

    def pick(
        self, now: float, *, version: str | None = None, tried: Collection[Replica] = ()
    ) -> tuple[Replica, ServedModel] | None:
        """Who is asked next, and for which model; None: all that could be asked are full, or there are none."""
        able = [(r, model) for r in self.replicas if r not in tried and (model := self.model_of(r, version))]
        standing = [pair for pair in able if not pair[0].ejected(now)] or able
        free = {r: model for r, model in standing if r.in_flight < self._max_in_flight}
        if not free:
            return None
        rested = [replica for replica in free if replica.resting_until <= now]
        chosen = self._choosing.choose(rested or list(free), now)
        return chosen, free[chosen]

    def model_of(self, replica: Replica, version: str | None) -> ServedModel | None:
        """What one replica would be asked for; see `Replica.model`."""
        held_back = self._held_back if self._has_other_than_held_back else None
        return replica.model(version, held_back=held_back)

    @property
    def _has_other_than_held_back(self) -> bool:
        return self._held_back is not None and any(v != self._held_back for r in self.replicas for v in r.models)

    def serves(self, version: str | None) -> bool:
        """Some ready replica has the version; None: any version."""
        return any(replica.model(version) for replica in self.replicas)

    @property
    def model(self) -> ServedModel | None:
        """The newest version that requests get by default."""
        models = [model for replica in self.replicas if (model := self.model_of(replica, None))]
        return max(models, key=lambda model: int(model.version), default=None)

    # --- attempts ---------------------------------------------------------------------------------------------

    def started(self, replica: Replica) -> None:
        """An attempt is on its way to it."""
        replica.in_flight += 1
        replica.attempts += 1

    def finished(self, replica: Replica) -> None:
        """That attempt is over, however it ended."""
        replica.in_flight -= 1

    def succeeded(self, replica: Replica, now: float, seconds: float) -> bool:
        """A good answer after `seconds`; True: it has just been ejected, since the others are so much faster."""
        replica.failures = replica.refusals = 0
        replica.took(seconds)
        if replica.doubted:  # it was asked all the same, since nobody else was there: as good as a golden picture
            self.proved(replica, now, seconds)
        if replica.samples < SAMPLES_TO_JUDGE or not self._is_slow(replica, now, replica.latency_s):
            return False
        return self._eject(replica, now, f"slow: {replica.latency_s * 1000:.0f} ms, several times the others' time")

    def busy(self, replica: Replica, now: float) -> None:
        """It refused the work; it rests, unless it does already."""
        if replica.resting_until <= now:
            rest_s = FIRST_REST_S * 2.0 ** min(replica.refusals, MOST_DOUBLINGS)
            replica.resting_until = now + min(rest_s, LONGEST_REST_S)
            replica.refusals += 1

    def failed(self, replica: Replica, now: float, reason: str) -> bool:
        """One more failure in a row; True: it has just been ejected."""
        replica.failed_attempts += 1
        replica.failures += 1
        return replica.failures >= FAILURES_TO_EJECT and self._eject(replica, now, reason)

    def _is_slow(self, replica: Replica, now: float, seconds: float) -> bool:
        others = [
            r.latency_s
            for r in self.replicas
            if r is not replica and r.samples >= SAMPLES_TO_JUDGE and r.state(now) == "available"
        ]
        usual = median(others) if others else float("inf")
        return seconds > max(usual * SLOW_FACTOR, usual + SLOW_BY_S)

    # --- probes -----------------------------------------------------------------------------------------------

    def found(self, replica: Replica, now: float, models: Mapping[str, ServedModel], reason: str) -> None:
        """A probe was answered: these are the versions that may be asked for; `reason` says why not others.

        A replica that was not ready becomes so with its second such answer in a row, at once if nobody else is.
        """
        replica.missed = 0
        replica.heard = replica.heard + 1 if models else 0
        if not models:
            replica.models, replica.reason = {}, reason
            return
        first_time = not replica.was_ready
        if replica.models or first_time or replica.heard >= PROBES_TO_RISE or not self.serves(None):
            if not replica.models and not first_time:
                replica.returned_at = now
            replica.was_ready = True
            replica.models = models
            if not replica.ejected(now):
                replica.reason = reason

    def missed(self, replica: Replica, now: float, reason: str, *, gone: bool = False) -> bool:
        """A probe got no answer; True: that has just ejected the replica.

        Args:
            gone: nobody listens there; the second time it is not ready. Else it may be mere load, which must not
                empty the pool: then it counts like a failure, within the share that may be ejected.
        """
        replica.heard = 0
        replica.missed += 1
        if not replica.models:
            replica.reason = reason
            return False
        if replica.missed < PROBES_TO_FALL:
            return False
        if gone:
            replica.models, replica.reason = {}, reason
            return False
        return self._eject(replica, now, reason)

    def proved(self, replica: Replica, now: float, seconds: float) -> None:
        """It has answered rightly for the golden picture, in `seconds`: when its time is up, it may come back.

        One that is still slow stays out, longer each time; after the longest it gets another trial.
        """
        if not replica.doubted:
            return
        if now >= replica.ejected_until and self._is_slow(replica, now, seconds) and not self._at_longest(replica):
            self._out(replica, now)
            return
        replica.doubted = False
        replica.failures = 0
        replica.returned_at = max(now, replica.ejected_until)

    # --- ejection ---------------------------------------------------------------------------------------------

    def _eject(self, replica: Replica, now: float, reason: str) -> bool:
        if replica.ejected(now) or not replica.models or not self._may_eject_one_more(now):
            return False
        if now - replica.returned_at > LONGEST_EJECTION_S:
            replica.ejections = 0
        replica.doubted = True
        replica.reason = reason
        replica.samples, replica.latency_s = 0, 0.0  # it is measured anew when it is back
        self._out(replica, now)
        return True

    def _out(self, replica: Replica, now: float) -> None:
        replica.ejected_until = now + _length_s(replica.ejections)
        replica.ejections += 1
        replica.times_ejected += 1

    def _at_longest(self, replica: Replica) -> bool:
        return _length_s(replica.ejections - 1) >= LONGEST_EJECTION_S

    def _may_eject_one_more(self, now: float) -> bool:
        states: Sequence[str] = [replica.state(now) for replica in self.replicas]
        ready = len(states) - states.count("not ready")
        return states.count("ejected") + 1 <= self._max_ejected_share * ready


def _length_s(ejections: int) -> float:
    """How long the next one lasts, after so many."""
    return min(FIRST_EJECTION_S * 2.0 ** min(ejections, MOST_DOUBLINGS), LONGEST_EJECTION_S)
