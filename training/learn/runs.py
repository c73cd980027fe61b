"""The folder of a run, `runs/NAME/`: begun, checkpointed and finished by `train`, then read by everything else.

    run.json        what the run was made from and its results: RunRecord
    pictures.csv    file, label, split and sha256 of every picture that it used
    taught.npy      features of training pictures, by which it knows what is familiar
    model.keras     float32 [N,224,224,3] in 0..1 to logits [N,classes]; the temperature is in run.json
    checkpoints/    state to resume from; deleted when the run is finished
    tensorboard/    scalars of each epoch

Files are written beside their place and renamed, so that a reader never sees half a file. `begin` and `model` import
TensorFlow; the rest does without.
"""

import csv
import fcntl
import io
import os
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from gateway.imaging import fingerprint
from gateway.labels import LabelMap
from training.data.manifest import Part, Picture
from training.data.pictures import Cache, Folders, digest_of_bytes
from training.errors import RunError
from training.learn.options import Options, RecordedOptions

RECORD, PICTURES, MODEL, TAUGHT = "run.json", "pictures.csv", "model.keras", "taught.npy"
CHECKPOINTS, TENSORBOARD, LOCK = "checkpoints", "tensorboard", ".lock"
MAY_CHANGE = {"cache", "workers", "checkpoint_steps"}
"""Options that may change when a run is resumed: the model does not depend on them."""
REPORTS = {"evaluation.json", "evaluation.html", "model_card.md", "gate.json"}
LEFTOVERS = {PICTURES, MODEL, TAUGHT, CHECKPOINTS, TENSORBOARD, *REPORTS}
"""What a run without its record leaves behind, as when DVC repeats a stage; a new run starts by removing it."""
ALLOWED = {LOCK, ".gitignore"}
"""Other files that may lie in the folder; DVC writes a .gitignore."""

# --- The record -------------------------------------------------------------------------------------------------


class Data(BaseModel):
    """The data set of a run."""

    source: str
    """Its folder or CSV."""
    digest: str
    """Of the manifest: over file, label, stated split and sha256 of each picture."""
    pictures: int
    classes: int


class Splits(BaseModel):
    """Number of pictures in each split."""

    train: int
    val: int
    test: int
    digest: str
    """`sha256:` of pictures.csv."""


class Weights(BaseModel):
    """The initial weights of the body."""

    source: str
    """imagenet, none, or the file."""
    digest: str = ""
    """`sha256:` of the loaded values; empty for none."""


class Epoch(BaseModel):
    """One epoch; losses in nats, accuracies 0..1."""

    phase: str
    epoch: int
    """Within its phase, from 1."""
    loss: float
    """On the training pictures as the network saw them: augmented, smoothed, weighted."""
    accuracy: float
    """Likewise, in training mode."""
    val_loss: float
    val_accuracy: float
    """At the picture size of the phase, in inference mode."""
    rate: float
    """At its end."""
    seconds: float


class RunRecord(BaseModel):
    """What a run was made from and its results."""

    name: str
    created: str
    """UTC, ISO 8601."""
    seed: int
    code_commit: str
    """See `commit`; the commits of later starts are appended, each after a `+`."""
    options: RecordedOptions
    data: Data
    splits: Splits
    labels: tuple[str, ...]
    """In the order of the outputs."""
    label_map: LabelMap | None = None
    """The same labels with their names for people; None: the run was begun before they were recorded."""
    fingerprint: str
    """Of the preprocessing."""
    weights: Weights
    versions: dict[str, str] = Field(default_factory=dict)
    """Of Python and of the libraries that matter."""
    history: tuple[Epoch, ...] = ()
    temperature: float = 1.0
    """Fitted on the validation pictures at the served size; in a quick run also on training pictures, each seen by a
    head that was not taught it. So are the next three."""
    sure_at: float | None = None
    """Confidence from which a statement counts as sure; None: it could not be proven, or the run is older."""
    familiar_at: float | None = None
    """Familiarity below which the model knows nothing of a picture's kind; None: the run is older."""
    training_accuracy: float | None = None
    """Of the final model, in inference mode and without augmentation, on all training pictures or a fixed sample."""
    validation_accuracy: float | None = None
    """Of the final model, in inference mode at the served size."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Over all its starts."""
    finished: bool = False


