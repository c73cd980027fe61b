"""Who teaches, who chooses and who tests: pictures into train, val and test.

The rules: what the data set states stays as it is; what it leaves open is drawn from the pictures that it does not
hold back, class by class (stratified); pictures of one group (a copy of each other, one haul, one animal) are never
divided; every class can be learnt, so it has pictures in train. Pure: the seed decides, nothing is read here.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from random import Random

from training.data.manifest import Entry, Manifest
from training.errors import DataSetError
from training.learn.run import Part

PARTS: tuple[Part, ...] = ("train", "val", "test")
Group = Sequence[int]
"""Positions of entries that stay together."""


def split(
    entries: Sequence[Entry], groups: Iterable[Group], *, val_share: float, test_share: float, seed: int
) -> list[Part]:
    """A part for each entry, in their order.

    Args:
        groups: of positions; what is in none of them is alone.
        val_share: of the pictures of each class, where the data set has no val of its own.
        test_share: likewise; 0 for no test.

    Raises:
        DataSetError: a class would have no picture in train.
    """
    stated = {entry.split for entry in entries}
    shares = {"val": 0.0 if "val" in stated else val_share, "test": 0.0 if "test" in stated else test_share}
    parts: list[Part] = [entry.split or "train" for entry in entries]
    free = [at for at, entry in enumerate(entries) if entry.split in ("", "train")]
    together = _together(free, groups)
    labels = [entry.label for entry in entries]
    for group, part in _drawn(together, labels, shares, Random(seed)):  # noqa: S311 - a fair draw, no secret
        for at in group:
            parts[at] = part
    _check(labels, parts)
    return parts


def named_groups(manifest: Manifest, groups: str | None) -> list[Group]:
    """Positions by what says that they belong together.

    Args:
        groups: None: the column `group` of a CSV, if it has one; "folder": the folder of a picture, where that lies
            below its class; else a regular expression, searched in the file's name: what its parentheses hold (the
            whole match without any) names the group.

    Raises:
        DataSetError: the pattern is none, or fits no picture.
    """
    name = _naming(manifest, groups)
    found: dict[str, list[int]] = defaultdict(list)
    for at, entry in enumerate(manifest.entries):
        if group := name(entry):
            found[group].append(at)
    if groups and not found:
        raise DataSetError(f"--groups {groups} fits no picture: it is searched in names such as {_example(manifest)}.")
    return list(found.values())


def _naming(manifest: Manifest, groups: str | None) -> Callable[[Entry], str]:
    if groups is None:
        return lambda entry: manifest.groups.get(entry.file, "")
    if groups == "folder":
        return _folder
    try:
        pattern = re.compile(groups)
    except re.error as cause:
        raise DataSetError(f"--groups {groups} is no regular expression ({cause}).") from cause

    def matched(entry: Entry) -> str:
        match = pattern.search(entry.file)
        return "/".join(match.groups("") or [match[0]]) if match else ""

    return matched


def _folder(entry: Entry) -> str:
    """The folder below that of the class; none where the picture lies right in the class."""
    folder = PurePosixPath(entry.file).parent
    return "" if folder.name == entry.label else str(folder)


def _example(manifest: Manifest) -> str:
    return manifest.entries[0].file


def _together(free: Sequence[int], groups: Iterable[Group]) -> list[list[int]]:
    """Every free position once, with all that hangs together with it by way of any groups."""
    leader = {at: at for at in free}

    def find(at: int) -> int:
        while leader[at] != at:
            leader[at] = at = leader[leader[at]]
        return at

    for group in groups:
        first, *others = [at for at in group if at in leader] or [-1]
        for other in others:
            low, high = sorted((find(first), find(other)))
            leader[high] = low
    members: dict[int, list[int]] = defaultdict(list)
    for at in free:
        members[find(at)].append(at)
    return list(members.values())


def _drawn(
    groups: list[list[int]], labels: Sequence[str], shares: Mapping[str, float], chance: Random
) -> Iterable[tuple[list[int], Part]]:
    """Big groups first, equals in an order of chance; each goes where its classes lack most."""
    totals = Counter(labels[at] for group in groups for at in group)
    lacking = {
        label: {"train": count * (1 - sum(shares.values())), **{part: count * share for part, share in shares.items()}}
        for label, count in totals.items()
    }
    chance.shuffle(groups)
    for group in sorted(groups, key=len, reverse=True):
        counts = Counter(labels[at] for at in group)
        parts = [part for part in PARTS if part == "train" or shares[part]]
        best = max(parts, key=lambda part: sum(n * lacking[k][part] / totals[k] for k, n in counts.items()))
        for label, count in counts.items():
            lacking[label][best] -= count
        yield group, best


def _check(labels: Sequence[str], parts: Sequence[Part]) -> None:
    taught = {label for label, part in zip(labels, parts, strict=True) if part == "train"}
    if untaught := sorted(set(labels) - taught):
        more = f" and {len(untaught) - 3} more" if len(untaught) > 3 else ""
        raise DataSetError(
            f"No picture of {', '.join(untaught[:3])}{more} is left to train with: add some, or take the class out."
        )
    if "val" not in parts:
        raise DataSetError("No picture is left to choose the best epoch by: add pictures, or raise --val-share.")
