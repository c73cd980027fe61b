"""The folder of a run while it is being made: begun, gone on with, or refused; one process at a time."""

import fcntl
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from gateway.imaging import fingerprint
from training.errors import RunError
from training.learn import run as runs
from training.learn.options import Options
from training.learn.prepare import Prepared
from training.learn.run import Data, RunRecord, Splits, Weights

FREE = {"cache", "workers", "checkpoint_steps"}
"""Options that may differ between the starts of one run: they do not change what comes out."""
LOCK = ".lock"
LEFT = {
    *(runs.PICTURES, runs.MODEL, runs.CHECKPOINTS, runs.TENSORBOARD, "gate.json"),
    *("evaluation.json", "evaluation.html", "model_card.md"),
}
"""What a run without its record leaves behind, as where DVC makes it again: a new one begins by removing it."""
BESIDE = {LOCK, ".gitignore"}
"""What may lie there as well: DVC writes the latter."""


def check(folder: Path, options: Options) -> None:
    """May this run be made there? Asked before the work; touches nothing.

    Raises:
        RunError: it holds something else, is finished, or cannot be written.
    """
    if (folder / runs.RECORD).exists():
        _check_same(folder, runs.load(folder), options)
    elif folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - LEFT - BESIDE):
        raise RunError(f"{folder} holds something else than a run: choose a new folder with --run.")
    there = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise RunError(f"{folder} cannot be written: choose another folder with --run.")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from making this run. The system releases the lock when the process ends, even if killed.

    The lock file stays: were it deleted, a process that had opened it would lock a file that others cannot see.

    Raises:
        RunError: another process makes this run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            raise RunError(f"{folder} is being trained by another process: wait for it, or end it.") from cause
        yield


def begun(folder: Path, options: Options, prepared: Prepared, weights: Weights) -> RunRecord:
    """The record of the run: as it was left, or a new one.

    Raises:
        RunError: the data, or the preprocessing, is not what the run began with.
    """
    if (folder / runs.RECORD).exists():
        record = runs.load(folder)
        if record.data.digest != prepared.manifest.digest:
            raise RunError(f"The data changed since {folder} was begun: train into another folder with --run.")
        if record.fingerprint != fingerprint():
            raise RunError(f"The preprocessing changed since {folder} was begun: train into another folder with --run.")
        return record.model_copy(update={"code_commit": _with_this_code(record.code_commit)})
    _clear(folder)
    record = _new(folder, options, prepared, weights)
    runs.save(folder, record)
    return record


def _clear(folder: Path) -> None:
    for path in (folder / name for name in LEFT):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _with_this_code(commits: str) -> str:
    """A run that other code goes on with says so."""
    now = runs.commit()
    return commits if now in commits.split("+") else f"{commits}+{now}"


def _new(folder: Path, options: Options, prepared: Prepared, weights: Weights) -> RunRecord:
    digest = runs.save_pictures(folder, prepared.pictures)
    counts = {part: prepared.count(part) for part in ("train", "val", "test")}
    return RunRecord(
        name=folder.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=options.seed,
        code_commit=runs.commit(),
        options=options,
        data=Data(
            source=str(options.data.resolve()),
            digest=prepared.manifest.digest,
            pictures=len(prepared.pictures),
            classes=len(prepared.labels),
        ),
        splits=Splits(digest=digest, **counts),
        labels=prepared.labels,
        fingerprint=fingerprint(),
        weights=weights,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("keras", "numpy", "pillow")},
            "tensorflow": _tensorflow(),
            "machine": platform.machine(),
        },
    )


def _check_same(folder: Path, record: RunRecord, options: Options) -> None:
    if record.finished:
        raise RunError(f"{folder} is finished: choose a new folder with --run.")
    before, now = (chosen.model_dump(exclude=FREE) for chosen in (record.options, options))
    changed = [name for name in now if now[name] != before[name]]
    if changed:
        names = ", ".join(f"--{name}".replace("_", "-") for name in changed)
        raise RunError(f"{folder} was begun with another {names}: give the same to go on, or another --run.")


def _tensorflow() -> str:
    import tensorflow as tf

    return str(tf.__version__)
