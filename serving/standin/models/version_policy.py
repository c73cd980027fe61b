"""Which versions of a model to load and unload, and in which order. No I/O, no clock.

A version is loaded before the one it replaces is unloaded. Versions that are not wanted any more are unloaded once a
wanted one is available, or at once where none is wanted. A load that fails is retried a few times, then not again
until the version disappears from the disk and comes back (docs/tensorflow-serving.md, "Load states").
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from serving.standin.errors import StatusError


@dataclass(frozen=True)
class Latest:
    count: int = 1

    def choose(self, present: Collection[int]) -> set[int]:
        return set(sorted(present, reverse=True)[: self.count])


@dataclass(frozen=True)
class All:
    def choose(self, present: Collection[int]) -> set[int]:
        return set(present)


@dataclass(frozen=True)
class Specific:
    versions: frozenset[int]

    def choose(self, present: Collection[int]) -> set[int]:
        return set(self.versions) & set(present)


Policy = Latest | All | Specific


class State(StrEnum):
    START = "START"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    END = "END"


@dataclass(frozen=True)
class Retries:
    most: int
    interval_s: float


@dataclass
class Version:
    number: int
    state: State = State.START
    error: StatusError | None = None
    """Why the last attempt to load it failed. None in state END: the version was unloaded as intended."""
    wanted: bool = True
    attempting: bool = False
    failures: int = 0
    retry_at: float = 0.0

    @property
    def waiting(self) -> bool:
        """Whether it waits for an attempt to load it. Between attempts its state is LOADING."""
        return self.state is State.START or (self.state is State.LOADING and not self.attempting)


@dataclass
class ModelVersions:
    """All versions of one model that have been seen, with their states. Unloaded ones stay listed."""

    retries: Retries
    versions: dict[int, Version] = field(default_factory=dict)

    def want(self, numbers: Collection[int]) -> None:
        """From now on these versions are wanted, and no others."""
        for number in numbers:
            known = self.versions.get(number)
            if known is None or (known.state is State.END and not known.wanted):
                self.versions[number] = Version(number)
        for version in self.versions.values():
            version.wanted = version.number in numbers
            if version.waiting and not version.wanted:
                version.state = State.END

    def next_load(self, now: float) -> Version | None:
        """The next version to load, highest first: requests without a version go to the highest."""
        due = (v for v in self.highest_first() if v.waiting and v.retry_at <= now)
        return next(due, None)

    def next_unload(self) -> Version | None:
        """The next version to unload. None while no wanted version is available to replace it."""
        wanted = [version for version in self.versions.values() if version.wanted]
        if wanted and not any(version.state is State.AVAILABLE for version in wanted):
            return None
        over = (v for v in self.highest_first() if v.state is State.AVAILABLE and not v.wanted)
        return next(over, None)

    def load_failed(self, version: Version, error: StatusError, now: float) -> None:
        version.attempting, version.error = False, error
        version.failures += 1
        version.retry_at = now + self.retries.interval_s
        if version.failures > self.retries.most or not version.wanted:
            version.state = State.END

    def highest_first(self) -> list[Version]:
        return sorted(self.versions.values(), key=lambda version: version.number, reverse=True)

    @property
    def available(self) -> bool:
        return any(version.state is State.AVAILABLE for version in self.versions.values())

    @property
    def failed(self) -> StatusError | None:
        """The last error where every wanted version has used up its attempts, else None."""
        wanted = [version for version in self.versions.values() if version.wanted]
        hopeless = wanted and all(version.state is State.END for version in wanted)
        return wanted[-1].error if hopeless else None
