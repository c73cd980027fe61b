"""Which of several replicas that may be asked gets the next attempt. Pure; both ways are fair over time.

Round-robin: the one whose last turn is longest ago. Over a fixed set this is exactly even; when one comes or goes the
rest stays even, without a position that could shift.

Least loaded: of two drawn at random, the one that would answer sooner, judged by its attempts in flight times its
usual time (power of two choices with peak EWMA, as in Finagle). A slow replica gets as much as it can handle.

A slow replica (`pool`) gets a trial now and then, by which it is judged again. A replica that has just returned
gets a growing share of its turns, so that it can fill its caches first.
"""

from collections.abc import Iterable, Sequence
from random import Random
from typing import Literal, Protocol

from gateway.replicas.replica import Replica, doubled

Balancer = Literal["round-robin", "least-loaded"]
FIRST_TRIAL_PAUSE_S = 0.5
LONGEST_TRIAL_PAUSE_S = 30.0
LEAST_WEIGHT = 0.1
GUESSED_S = 0.01
"""Usual time of a replica that has not been measured yet."""


def preferred(replicas: Iterable[Replica], now: float, *, max_in_flight: int) -> Sequence[Replica]:
    """Those below their limit among which to choose; none if all are full.

    A slow one whose trial turn has come; else those that are neither slow nor resting; else those that are not slow;
    else all.
    """
    free = [replica for replica in replicas if replica.in_flight < max_in_flight]
    regular = []
    for replica in free:
        if not replica.slow:
            regular.append(replica)
        elif _takes_trial_turn(replica, now):
            return [replica]
    return [replica for replica in regular if replica.resting_until <= now] or regular or free


def _takes_trial_turn(replica: Replica, now: float) -> bool:
    """Whether this is a turn of its trial. A trial begins when nothing is in flight there."""
    if replica.trial_at <= now and not replica.in_flight:
        replica.trial_at = now + doubled(FIRST_TRIAL_PAUSE_S, replica.trials, LONGEST_TRIAL_PAUSE_S)
        replica.trial_turns = replica.trial_width
    if not replica.trial_turns:
        return False
    replica.trial_turns -= 1
    return True


class Balancing(Protocol):
    """One way to decide."""

    def choose(self, candidates: Sequence[Replica], now: float) -> Replica:
        """One of `candidates`, of which there is at least one."""


def weight(replica: Replica, now: float, slow_start_s: float) -> float:
    """Share of its turns that a replica takes: 1, or less for `slow_start_s` after its return."""
    elapsed = now - replica.returned_at  # negative where it returns only when its ejection is over
    if slow_start_s <= 0 or elapsed >= slow_start_s:
        return 1.0
    return max(LEAST_WEIGHT, elapsed / slow_start_s)


class RoundRobin:
    """The one whose turn is longest ago."""

    def __init__(self, slow_start_s: float = 0) -> None:
        self._slow_start_s = slow_start_s
        self._turn = 0

    def choose(self, candidates: Sequence[Replica], now: float) -> Replica:
        """See the module; the turn always moves on."""
        in_turn = sorted(candidates, key=_last_turn) if len(candidates) > 1 else candidates
        for replica in in_turn:
            self._turn += 1
            replica.last_turn = self._turn
            replica.credit += weight(replica, now, self._slow_start_s)
            if replica.credit >= 1:
                replica.credit -= 1
                return replica
        richest = max(in_turn, key=_credit)  # all of them have just come back
        richest.credit = 0
        return richest


def _last_turn(replica: Replica) -> int:
    return replica.last_turn


def _credit(replica: Replica) -> float:
    return replica.credit


class LeastLoaded:
    """The better of two."""

    def __init__(self, slow_start_s: float = 0, random: Random | None = None) -> None:
        self._slow_start_s = slow_start_s
        self._random = random or Random()  # noqa: S311  no secret

    def choose(self, candidates: Sequence[Replica], now: float) -> Replica:
        """See the module."""
        two = self._random.sample(candidates, 2) if len(candidates) > 1 else candidates
        return min(two, key=lambda replica: self._cost(replica, now))

    def _cost(self, replica: Replica, now: float) -> float:
        usual = replica.latency.value or GUESSED_S
        return (replica.in_flight + 1) * usual / weight(replica, now, self._slow_start_s)


def balancing(balancer: Balancer, *, slow_start_s: float) -> Balancing:
    """The way that the settings name."""
    return RoundRobin(slow_start_s) if balancer == "round-robin" else LeastLoaded(slow_start_s)