# --- Reading ----------------------------------------------------------------------------------------------------


def load(folder: Path) -> RunRecord:
    """The record of a run, finished or not.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    file = folder / RECORD
    try:
        return RunRecord.model_validate_json(file.read_bytes())
    except OSError as cause:
        raise RunError(f"{folder} is not a run: it has no {RECORD}. Give a folder that `train` made.") from cause
    except ValidationError as cause:
        raise RunError(f"{file} is damaged or of another version: train again into another folder.") from cause


def pictures(folder: Path, split: Part | None = None) -> list[Picture]:
    """The pictures that a run used, or those of one split.

    Raises:
        RunError: pictures.csv is missing or has been changed.
    """
    file = folder / PICTURES
    try:
        text = file.read_bytes()
    except OSError as cause:
        raise RunError(f"{folder} is not a run: it has no {PICTURES}. Give a folder that `train` made.") from cause
    if digest_of_bytes(text) != load(folder).splits.digest:
        raise RunError(f"{file} was changed after the run: train again.")
    rows = csv.DictReader(io.StringIO(os.fsdecode(text), newline=""))
    found = [Picture(row["file"], row["label"], row["split"], row["sha256"]) for row in rows]  # type: ignore[arg-type]  # checked by the digest
    return [picture for picture in found if split in (None, picture.split)]


def model(folder: Path) -> Any:
    """The trained Keras model: float32 [N,224,224,3] in 0..1 to logits [N,classes]. Imports TensorFlow.

    Raises:
        RunError: the run is not finished, or its model cannot be read.
    """
    if not load(folder).finished:
        raise RunError(f"{folder} is not finished: repeat the same `train` command to resume it.")
    import keras

    try:
        return keras.saving.load_model(folder / MODEL, compile=False)
    except (OSError, ValueError) as cause:
        raise RunError(f"{folder / MODEL} cannot be read: train again into another folder.") from cause


def taught(folder: Path) -> NDArray[np.float32] | None:
    """Features of training pictures, each of length 1: shape (M, features). None: the run is older.

    Raises:
        RunError: they cannot be read.
    """
    try:
        with (folder / TAUGHT).open("rb") as file:
            found: NDArray[np.float32] = np.load(file, allow_pickle=False)
            return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as cause:
        raise RunError(f"{folder / TAUGHT} cannot be read: train again into another folder.") from cause


def batches(folder: Path, split: Part, *, size: int = 32) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """The pictures of a split as the gateway would send them: uint8 [N,224,224,3], and their classes int64 [N].

    In the order of pictures.csv. Pictures missing in the cache are decoded again from the data set.

    Raises:
        RunError: the run used another preprocessing than this code.
        DataSetError: a picture is neither in the cache nor, unchanged, in the data set.
    """
    record, chosen = load(folder), pictures(folder, split)
    if record.fingerprint != fingerprint():
        raise RunError(f"{folder} was trained with another preprocessing: train again with this code.")
    source = Path(record.data.source)
    folders = Folders(source if source.is_dir() else source.parent, record.options.also)
    cache = Cache(record.options.cache)
    cache.fill(folders, {picture.sha256: picture.file for picture in chosen}, workers=record.options.workers)
    index = {label: at for at, label in enumerate(record.labels)}
    for at in range(0, len(chosen), size):
        part = chosen[at : at + size]
        yield cache.pixels([p.sha256 for p in part]), np.array([index[p.label] for p in part], np.int64)


# --- Beginning and writing --------------------------------------------------------------------------------------


def check(folder: Path, options: Options) -> None:
    """Check before any work that this run can be made in `folder`; changes nothing.

    Raises:
        RunError: the folder holds something else or a finished run, or cannot be written.
    """
    if (folder / RECORD).exists():
        _check_same(folder, load(folder), options)
    elif folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - LEFTOVERS - ALLOWED):
        raise RunError(f"{folder} is not empty and not a run: choose a new folder with --run.")
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


def begin(
    folder: Path, options: Options, *, data: Data, pictures: Sequence[Picture], label_map: LabelMap, weights: Weights
) -> RunRecord:
    """The record of the run: that in the folder, or a new one.

    Raises:
        RunError: the run in the folder was begun with other data or another preprocessing.
    """
    if (folder / RECORD).exists():
        record = load(folder).model_copy(update={"options": options, "finished": False})
        if record.data.digest != data.digest:
            raise RunError(f"The data changed since {folder} was begun: train into another folder with --run.")
        if record.fingerprint != fingerprint():
            raise RunError(f"The preprocessing changed since {folder} was begun: train into another folder with --run.")
        commits = record.code_commit.split("+")
        return record.model_copy(update={"code_commit": "+".join(dict.fromkeys([*commits, commit()]))})
    _clear(folder)
    counts = Counter(picture.split for picture in pictures)
    splits = Splits(digest=save_pictures(folder, pictures), **{part: counts[part] for part in ("train", "val", "test")})
    record = RunRecord(
        name=folder.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=options.seed,
        code_commit=commit(),
        options=options,
        data=data,
        splits=splits,
        labels=label_map.labels,
        label_map=label_map,
        fingerprint=fingerprint(),
        weights=weights,
        versions=_versions(),
    )
    save(folder, record)
    return record


def save(folder: Path, record: RunRecord) -> None:
    """Replace the record, atomically."""
    replace(folder / RECORD, (record.model_dump_json(indent=1) + "\n").encode())


def save_taught(folder: Path, features: NDArray[np.float32]) -> None:
    """Replace the features of taught pictures, atomically."""
    out = io.BytesIO()
    np.save(out, features, allow_pickle=False)
    replace(folder / TAUGHT, out.getvalue())


def save_pictures(folder: Path, chosen: Sequence[Picture]) -> str:
    """Write pictures.csv; returns the digest for the record."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Picture._fields)
    writer.writerows(chosen)
    text = os.fsencode(out.getvalue())
    replace(folder / PICTURES, text)
    return digest_of_bytes(text)


