"""Labelled pictures to judge a model on, read file by file and preprocessed as by the gateway, in batches."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from gateway.errors import GatewayError
from gateway.imaging import ALL_FORMATS, Pixels, preprocess
from training.console import Progress
from training.data import manifest
from training.data.pictures import Folders, digest_of_bytes
from training.errors import JudgementError
from training.learn import runs

BATCH = 16
"""Pictures in memory at once, as files and as pixels of 0.2 MB each."""


class Example(NamedTuple):
    """One labelled picture that has not been read yet."""

    file: str
    """Its name in the data set."""
    label: str
    folders: Folders
    """Where the file may lie."""
    digest: str = ""
    """`sha256:` that the file must have; empty for any."""


class Picture(NamedTuple):
    """One upload: the file that a client would send, and its pixels."""

    data: bytes
    pixels: Pixels


def of(data_set: Path, split: str = "", also: Sequence[Path] = ()) -> list[Example]:
    """The pictures of a split; by default of `test`. Without a test split all pictures, or those of `val` for a run.

    Args:
        data_set: a folder or CSV as `data.manifest` reads it, or the folder of a run, which has its own split.
        also: folders outside of the data set's that its files may lie in, besides those of a run's options.

    Raises:
        DataSetError, RunError: there is no data set.
        JudgementError: the split has no pictures.
    """
    run = (data_set / runs.RECORD).is_file()
    stated = _of_run(data_set, also) if run else _of_data_set(data_set, also)
    parts = {part for part, _ in stated}
    wanted = split or ("test" if "test" in parts else "val" if run else "")
    chosen = [example for part, example in stated if not wanted or part == wanted]
    if not chosen:
        there = ", ".join(sorted(part or "no split" for part in parts))
        raise JudgementError(f"{data_set} has no pictures in the split {wanted!r}, only in: {there}.")
    return chosen


def strangers(folder: Path) -> list[Example]:
    """All pictures of a folder and the folders in it, without a label.

    Raises:
        JudgementError: there are none.
    """
    found = manifest.pictures_below(folder) if folder.is_dir() else []
    if not found:
        raise JudgementError(f"{folder} holds no pictures: give a folder with pictures of other things.")
    return [Example(file, "", Folders(folder)) for file in found]


def _of_data_set(data_set: Path, also: Sequence[Path]) -> list[tuple[str, Example]]:
    found = manifest.read(data_set, also=also)
    return [
        (entry.split, Example(entry.file, entry.label, found.folders, entry.digest))
        for entry in found.entries
        if entry.label
    ]


def _of_run(folder: Path, also: Sequence[Path]) -> list[tuple[str, Example]]:
    record = runs.load(folder)
    source = Path(record.data.source)
    folders = Folders(source if source.is_dir() else source.parent, (*record.options.also, *also))
    return [
        (picture.split, Example(picture.file, picture.label, folders, picture.sha256))
        for picture in runs.pictures(folder)
    ]


def read(
    examples: Sequence[Example], progress: Progress = lambda done, total: None, *, batch: int = BATCH
) -> Iterator[tuple[Sequence[Example], list[Picture]]]:
    """The pictures in order, batch by batch, decoded on all cores.

    Raises:
        JudgementError: a file is missing, has changed or cannot be decoded.
    """
    done = 0
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for at in range(0, len(examples), batch):
            some = examples[at : at + batch]
            yield some, list(threads.map(picture, some))
            done += len(some)
            progress(done, len(examples))


def picture(example: Example) -> Picture:
    """Read and decode one picture."""
    path = example.folders.root / example.file
    try:
        data = example.folders.read(example.file)
    except OSError as cause:
        raise JudgementError(f"{path} cannot be read: {cause.strerror or cause}.") from cause
    if example.digest and example.digest != digest_of_bytes(data):
        raise JudgementError(f"{path} has changed since the model's data was read: restore it or train again.")
    return decoded(data, str(path))


def decoded(data: bytes, name: str) -> Picture:
    """Decode the bytes of a file; `name` is for the error."""
    try:
        return Picture(data, preprocess(data, formats=ALL_FORMATS))
    except GatewayError as cause:
        raise JudgementError(f"{name}: {cause}. `validate` finds all such files.") from cause
