"""The pictures of a data set with their labels and splits, as its folder or CSV states them.

The rule: read, never repair, and open no file outside the folder (`data.pictures`). There are three layouts:

    DIR/LABEL/**/picture.jpg            a folder per class
    DIR/SPLIT/LABEL/**/picture.jpg      train, and val or test beside it, with a folder per class in each
    DIR/*.csv or a CSV itself           columns `file` (relative to the CSV), `label` and optionally `split`, `group`

Hidden files and folders are ignored. `data.validate` checks the pictures themselves.
"""

import csv
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from gateway.imaging.formats import Format, format_of
from training.console import Progress
from training.data.pictures import Folders, digest_of_bytes
from training.errors import DataSetError

Part = Literal["train", "val", "test"]
Split = Literal["train", "val", "test", ""]
"""Empty where the data set is not split yet."""

SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
SUFFIXES: dict[str, Format] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".mpo": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".avif": "AVIF",
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".dib": "BMP",
}
"""Format by file extension, in lower case."""


class Entry(NamedTuple):
    """One picture, as the data set states it."""

    file: str
    """Relative to the data set's folder, with `/`."""
    label: str
    split: Split
    digest: str
    """`sha256:` of the file's bytes; empty where the file could not be read."""


class Picture(NamedTuple):
    """One picture of a run: a line of its pictures.csv."""

    file: str
    """Relative to the data set's folder."""
    label: str
    split: Part
    sha256: str
    """`sha256:` and the hex digest."""


@dataclass(frozen=True)
class Manifest:
    """A data set, in the order of its files, or of the rows of its CSV."""

    root: Path
    layout: Literal["folders", "splits", "csv"]
    entries: tuple[Entry, ...]
    others: tuple[str, ...] = ()
    """Files that are not pictures, neither by name nor by their first bytes."""
    unlabelled: tuple[str, ...] = ()
    """Pictures outside the folders of the classes, or missing in the CSV."""
    empty: tuple[str, ...] = ()
    """Class folders without a picture."""
    links: tuple[str, ...] = ()
    """Links to folders that were not followed."""
    also: tuple[Path, ...] = ()
    """Folders outside of `root` that its files may lie in."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """File -> value of the CSV's column `group`; pictures of one group stay in one split."""

    @cached_property
    def digest(self) -> str:
        """`sha256:` over files, labels, splits and bytes, independent of their order."""
        lines = sorted(os.fsencode("\0".join(entry)) for entry in self.entries)
        return digest_of_bytes(bytes(1).join(lines))

    @cached_property
    def folders(self) -> Folders:
        """Where its files may lie, and how they are read."""
        return Folders(self.root, self.also)

    @property
    def labels(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted({entry.label for entry in self.entries if entry.label}))

    @property
    def splits(self) -> tuple[Split, ...]:
        """Those that occur, in the order train, val, test, none."""
        present = {entry.split for entry in self.entries}
        order: tuple[Split, ...] = ("train", "val", "test", "")
        return tuple(split for split in order if split in present)


def read(data_set: Path, *, also: Sequence[Path] = (), progress: Progress = lambda done, total: None) -> Manifest:
    """Read a data set and digest its files. About 1 s per gigabyte; writes nothing.

    Args:
        also: folders outside of the data set's that its files, or links to class folders, may lead to.

    Raises:
        DataSetError: there is no data set: no such folder, no picture, a single class, or an invalid CSV. The
            message says what to do.
    """
    try:
        table = _table(data_set, also)
        folders = Folders(table.parent if table else data_set, tuple(also))
        manifest = _from_csv(table, folders, progress) if table else _from_folders(folders, progress)
    except OSError as cause:
        raise DataSetError(f"{cause.filename or data_set} cannot be read: {cause.strerror or cause}.") from cause
    if not manifest.entries:
        links = " Links that lead out of it are not followed without --also." if manifest.links else ""
        raise DataSetError(
            f"{data_set} holds no pictures: put one folder per class into it, or a CSV of file,label.{links}"
        )
    if len(manifest.labels) < 2:
        only = "".join(manifest.labels) or "none"
        raise DataSetError(
            f"{data_set} has one class ({only}), and a model needs two or more: "
            "give the folder that holds the folders of the classes."
        )
    return manifest


# --- Folders --------------------------------------------------------------------------------------------------


class _ClassFolder(NamedTuple):
    """A folder and the label and split of its pictures."""

    folder: Path
    label: str
    split: Split


def _from_folders(folders: Folders, progress: Progress) -> Manifest:
    root = folders.root
    if not root.is_dir():
        raise DataSetError(f"{root} is not a folder or a CSV file: give the folder of the data set.")
    tops = _folders(root, folders)
    split = _split_by_folders(root, tops)
    places = _split_places(tops, folders) if split else [_ClassFolder(folder, folder.name, "") for folder in tops]
    found = [(place, path) for place in places for path in _files(place.folder)]
    entries, others = [], []
    for at, (place, path) in enumerate(found, start=1):
        progress(at, len(found))
        file = path.relative_to(root).as_posix()
        if _is_picture(folders, file):
            entries.append(Entry(file, place.label, place.split, _digest(folders, file)))
        else:
            others.append(file)
    filled = {(entry.label, entry.split) for entry in entries}
    return Manifest(
        root,
        "splits" if split else "folders",
        tuple(entries),
        tuple(others),
        unlabelled=tuple(path.relative_to(root).as_posix() for path in _loose([root, *(tops if split else [])])),
        empty=tuple(p.folder.relative_to(root).as_posix() for p in places if (p.label, p.split) not in filled),
        links=tuple(
            path.relative_to(root).as_posix()
            for path in _links([root, *(tops if split else [])], [place.folder for place in places], folders)
        ),
        also=folders.also,
    )


