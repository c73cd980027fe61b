"""Labelled pictures to judge a model on: read file by file, preprocessed as the gateway would, a batch at a time."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from gateway.errors import GatewayError
from gateway.imaging import ALL_FORMATS, Pixels, preprocess
from training.console import Progress
from training.data import manifest
from training.errors import JudgementError
from training.learn import runs

BATCH = 16
"""Pictures held in memory at once: as files and as pixels, 0.2 MB each and their files."""


class Example(NamedTuple):
    """One labelled picture, not read yet."""

    file: str
    """As the data set calls it."""
    label: str
    path: Path
    digest: str = ""
    """`sha256:` that the file must have; empty: any."""


class Picture(NamedTuple):
    """One upload: what a client would send, and what the network sees of it."""

    data: bytes
    pixels: Pixels


def of(data_set: Path, split: str = "") -> list[Example]:
    """The pictures of a split; without one named, those of `test`; without them all, of a run `val`.

    Args:
        data_set: a folder or CSV that `training.data.manifest` understands, or the folder of a run, which keeps the
            split that it made.

    Raises:
        DataSetError, RunError: there is no data set here.
        JudgementError: the split has no pictures.
    """
    run = (data_set / runs.RECORD).is_file()
    stated = _of_run(data_set) if run else _of_data_set(data_set)
    parts = {part for part, _ in stated}
    wanted = split or ("test" if "test" in parts else "val" if run else "")
    chosen = [example for part, example in stated if not wanted or part == wanted]
    if not chosen:
        there = ", ".join(sorted(part or "no split" for part in parts))
        raise JudgementError(f"{data_set} has no pictures in the split {wanted!r}, only in: {there}.")
    return chosen


def _of_data_set(data_set: Path) -> list[tuple[str, Example]]:
    found = manifest.read(data_set)
    return [
        (entry.split, Example(entry.file, entry.label, found.root / entry.file, entry.digest))
        for entry in found.entries
        if entry.label
    ]


def _of_run(folder: Path) -> list[tuple[str, Example]]:
    source = Path(runs.load(folder).data.source)
    root = source if source.is_dir() else source.parent
    return [
        (picture.split, Example(picture.file, picture.label, root / picture.file, picture.sha256))
        for picture in runs.pictures(folder)
    ]


def read(
    examples: Sequence[Example], progress: Progress = lambda done, total: None, *, batch: int = BATCH
) -> Iterator[tuple[Sequence[Example], list[Picture]]]:
    """The pictures in their order, batch by batch, decoded on every core.

    Raises:
        JudgementError: a file is gone, has changed or cannot be decoded.
    """
    done = 0
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for at in range(0, len(examples), batch):
            some = examples[at : at + batch]
            yield some, list(threads.map(picture, some))
            done += len(some)
            progress(done, len(examples))


def picture(example: Example) -> Picture:
    """One of them, read and decoded."""
    try:
        data = example.path.read_bytes()
    except OSError as cause:
        raise JudgementError(f"{example.path} cannot be read: {cause.strerror or cause}.") from cause
    if example.digest and example.digest != f"sha256:{hashlib.sha256(data).hexdigest()}":
        raise JudgementError(f"{example.path} has changed since the model's data was read: restore it or train anew.")
    return decoded(data, str(example.path))


def decoded(data: bytes, name: str) -> Picture:
    """An upload from the bytes of a file."""
    try:
        return Picture(data, preprocess(data, formats=ALL_FORMATS))
    except GatewayError as cause:
        raise JudgementError(f"{name}: {cause}. `python -m training validate` finds all such files.") from cause
