"""Which version serves. Replicas watch `models/NAME/`; `models/NAME.versions/`, the store, keeps every version.

The rule: TensorFlow Serving serves the version with the largest number in the watched folder, and loads it before it
unloads the one before. To promote a version is to put it there and then to remove every larger number; to roll back is
to remove the largest number. A number means the same model for ever. A version that leaves the served folder is first
kept in the store, and the served folder is never empty. See docs/decisions/0034-promote-by-number.md.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

from training import versions
from training.errors import ReleaseError
from training.release import provenance
from training.release.provenance import Provenance
from training.reports.files import writable

Action = Literal["promote", "rollback"]
LOG = "releases.jsonl"


class Release(NamedTuple):
    """One change of the serving version."""

    at: str
    """ISO 8601, UTC."""
    action: Action
    version: int
    """The serving version from then on."""
    before: int | None
    """The serving version until then."""


class Known(NamedTuple):
    """One version, in the served folder or the store."""

    version: int
    state: Literal["serving", "served", "exported"]
    """Served: its number is below the serving one's, and a rollback may return to it."""
    provenance: Provenance | None
    releases: tuple[Release, ...]
    """When it began to serve, oldest first."""


def store_of(base: Path) -> Path:
    """The store of `models/NAME`: `models/NAME.versions`."""
    return base.with_name(f"{base.name}.versions")


def serving(base: Path) -> int | None:
    """The number of the serving version; None where nothing serves."""
    return max(versions.present(base), default=None)


def free_number(base: Path, wanted: int) -> int:
    """The first number from `wanted` on that no version has, served or stored."""
    taken = {*versions.present(base), *versions.present(store_of(base))}
    return next(number for number in count(wanted) if number not in taken)


def check_place(base: Path) -> None:
    """Check before long work that versions can be stored and served; changes nothing.

    Raises:
        ReleaseError: a folder cannot be written.
    """
    if not all(map(writable, (base, store_of(base)))):
        raise ReleaseError(f"{base} or {store_of(base)} cannot be written: give another folder with --models.")


def promote(base: Path, version: int | None = None) -> Release:
    """Make a version serve.

    Args:
        base: `models/NAME`.
        version: the newest in the store where None.

    Raises:
        ReleaseError: the version does not exist or already serves, or the folders cannot be written.
    """
    with _locked(base):
        kept = versions.present(store_of(base))
        wanted = version if version is not None else max(kept, default=None)
        if wanted is None:
            raise ReleaseError(f"{store_of(base)} holds no version to promote: export one first.")
        if wanted == serving(base):
            raise ReleaseError(f"Version {wanted} serves already: nothing to do.")
        return _serve(base, wanted, "promote")


def rollback(base: Path, version: int | None = None) -> Release:
    """Make an older version serve again.

    Args:
        base: `models/NAME`.
        version: the one that the serving version replaced where None.

    Raises:
        ReleaseError: there is no version to return to.
    """
    with _locked(base):
        now = serving(base)
        if now is None:
            raise ReleaseError(f"{base} holds no version that serves: promote one first.")
        older = [number for number in versions.present(base) if number < now]
        wanted = version if version is not None else max(older, default=None)
        if wanted is None:
            raise ReleaseError(f"{base} holds no older version to return to: {_other_than(base, now)}.")
        if wanted >= now:
            raise ReleaseError(f"Version {wanted} is not older than {now}, which serves: promote it instead.")
        return _serve(base, wanted, "rollback")


def history(base: Path) -> list[Known]:
    """All known versions, newest first."""
    served, now, log = versions.present(base), serving(base), releases(base)
    return [
        Known(
            number,
            "serving" if number == now else "served" if number in served else "exported",
            provenance.read(base / str(number)) or provenance.read(store_of(base) / str(number)),
            tuple(release for release in log if release.version == number),
        )
        for number in sorted({*served, *versions.present(store_of(base))}, reverse=True)
    ]


def releases(base: Path) -> list[Release]:
    """All changes of the serving version that were made by this command, oldest first.

    Raises:
        ReleaseError: their log is damaged.
    """
    try:
        lines = (store_of(base) / LOG).read_text(encoding="utf-8").splitlines()
        return [Release(**json.loads(line)) for line in lines]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as cause:
        raise ReleaseError(f"{store_of(base) / LOG} is damaged: move it away; the versions do not need it.") from cause


def _other_than(base: Path, now: int) -> str:
    """Advice where the served folder has no version below `now`."""
    kept = [number for number in versions.present(store_of(base)) if number < now]
    return f"give one that `history` lists, as in `rollback {max(kept)}`" if kept else "promote another one"


def _serve(base: Path, wanted: int, action: Action) -> Release:
    before = serving(base)
    if not (base / str(wanted)).is_dir():
        source = store_of(base) / str(wanted)
        if not source.is_dir():
            raise ReleaseError(f"There is no version {wanted} of {base.name}: `history` lists the versions.")
        versions.copy(source, base)
    for newer in [number for number in versions.present(base) if number > wanted]:
        _retire(base, newer)
    release = Release(datetime.now(UTC).isoformat(timespec="seconds"), action, wanted, before)
    _log(base, release)
    return release


def _retire(base: Path, number: int) -> None:
    """Remove a version from the served folder; it is in the store, or put there first."""
    if not (store_of(base) / str(number)).is_dir():
        versions.copy(base / str(number), store_of(base))
    versions.remove(base / str(number))


def _log(base: Path, release: Release) -> None:
    with (store_of(base) / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(release._asdict()) + "\n")
        log.flush()
        os.fsync(log.fileno())


@contextmanager
def _locked(base: Path) -> Iterator[None]:
    """One release at a time; others wait."""
    check_place(base)
    store = store_of(base)
    store.mkdir(parents=True, exist_ok=True)
    with (store / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
