"""Prepare a data set for training: labels in order, pixels in the cache, and every picture in train, val or test.

All mistakes in the data are reported here, before training starts and before anything but the cache is written.

The rules of the split: a stated split is kept. What is missing is drawn from the pictures that are not held back,
class by class (stratified). The pictures of one group (copies of each other, one haul, one animal) stay together.
Every class has pictures in train. The seed decides all draws.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from random import Random
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.labels import LabelMap
from training.console import NewBar
from training.data import likeness
from training.data.label_map import mismatches, read_label_map
from training.data.manifest import Entry, Manifest, Part, Picture, read
from training.data.pictures import Cache
from training.errors import DataSetError

Bin = TypeVar("Bin", bound=Hashable)
"""A part of the data set, or a fold of a part."""
Group = Sequence[int]
"""Positions of entries that stay together."""
HIGHEST_WEIGHT = 10.0
"""Highest weight of a picture of a small class, as a multiple of an average one's."""


class Prepared(NamedTuple):
    """A data set that is ready for training."""

    manifest: Manifest
    label_map: LabelMap
    """In the order of the outputs."""
    pictures: tuple[Picture, ...]
    cache: Cache
    groups: Sequence[Group] = ()
    """Positions of pictures that stay together: copies of each other, one haul, one animal."""

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the outputs."""
        return self.label_map.labels

    def part(self, part: Part) -> list[Picture]:
        """The pictures of one split."""
        return [picture for picture in self.pictures if picture.split == part]

    def folds(self, part: Part, count: int, seed: int) -> NDArray[np.int64]:
        """A number below `count` for each picture of a split: equal shares of each class, groups together."""
        chosen = [at for at, picture in enumerate(self.pictures) if picture.split == part]
        labels = [picture.label for picture in self.pictures]
        shares = dict.fromkeys(range(count), 1 / count)
        folds = np.zeros(len(labels), np.int64)
        for group, fold in _drawn(_together(chosen, self.groups), labels, shares, Random(seed)):  # noqa: S311
            folds[group] = fold
        return folds[chosen]


def prepare(
    data: Path,
    *,
    also: Sequence[Path] = (),
    labels: Path | None,
    groups: str | None,
    val_share: float,
    test_share: float,
    seed: int,
    cache: Path,
    workers: int | None,
    bar: NewBar,
) -> Prepared:
    """Read a data set, decode what the cache lacks, find copies, split.

    Args:
        data, also, labels, groups, val_share, test_share, seed, cache, workers: see `learn.options.Options`.

    Raises:
        DataSetError: the data cannot be used for training; the message says why and what to do.
    """
    label_map = read_label_map(labels) if labels else None
    manifest = read(data, also=also, progress=bar("Reading files"))
    ordered = _ordered(manifest, label_map)
    _check_entries(manifest)
    together = named_groups(manifest, groups)
    pixels = Cache(cache)
    files = {entry.digest: entry.file for entry in manifest.entries}
    pixels.fill(manifest.folders, files, workers=workers, progress=bar("Decoding pictures"))
    paths = [pixels.path(entry.digest) for entry in manifest.entries]
    together += likeness.copies(paths, workers=workers, progress=bar("Looking for copies"))
    parts = split(manifest.entries, together, val_share=val_share, test_share=test_share, seed=seed)
    pictures = tuple(
        Picture(entry.file, entry.label, part, entry.digest)
        for entry, part in zip(manifest.entries, parts, strict=True)
    )
    return Prepared(manifest, ordered, pictures, pixels, together)


def class_weights(truth: Sequence[int], classes: int) -> NDArray[np.float32]:
    """A weight per class, shape (classes,): classes count equally, up to `HIGHEST_WEIGHT`; the pictures' mean is 1."""
    counts = Counter(truth)
    fair = np.array([len(truth) / (classes * counts[k]) if counts[k] else 0.0 for k in range(classes)])
    capped = np.minimum(fair, HIGHEST_WEIGHT)
    mean = sum(capped[k] * n for k, n in counts.items()) / len(truth)
    weights: NDArray[np.float32] = (capped / mean).astype(np.float32)
    return weights


def _ordered(manifest: Manifest, label_map: LabelMap | None) -> LabelMap:
    if label_map is None:
        return LabelMap(labels=manifest.labels)
    finding = next(mismatches(manifest.labels, label_map.labels), None)
    if finding:
        raise DataSetError(f"The label map does not fit the data: {finding.sentence}")
    return label_map


