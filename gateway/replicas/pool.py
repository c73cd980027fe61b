"""The replicas: which may be asked, which are out of turn and for how long. No I/O, no clock: every rule takes `now`.

The rules, in the order in which a request meets them:
- *Ready* is a replica with a version that the probes found AVAILABLE and acceptable. *Available* is one that is ready
  and not ejected. `take` asks the available ones below their limit of attempts in flight; `balancing` says which.
- A request that is bound to a version gets replicas that have it. The canary's version is held back: it is the default
  of a replica only while no replica has another one.
- *Ejected*: two failed attempts in a row, or two probes in a row without an answer. The first time for a second, then
  twice as long each time, up to half a minute; half a minute of good service starts anew. The replica returns after
  its time is up and it has answered for the golden picture, with a growing share of its turns. At most a set share of
  the ready replicas is ejected (docs/decisions/0004): what hits all of them at once is more likely ours. Should all
  that are left be ejected, they get turns: a guess beats a certain failure.
- *Slow*: several answers in a row take three times as long as the others' and 50 ms longer, for half a second. Time
  alone may be load, so the replica only loses its regular turns. It gets a trial turn as soon as nothing is in flight
  there, when load of ours cannot be the reason, and its regular turns back once a trial takes no longer than the
  others take for one attempt. A trial that shows neither is repeated with more attempts at once (`_tried`). Trials are
  a half second apart, then twice as long each time. It still gets what the others have no room for, so slowness costs
  no capacity. After a false alarm the next one takes twice as long.
- *Resting*: a replica that answers 429 or 503 is asked last for 0.1 s, twice as long each time in a row up to 2 s.
  Where all rest, all get turns.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from gateway.admission import Queue
from gateway.observe import metrics
from gateway.replicas.balancing import Balancing, RoundRobin, preferred
from gateway.replicas.replica import END, SAMPLES_TO_JUDGE, Refusal, Replica, RunningMean, doubled
from gateway.tfserving import VersionStatus
from gateway.tfserving.contract import ServedModel

FAILURES_TO_EJECT = 2
FIRST_EJECTION_S = 1.0
LONGEST_EJECTION_S = 30.0
FIRST_REST_S = 0.1
LONGEST_REST_S = 2.0

SLOW_FACTOR = 3.0
SLOW_BY_S = 0.05
"""From 2 ms to 7 ms there is nothing to gain."""
SLOW_ANSWERS = 5
FIRST_PATIENCE_S = 0.5
LONGEST_PATIENCE_S = 32.0

PROBES_TO_FALL = 2
PROBES_TO_RISE = 2


class Slot(NamedTuple):
    """A place on a replica, taken for one attempt."""

    replica: Replica
    model: ServedModel
    in_flight: int
    """Attempts there, this one included."""


class Pool:
    """The replicas, in the order in which discovery names them."""

    def __init__(
        self,
        *,
        max_in_flight: int,
        queue_size: int = 0,
        max_ejected_share: float = 0.5,
        balancing: Balancing | None = None,
        held_back: str | None = None,
    ) -> None:
        """`max_in_flight`: attempts at work at once on one replica; `held_back`: the canary's version."""
        self.replicas: list[Replica] = []
        self.queue: Queue[Slot] = Queue(size=queue_size)
        """Requests that wait for a slot."""
        self.on_change: list[Callable[[Replica], None]] = []
        """Called when a replica's state or its versions may have changed."""
        self._max_in_flight = max_in_flight
        self._max_ejected_share = max_ejected_share
        self._balancing = balancing or RoundRobin()
        self._held_back = held_back

    def set_addresses(self, addresses: Iterable[str]) -> None:
        """Take what discovery found. A replica that stays keeps all that is known of it, attempts included."""
        known = {replica.address: replica for replica in self.replicas}
        self.replicas = [known.get(address) or Replica(address) for address in dict.fromkeys(addresses)]
        self._room()

    # --- choosing ---------------------------------------------------------------------------------------------

    def take(self, now: float, *, version: str | None = None, tried: Collection[Replica] = ()) -> Slot | None:
        """A slot on the replica whose turn it is; None: all that could be asked are full, or there is none.

        `finished` gives it back.
        """
        held_back = self._held_back and self._held_back_now()
        standing: dict[Replica, ServedModel] = {}
        ejected: dict[Replica, ServedModel] = {}
        for replica in self.replicas:
            if replica not in tried and (model := replica.model(version, held_back=held_back)):
                (ejected if replica.ejected(now) else standing)[replica] = model
        models = standing or ejected
        candidates = preferred(models, now, max_in_flight=self._max_in_flight)
        if not candidates:
            return None
        chosen = self._balancing.choose(candidates, now)
        chosen.in_flight += 1
        chosen.attempts += 1
        return Slot(chosen, models[chosen], chosen.in_flight)

    def model_of(self, replica: Replica, version: str | None = None) -> ServedModel | None:
        """What one replica would be asked for; see `Replica.model`."""
        return replica.model(version, held_back=self._held_back_now())

    def defaults(self) -> list[ServedModel]:
        """What requests for no version in particular may get now, the newest first."""
        models = {model.version: model for replica in self.replicas if (model := self.model_of(replica))}
        return sorted(models.values(), key=lambda model: int(model.version), reverse=True)

    def _held_back_now(self) -> str | None:
        other = any(version != self._held_back for replica in self.replicas for version in replica.models)
        return self._held_back if other else None

    def serves(self, version: str | None) -> bool:
        """Some ready replica has the version; None: any version."""
        return any(replica.model(version) for replica in self.replicas)

    @property
    def model(self) -> ServedModel | None:
        """The newest version that requests get by default."""
        return next(iter(self.defaults()), None)

    # --- attempts ---------------------------------------------------------------------------------------------

    def finished(self, replica: Replica) -> None:
        """An attempt is over, however it ended: its slot is free."""
        replica.in_flight -= 1
        self._room()

    def succeeded(self, replica: Replica, now: float, seconds: float | None, *, in_flight: int = 1) -> None:
        """A good answer arrived.

        Args:
            seconds: how long it took; None: unknown, since the gateway itself stood still meanwhile, or no measure of
                its speed.
            in_flight: attempts that were in flight there when it began, itself included.
        """
        replica.failures = replica.refusals = 0
        if seconds is None:
            return
        replica.latency.add(seconds)
        replica.service.add(seconds / in_flight)
        if replica.unproven:  # it was asked for want of another: as good as a golden picture
            self.proved(replica, now)
        if replica.slow:
            self._tried(replica, now, seconds, in_flight)
        elif seconds > SLOW_BY_S and self._is_slow(replica, now, seconds, _latency):
            self._suspect(replica, now, seconds)
        else:
            replica.slow_since, replica.slow_answers = None, 0

    def busy(self, replica: Replica, now: float) -> None:
        """The replica refused the work. It rests, unless it does already."""
        if replica.resting_until <= now:
            replica.resting_until = now + doubled(FIRST_REST_S, replica.refusals, LONGEST_REST_S)
            replica.refusals += 1

    def failed(self, replica: Replica, now: float, reason: str, *, suspect: bool = False) -> None:
        """One more failed attempt in a row; `suspect`: its request may have caused it."""
        replica.failed_attempts += 1
        replica.failures += 1
        if replica.failures >= FAILURES_TO_EJECT:
            replica.ejected_by_suspect = suspect
            self._eject(replica, now, reason, "failures")

    # --- slowness ---------------------------------------------------------------------------------------------

    def _suspect(self, replica: Replica, now: float, seconds: float) -> None:
        replica.slow_answers += 1
        if replica.slow_since is None:
            replica.slow_since = now - seconds
        patience_s = doubled(FIRST_PATIENCE_S, replica.false_alarms, LONGEST_PATIENCE_S)
        long_enough = replica.slow_answers >= SLOW_ANSWERS and now - replica.slow_since >= patience_s
        if long_enough and self._within_share(now, [r for r in self.replicas if r.slow]):
            replica.slow, replica.trial_at, replica.trials = True, now, 0
            replica.reason = f"slow: {replica.latency.value * 1000:.0f} ms, several times the others' time"
            metrics.SLOWED.inc()
            self._changed(replica)

    def _tried(self, replica: Replica, now: float, seconds: float, in_flight: int) -> None:
        """The outcome of a trial turn. What ran beside more attempts than the trial's shows nothing.

        The others' time for one attempt is too low a measure where a server works on several at once. So a trial that
        fails only by that measure is repeated at once with more attempts beside each other.
        """
        if in_flight > replica.trial_width:
            return
        slow = self._is_slow(replica, now, seconds, _latency)
        if not slow and not self._is_slow(replica, now, seconds / in_flight, _service):
            replica.false_alarms = 0 if replica.trials else replica.false_alarms + 1
            self._no_longer_slow(replica)
            self._changed(replica)
        elif slow and in_flight == replica.trial_width:
            replica.trials, replica.trial_width = replica.trials + 1, 1
        elif in_flight == replica.trial_width:
            replica.trial_at, replica.trial_width = now, min(2 * in_flight, self._max_in_flight)

    def _is_slow(self, replica: Replica, now: float, seconds: float, measure: Callable[[Replica], RunningMean]) -> bool:
        """Compared with the median of the others that get regular turns."""
        usual = [
            measure(other).value
            for other in self.replicas
            if other is not replica
            and not other.slow
            and other.latency.samples >= SAMPLES_TO_JUDGE
            and other.state(now) == "available"
        ]
        return bool(usual) and seconds > max(median(usual) * SLOW_FACTOR, median(usual) + SLOW_BY_S)

    def _no_longer_slow(self, replica: Replica) -> None:
        replica.slow, replica.slow_since, replica.slow_answers, replica.reason = False, None, 0, ""
        replica.trial_width, replica.trial_turns = 1, 0
        replica.latency, replica.service = RunningMean(), RunningMean()

    # --- probes -----------------------------------------------------------------------------------------------

    def found(
        self,
        replica: Replica,
        now: float,
        models: Mapping[str, ServedModel],
        refused: Mapping[int, Refusal] | None = None,
        *,
        reason: str = "",
    ) -> None:
        """A probe was answered: `models` may be asked for, the versions in `refused` not.

        A replica that was not ready becomes so with the second such answer in a row; at once if no other is ready.

        Args:
            reason: why there is no model; where some versions are refused, their reasons say it.
        """
        replica.missed = 0
        replica.heard_at = now
        replica.refused = refused or {}
        replica.heard = replica.heard + 1 if models else 0
        reason = "; ".join(refusal.reason for refusal in replica.refused.values()) or reason
        first_time = not replica.was_ready
        if not models:
            replica.models, replica.reason = {}, reason
        elif replica.models or first_time or replica.heard >= PROBES_TO_RISE or not self.serves(None):
            if not replica.models and not first_time:
                replica.returned_at = now
            replica.was_ready = True
            replica.models = models
            if not replica.ejected(now) and not replica.slow:
                replica.reason = reason
        self._changed(replica)

    def missed(self, replica: Replica, now: float, reason: str, *, gone: bool = False) -> None:
        """A probe got no answer.

        Args:
            gone: nothing listens there; the second time it is not ready. Otherwise the cause may be load, which must
                not empty the pool: it counts like a failure, within the share that may be ejected.
        """
        replica.heard = 0
        replica.missed += 1
        if replica.missed >= PROBES_TO_FALL and gone:
            replica.models, replica.refused, replica.reason = {}, {}, reason
            replica.versions = dict.fromkeys(replica.versions, VersionStatus(END))  # with its process
        elif not replica.models:
            replica.reason = reason
        elif replica.missed >= PROBES_TO_FALL:
            replica.ejected_by_suspect = False
            self._eject(replica, now, reason, "probes")
        self._changed(replica)

    def proved(self, replica: Replica, now: float) -> None:
        """It has answered rightly for the golden picture: it returns when its time is up."""
        if replica.unproven:
            replica.unproven = False
            replica.failures = 0
            replica.returned_at = max(now, replica.ejected_until)
            self._changed(replica)

    # --- ejection ---------------------------------------------------------------------------------------------

    def _eject(self, replica: Replica, now: float, reason: str, cause: metrics.Ejection) -> None:
        out = [r for r in self.replicas if r.state(now) == "ejected"]
        if replica in out or not replica.models or not self._within_share(now, out):
            return
        if now - replica.returned_at > LONGEST_EJECTION_S:
            replica.ejections = 0
        self._no_longer_slow(replica)  # it is measured anew when it is back
        replica.unproven = True
        replica.reason = reason
        replica.ejected_until = now + doubled(FIRST_EJECTION_S, replica.ejections, LONGEST_EJECTION_S)
        replica.ejections += 1
        replica.times_ejected += 1
        metrics.EJECTIONS.labels(cause).inc()
        self._changed(replica)
        while replica.on_ejection:
            replica.on_ejection.pop().set_result(None)

    def _within_share(self, now: float, out: Sequence[Replica]) -> bool:
        """Whether one more than those `out` may be put out of turn."""
        ready = sum(replica.state(now) != "not ready" for replica in self.replicas)
        return len(out) + 1 <= self._max_ejected_share * ready

    # --- news -------------------------------------------------------------------------------------------------

    def _room(self) -> None:
        """A request that found no replica may find one now."""
        if self.queue.waiting:
            self.queue.assign()

    def _changed(self, replica: Replica) -> None:
        for callback in self.on_change:
            callback(replica)
        self._room()


def _latency(replica: Replica) -> RunningMean:
    return replica.latency


def _service(replica: Replica) -> RunningMean:
    return replica.service
