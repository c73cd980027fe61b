"""A run of `train` on disk, and how others read it: `runs/NAME/`.

    run.json        what it was made of and what came out: RunRecord
    pictures.csv    file, label, split and sha256 of every picture that it used
    model.keras     float32 [N,224,224,3] in 0..1 to logits [N,classes]; the temperature is in run.json
    checkpoints/    to go on after a kill; gone when the run is finished
    tensorboard/    scalars of each epoch

The two texts are written aside and renamed, so that nobody reads half of one. No TensorFlow is imported for them.
"""

import csv
import io
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from training.data.manifest import digest_of_bytes
from training.errors import RunError
from training.learn.options import Options

RECORD, PICTURES, MODEL = "run.json", "pictures.csv", "model.keras"
CHECKPOINTS, TENSORBOARD = "checkpoints", "tensorboard"
Part = Literal["train", "val", "test"]


class Data(BaseModel):
    """The data set that a run saw."""

    source: str
    """Its folder or CSV."""
    digest: str
    """As `data.manifest` and `validate` tell it: over file, label, split as stated and sha256 of each picture."""
    pictures: int
    classes: int


class Splits(BaseModel):
    """How many pictures taught, chose and tested."""

    train: int
    val: int
    test: int
    digest: str
    """`sha256:` of pictures.csv."""


class Weights(BaseModel):
    """What the body began with."""

    source: str
    """imagenet, none, or the file."""
    digest: str = ""
    """`sha256:` of the values that were loaded; empty for none."""


class Epoch(BaseModel):
    """One epoch; losses in nats, accuracies 0..1."""

    phase: str
    epoch: int
    """Within its phase, from 1."""
    loss: float
    """On the training pictures as they were taught: augmented, smoothed, weighted."""
    accuracy: float
    """Likewise, in training mode."""
    val_loss: float
    val_accuracy: float
    """At the size of the phase, in inference mode."""
    rate: float
    """At its end."""
    seconds: float


class RunRecord(BaseModel):
    """What a run was made of and what came of it."""

    name: str
    created: str
    """UTC, ISO 8601."""
    seed: int
    code_commit: str
    """`-dirty` where the code differed from it; `unknown` outside a checkout; `+` before that of a later start."""
    options: Options
    data: Data
    splits: Splits
    labels: tuple[str, ...]
    """In the order of the outputs."""
    fingerprint: str
    """Of the preprocessing that the pictures went through."""
    weights: Weights
    versions: dict[str, str] = Field(default_factory=dict)
    """Of Python and of the libraries that matter."""
    history: tuple[Epoch, ...] = ()
    temperature: float = 1.0
    """Fitted on the validation pictures at the served size."""
    training_accuracy: float | None = None
    """Of the kept model, in inference mode and without augmentation, on training pictures: all, or a fixed sample."""
    validation_accuracy: float | None = None
    """Of the kept model, in inference mode at the served size."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Over all its starts."""
    finished: bool = False


class Picture(NamedTuple):
    """One line of pictures.csv."""

    file: str
    """Relative to the data set's folder."""
    label: str
    split: Part
    sha256: str
    """`sha256:` and the hex digest."""


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
        raise RunError(f"{file} is damaged or of another version: train anew into another folder.") from cause


def save(folder: Path, record: RunRecord) -> None:
    """Write the record, whole or not at all."""
    write_whole(folder / RECORD, (record.model_dump_json(indent=1) + "\n").encode())


def pictures(folder: Path, split: Part | None = None) -> list[Picture]:
    """The pictures that a run used, or those of one split.

    Raises:
        RunError: pictures.csv is missing or not as it was written.
    """
    file = folder / PICTURES
    try:
        text = file.read_bytes()
    except OSError as cause:
        raise RunError(f"{folder} is not a run: it has no {PICTURES}. Give a folder that `train` made.") from cause
    if digest_of_bytes(text) != load(folder).splits.digest:
        raise RunError(f"{file} was changed after the run: train anew.")
    rows = csv.DictReader(io.StringIO(os.fsdecode(text), newline=""))
    found = [Picture(row["file"], row["label"], row["split"], row["sha256"]) for row in rows]  # type: ignore[arg-type]  # checked by the digest
    return [picture for picture in found if split in (None, picture.split)]


def save_pictures(folder: Path, chosen: Sequence[Picture]) -> str:
    """Write pictures.csv; the digest that the record keeps."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Picture._fields)
    writer.writerows(chosen)
    text = os.fsencode(out.getvalue())
    write_whole(folder / PICTURES, text)
    return digest_of_bytes(text)


def model(folder: Path) -> Any:
    """The trained Keras model: float32 [N,224,224,3] in 0..1 to logits [N,classes]. Imports TensorFlow.

    Raises:
        RunError: the run is not finished, or its model cannot be read.
    """
    if not load(folder).finished:
        raise RunError(f"{folder} is not finished: type the same `train` again, it goes on where it was.")
    import keras

    try:
        return keras.saving.load_model(folder / MODEL, compile=False)
    except (OSError, ValueError) as cause:
        raise RunError(f"{folder / MODEL} cannot be read: train anew into another folder.") from cause


def batches(folder: Path, split: Part, *, size: int = 32) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """The pictures of a split as the gateway would send them: uint8 [N,224,224,3], and their classes int64 [N].

    In the order of pictures.csv. Through the cache: what is missing there is decoded again from the data set.

    Raises:
        RunError: the run's preprocessing is not that of this code.
        DataSetError: a picture is neither in the cache nor, unchanged, in the data set.
    """
    from gateway.imaging import fingerprint
    from training.data.decoding import Cache

    record, chosen = load(folder), pictures(folder, split)
    if record.fingerprint != fingerprint():
        raise RunError(f"{folder} was trained on otherwise preprocessed pictures: train anew with this code.")
    source = Path(record.data.source)
    root = source if source.is_dir() else source.parent
    cache = Cache(record.options.cache)
    cache.fill(root, {picture.sha256: picture.file for picture in chosen}, workers=record.options.workers)
    index = {label: at for at, label in enumerate(record.labels)}
    for at in range(0, len(chosen), size):
        part = chosen[at : at + size]
        yield cache.pixels([p.sha256 for p in part]), np.array([index[p.label] for p in part], np.int64)


def commit() -> str:
    """The commit of this code; `-dirty` where training/ or gateway/ differ from it; `unknown` outside a checkout."""
    try:
        found = _git("rev-parse", "--short=12", "HEAD")
        return found + ("-dirty" if _git("status", "--porcelain", "--", "training", "gateway") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def write_whole(file: Path, data: bytes) -> None:
    """Aside first, onto the disk, then into place: a reader sees the old file or the new one."""
    aside = file.with_name(f"{file.name}.partial")
    with aside.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    aside.replace(file)


def _git(*words: str) -> str:
    root = Path(__file__).parents[2]
    return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607
