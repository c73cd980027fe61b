"""One model server process, as far as it is known here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import time
from typing import Literal

from gateway.tfserving.contract import ServedModel

State = Literal["available", "ejected", "not ready"]
NEVER = float("-inf")

FRESH = 0.1
"""Weight of a sample in the running mean of latencies: the last ten or twenty decide."""
SAMPLES_TO_JUDGE = 5
HICCUP = 4.0
"""A sample counts as at most so many times the mean: one answer that took a second says nothing."""


@dataclass(eq=False)
class Replica:
    """Facts only; the rules about them are in `pool`."""

    address: str
    """host:port"""
    known_since: float = field(default_factory=time)
    """When the gateway learnt of it, and its counters began. Seconds since 1970."""
    models: Mapping[str, ServedModel] = field(default_factory=dict)
    """What it serves and we accept, by version; empty: it is not ready."""
    versions: Mapping[int, str] = field(default_factory=dict)
    """Every version it told of, with its state."""
    reason: str = "not probed yet"
    """Why it is not ready, why it was ejected, or why its newest version does not serve; for the operator."""

    # --- attempts ---
    in_flight: int = 0
    attempts: int = 0
    failed_attempts: int = 0
    failures: int = 0
    """In a row."""
    latency_s: float = 0
    """Running mean of good answers' times; 0 without any."""
    samples: int = 0
    """Good answers in that mean."""
    last_turn: int = 0
    """When it was last picked, in turns."""
    credit: float = 0
    """Of a turn, saved up during the slow start."""

    refusals: int = 0
    """Times in a row that it said to be busy; those before it had rested count once."""
    resting_until: float = NEVER
    """It said to be busy, so the others are asked first."""

    # --- probes ---
    missed: int = 0
    """Probes in a row without an answer."""
    heard: int = 0
    """Probes in a row with a good one."""

    # --- ejection ---
    ejected_until: float = NEVER
    doubted: bool = False
    """Ejected, and has not answered for the golden picture since."""
    ejections: int = 0
    """Without half a minute of good service between them."""
    times_ejected: int = 0
    """In all."""
    returned_at: float = NEVER
    was_ready: bool = False

    def ejected(self, now: float) -> bool:
        """Out of turn, though ready."""
        return self.ejected_until > now or self.doubted

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

    def took(self, seconds: float) -> None:
        """One more good answer, and its time. Of the first few, the quickest: a cold start says nothing either."""
        self.samples += 1
        if self.samples == 1:
            self.latency_s = seconds
        elif self.samples <= SAMPLES_TO_JUDGE:
            self.latency_s = min(self.latency_s, seconds)
        else:
            self.latency_s += FRESH * (min(seconds, HICCUP * self.latency_s) - self.latency_s)