def commit() -> str:
    """The commit of this code; `-dirty` where training/ or gateway/ differ from it; `unknown` outside a checkout."""
    try:
        found = _git("rev-parse", "--short=12", "HEAD")
        return found + ("-dirty" if _git("status", "--porcelain", "--", "training", "gateway") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def is_made(record: RunRecord, options: Options) -> bool:
    """Whether nothing is left to do: a quick run that is finished goes on without --quick."""
    return record.finished and (options.quick or not record.options.quick)


def _check_same(folder: Path, record: RunRecord, options: Options) -> None:
    if is_made(record, options):
        raise RunError(f"{folder} is finished: choose a new folder with --run.")
    may_change = MAY_CHANGE | ({"quick"} if record.finished else set())
    before, now = (chosen.model_dump(exclude=may_change) for chosen in (record.options, options))
    changed = [name for name in now if now[name] != before[name]]
    if changed:
        names = ", ".join(f"--{name}".replace("_", "-") for name in changed)
        raise RunError(f"{folder} was begun with another {names}: give the same to resume it, or another --run.")


def _clear(folder: Path) -> None:
    for path in (folder / name for name in LEFTOVERS):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _versions() -> dict[str, str]:
    import tensorflow as tf

    found = {"python": platform.python_version(), "tensorflow": str(tf.__version__), "machine": platform.machine()}
    return found | {name: version(name) for name in ("keras", "numpy", "pillow")}


def replace(file: Path, data: bytes) -> None:
    """Write beside the file, flush to the disk, rename: a reader sees the old file or the new one."""
    beside = file.with_name(f"{file.name}.partial")
    with beside.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(file)


def _git(*words: str) -> str:
    root = Path(__file__).parents[2]
    return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607