def _check_entries(manifest: Manifest) -> None:
    for entry in manifest.entries:
        if not entry.digest:
            raise DataSetError(f"{entry.file} cannot be used: remove or replace it; `validate` says why.")
        if not entry.label:
            raise DataSetError(f"{entry.file} has no label: add one, or delete its row.")


# --- Groups -----------------------------------------------------------------------------------------------------


def named_groups(manifest: Manifest, groups: str | None) -> list[Group]:
    """Groups by name, as positions.

    Args:
        groups: None: the column `group` of a CSV, if it has one; "folder": a picture's folder, where that is below
            its class; else a regular expression that is searched in the file's name: the text of its parentheses
            (the whole match without any) names the group.

    Raises:
        DataSetError: the expression is invalid, or matches no picture.
    """
    name = _naming(manifest, groups)
    found: dict[str, list[int]] = defaultdict(list)
    for at, entry in enumerate(manifest.entries):
        if group := name(entry):
            found[group].append(at)
    if groups and not found:
        example = manifest.entries[0].file
        raise DataSetError(f"--groups {groups} fits no picture: it is searched in names such as {example}.")
    return list(found.values())


def _naming(manifest: Manifest, groups: str | None) -> Callable[[Entry], str]:
    if groups is None:
        return lambda entry: manifest.groups.get(entry.file, "")
    if groups == "folder":
        return _folder
    try:
        pattern = re.compile(groups)
    except re.error as cause:
        raise DataSetError(f"--groups {groups} is not a regular expression ({cause}).") from cause

    def matched(entry: Entry) -> str:
        match = pattern.search(entry.file)
        return "/".join(match.groups("") or [match[0]]) if match else ""

    return matched


def _folder(entry: Entry) -> str:
    """The folder below that of the class; empty where the picture lies directly in the class."""
    folder = PurePosixPath(entry.file).parent
    return "" if folder.name == entry.label else str(folder)


# --- Splits -----------------------------------------------------------------------------------------------------


def split(
    entries: Sequence[Entry], groups: Iterable[Group], *, val_share: float, test_share: float, seed: int
) -> list[Part]:
    """A part for each entry, in their order.

    Args:
        groups: of positions; entries in no group are alone.
        val_share: of the pictures of each class, where the data set states no val.
        test_share: likewise; 0 for no test.

    Raises:
        DataSetError: a class would have no picture in train.
    """
    stated = {entry.split for entry in entries}
    val, test = (0.0 if "val" in stated else val_share), (0.0 if "test" in stated else test_share)
    shares: dict[Part, float] = {"train": 1 - (val + test), "val": val, "test": test}
    parts: list[Part] = [entry.split or "train" for entry in entries]
    free = [at for at, entry in enumerate(entries) if entry.split in ("", "train")]
    labels = [entry.label for entry in entries]
    for group, part in _drawn(_together(free, groups), labels, shares, Random(seed)):  # noqa: S311 - no secret
        for at in group:
            parts[at] = part
    _check_split(labels, parts)
    return parts


def _together(free: Sequence[int], groups: Iterable[Group]) -> list[list[int]]:
    """Every free position once, with all positions that any groups connect it to."""
    among = set(free)
    chosen = ([at for at in group if at in among] for group in groups)
    pairs = [(group[0], other) for group in chosen for other in group[1:]]
    return likeness.groups([*((at, at) for at in free), *pairs])


def _drawn(
    groups: list[list[int]], labels: Sequence[str], shares: Mapping[Bin, float], chance: Random
) -> Iterable[tuple[list[int], Bin]]:
    """Large groups first, equal ones in random order; each goes to the part where its classes lack most."""
    totals = Counter(labels[at] for group in groups for at in group)
    lacking = {label: {part: count * share for part, share in shares.items()} for label, count in totals.items()}
    parts = [part for part, share in shares.items() if share]
    chance.shuffle(groups)
    for group in sorted(groups, key=len, reverse=True):
        counts = Counter(labels[at] for at in group)
        best = max(parts, key=lambda part: sum(n * lacking[k][part] / totals[k] for k, n in counts.items()))
        for label, count in counts.items():
            lacking[label][best] -= count
        yield group, best


def _check_split(labels: Sequence[str], parts: Sequence[Part]) -> None:
    trained = {label for label, part in zip(labels, parts, strict=True) if part == "train"}
    if missing := sorted(set(labels) - trained):
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise DataSetError(
            f"No picture of {', '.join(missing[:3])}{more} is left to train with: add some, or remove the class."
        )
    if "val" not in parts:
        raise DataSetError("No picture is left for validation: add pictures, or raise --val-share.")
