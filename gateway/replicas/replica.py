"""What is known of one replica, that is of one model server process."""

from asyncio import Future
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import time
from typing import Literal, NamedTuple

from gateway.observe import metrics
from gateway.tfserving import VersionStatus
from gateway.tfserving.contract import ServedModel

State = Literal["available", "ejected", "not ready"]
NEVER = float("-inf")
AVAILABLE = "AVAILABLE"
END = "END"
MAX_DOUBLINGS = 10
"""An exponent without a cap overflows after a thousand failures."""

WEIGHT_OF_NEW = 0.1
"""Of a sample in the running mean of latencies: the last ten or twenty decide."""
SAMPLES_TO_JUDGE = 5
HICCUP = 4.0
"""A sample counts as at most so many times the mean: a single answer that took a second shows nothing."""


class Refusal(NamedTuple):
    """Why a version is not served here."""

    kind: metrics.Refused
    reason: str
    """In words, for the operator."""


@dataclass
class RunningMean:
    """An exponential moving average that a single outlier does not move far."""

    value: float = 0
    samples: int = 0

    def add(self, sample: float) -> None:
        """One more. The first few count by the smallest of them, since a cold start is not typical."""
        self.samples += 1
        if self.samples == 1:
            self.value = sample
        elif self.samples <= SAMPLES_TO_JUDGE:
            self.value = min(self.value, sample)
        else:
            self.value += WEIGHT_OF_NEW * (min(sample, HICCUP * self.value) - self.value)


@dataclass(eq=False)
class Replica:
    """Facts only; the rules that change them are in `pool`."""

    address: str
    """HOST:PORT, with /GRPCPORT where that is not the usual one."""
    known_since: float = field(default_factory=time)
    """When the gateway learnt of it, and its counters began. Seconds since 1970."""
    models: Mapping[str, ServedModel] = field(default_factory=dict)
    """What it serves and we accept, by version. Empty: it is not ready."""
    versions: Mapping[int, VersionStatus] = field(default_factory=dict)
    """Every version in its status."""
    refused: Mapping[int, Refusal] = field(default_factory=dict)
    """The versions in its status that are not served from here."""
    reason: str = "not probed yet"
    """Why it is not ready, ejected or slow, or why its newest version does not serve; for the operator."""

    # --- attempts ---
    in_flight: int = 0
    attempts: int = 0
    failed_attempts: int = 0
    failures: int = 0
    """In a row."""
    latency: RunningMean = field(default_factory=RunningMean)
    """Seconds of good answers."""
    service: RunningMean = field(default_factory=RunningMean)
    """The same, divided by the attempts in flight here when each began: about what one attempt alone takes."""
    last_turn: int = 0
    """When it was last picked, in turns."""
    credit: float = 0
    """Of a turn, saved up during the slow start."""

    refusals: int = 0
    """Times in a row that it refused work as busy; those during one rest count once."""
    resting_until: float = NEVER
    """It refused work, so the others are asked first."""

    # --- slowness ---
    slow_since: float | None = None
    """When the first of its slow answers in a row was asked for; None: the last one was not slow."""
    slow_answers: int = 0
    """In a row."""
    slow: bool = False
    """It gets trial turns only, and what the others have no room for."""
    trial_at: float = NEVER
    """Its next trial."""
    trial_width: int = 1
    """Turns that the next trial takes at once."""
    trial_turns: int = 0
    """Turns of the trial under way that are still to come."""
    trials: int = 0
    """In a row that were slow."""
    false_alarms: int = 0
    """Times in a row that its first trial was not slow."""

    # --- probes ---
    missed: int = 0
    """Probes in a row without an answer."""
    heard: int = 0
    """Probes in a row with a good one."""
    heard_at: float = NEVER
    """When a probe was last answered."""

    # --- ejection ---
    ejected_until: float = NEVER
    unproven: bool = False
    """Ejected, and no right answer for the golden picture since."""
    ejected_by_suspect: bool = False
    """The failure that ejected it may have been a request's fault."""
    ejections: int = 0
    """Without half a minute of good service between them."""
    times_ejected: int = 0
    """In all."""
    returned_at: float = NEVER
    was_ready: bool = False
    on_ejection: "set[Future[None]]" = field(default_factory=set)
    """Done when it is ejected: of requests that wait for it."""

    @property
    def held(self) -> set[int]:
        """The versions in its status that have not ended. One that has stays listed as END until the process ends."""
        return {version for version, status in self.versions.items() if status.state != END}

    def ejected(self, now: float) -> bool:
        """Out of turn, though ready."""
        return self.ejected_until > now or self.unproven

    def state(self, now: float) -> State:
        """What an operator wants to see."""
        if not self.models:
            return "not ready"
        return "ejected" if self.ejected(now) else "available"

    def model(self, version: str | None = None, *, held_back: str | None = None) -> ServedModel | None:
        """The model to ask for: `version`, else the newest; a version that is held back only where asked for."""
        if version is not None:
            return self.models.get(version)
        newest = max((v for v in self.models if v != held_back), key=int, default=None)
        return self.models[newest] if newest is not None else None


def doubled(first_s: float, times: int, longest_s: float) -> float:
    """`first_s`, doubled `times`, at most `longest_s`."""
    return min(first_s * 2.0 ** min(times, MAX_DOUBLINGS), longest_s)