def _split_by_folders(root: Path, tops: list[Path]) -> bool:
    """Whether the top folders are splits. A folder `train` among other names is a class."""
    splits = {SPLITS[folder.name.lower()] for folder in tops if folder.name.lower() in SPLITS}
    rest = [folder.name for folder in tops if folder.name.lower() not in SPLITS]
    if rest and "train" in splits and len(splits) > 1:
        mixed = f"splits ({', '.join(sorted(splits))}) with other folders ({', '.join(rest)})"
        raise DataSetError(f"{root} mixes {mixed}: move the other folders away.")
    return "train" in splits and not rest


def _split_places(tops: list[Path], folders: Folders) -> list[_ClassFolder]:
    return [
        _ClassFolder(folder, folder.name, SPLITS[top.name.lower()]) for top in tops for folder in _folders(top, folders)
    ]


def _folders(folder: Path, folders: Folders) -> list[Path]:
    return [child for child in _subfolders(folder) if folders.holds(child)]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _links(above: list[Path], classes: list[Path], folders: Folders) -> Iterator[Path]:
    """Links to folders that are not followed: out of the data set among the folders of classes, any inside of them."""
    for folder in above:
        yield from (child for child in _subfolders(folder) if not folders.holds(child))
    for folder in classes:
        for base, names, _ in os.walk(folder, onerror=_fail):
            names[:] = sorted(name for name in names if not name.startswith("."))
            yield from (path for name in names if (path := Path(base, name)).is_symlink())


def _files(folder: Path) -> Iterator[Path]:
    """All files below it, in order, with broken links and special files, so that they are reported."""
    for base, folders, names in os.walk(folder, onerror=_fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(base, name)


def _fail(error: OSError) -> None:
    raise error


def pictures_below(folder: Path) -> list[str]:
    """Files in it, and in folders in it, that are pictures by their names: relative to it, in order."""
    return [path.relative_to(folder).as_posix() for path in _files(folder) if path.suffix.lower() in SUFFIXES]


def _loose(folders: list[Path]) -> Iterator[Path]:
    """Pictures directly in these folders; other files there (a README, labels) are no mistake."""
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith(".") and path.suffix.lower() in SUFFIXES:
                yield path


def _is_picture(folders: Folders, file: str) -> bool:
    """By its name or by its first bytes: either may be wrong, and `validate` reports that."""
    if Path(file).suffix.lower() in SUFFIXES:
        return True
    try:
        with folders.open(file) as opened:
            return format_of(opened.read(256)) is not None
    except OSError:
        return False


def _digest(folders: Folders, file: str) -> str:
    """`sha256:` of a file's bytes; empty where the file cannot be read."""
    try:
        with folders.open(file) as opened:
            return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"
    except OSError:
        return ""


# --- CSV ------------------------------------------------------------------------------------------------------


def _table(data_set: Path, also: Sequence[Path]) -> Path | None:
    """The CSV of the data set, if it has one: a CSV whose first line names `file` and `label`."""
    if data_set.is_file():
        return data_set
    folders = Folders(data_set, tuple(also))
    beside = (path for path in sorted(data_set.glob("*.csv")) if path.is_file() and folders.holds(path))
    tables = [path for path in beside if {"file", "label"} <= set(_columns(path))]
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise DataSetError(f"{data_set} holds several CSV files of file,label ({names}): give the one to read.")
    return tables[0] if tables else None


def _columns(path: Path) -> list[str]:
    """Column names of its first line; none where that is not a line of a CSV."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        try:
            return [name.strip().lower() for name in next(csv.reader(file), [])]
        except csv.Error:
            return []


def _from_csv(table: Path, folders: Folders, progress: Progress) -> Manifest:
    root, rows = table.parent, _rows(table)
    entries = []
    for at, (file, label, split, _) in enumerate(rows, start=1):
        progress(at, len(rows))
        entries.append(Entry(file, label, split, _digest(folders, file)))
    listed = {os.path.normpath(entry.file) for entry in entries}
    unlisted = tuple(file for file in pictures_below(root) if os.path.normpath(file) not in listed)
    groups = {row.file: row.group for row in rows if row.group}
    return Manifest(root, "csv", tuple(entries), unlabelled=unlisted, also=folders.also, groups=groups)


class _Row(NamedTuple):
    """One row of a CSV."""

    file: str
    label: str
    split: Split
    group: str


def _rows(table: Path) -> list[_Row]:
    """All rows that are not blank."""
    columns = _columns(table)
    if not {"file", "label"} <= set(columns):
        raise DataSetError(f"{table} needs the columns file and label in its first line, separated by a comma.")
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, columns, restval="")
            next(reader, None)
            cells = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as cause:
        raise DataSetError(f"{table} is not a CSV in UTF-8: save it as UTF-8.") from cause
    return [_row(table, line, row) for line, row in cells if row["file"].strip()]


def _row(table: Path, line: int, row: dict[str, str]) -> _Row:
    if "\0" in row["file"]:
        raise DataSetError(
            f"{table}, line {line}: the file name holds a NUL character: save the table as a CSV in UTF-8."
        )
    split = row.get("split", "").strip().lower()
    if split and split not in SPLITS:
        raise DataSetError(f"{table}, line {line}: the split {split!r} is unknown: write train, val or test.")
    group = row.get("group", "").strip()
    return _Row(row["file"].strip(), row["label"].strip(), SPLITS[split] if split else "", group)
