"""From a manifest and the content of each picture to findings. Pure: no file is opened here."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from gateway.imaging.formats import spelling
from training.data.findings import KINDS, Finding
from training.data.label_map import lookalikes, mismatches
from training.data.likeness import BLANK_LEVELS, alike, groups
from training.data.looks import Decoded, Look, Undecodable
from training.data.manifest import SUFFIXES, Entry, Manifest

MIN_PER_CLASS = 10
"""Default number of pictures below which a class counts as small."""
SPLITTABLE = 3
"""One picture each for training, validation and test."""
IMBALANCE = 10
"""Largest allowed ratio between the pictures of the largest and the smallest class."""
TINY_PX = 112
"""Shorter side below which a picture would be enlarged more than twofold."""
LONGEST_NAME = 200
"""Characters of a file's name in a report, where the file cannot be used."""
STRETCHED = 3.0
"""Largest allowed ratio of the longer to the shorter side."""

Looks = Mapping[str, Look]
"""By file."""


def check(
    manifest: Manifest, looks: Looks, *, labels: Sequence[str] | None = None, min_per_class: int = MIN_PER_CLASS
) -> list[Finding]:
    """All findings in a data set, the most severe first.

    Args:
        manifest: the data set.
        looks: the content of each file; files without one, as in a notebook, are not checked.
        labels: the label map that the data set must match.
        min_per_class: smaller classes are reported.
    """
    found = [
        *undecodable(looks),
        *left_out(manifest),
        *repeated(manifest, looks),
        *amounts(manifest, looks, min_per_class),
        *splits(manifest),
        *shapes(looks),
        *lookalikes(manifest.labels),
        *(mismatches(manifest.labels, labels) if labels is not None else ()),
    ]
    order = list(KINDS)
    return sorted(found, key=lambda finding: (order.index(finding.kind), finding.files, finding.sentence))


# --- Files ----------------------------------------------------------------------------------------------------

REMEDY = {
    "missing-file": "put it there or delete its row",
    "too-large": "scale it down",
    "outside-file": "copy it there, or allow its folder with --also",
    "special-file": "remove it",
    "empty-file": "fetch it again from its source, or delete it",
}


def undecodable(looks: Looks) -> Iterator[Finding]:
    """Files that cannot be decoded."""
    for file, look in looks.items():
        if isinstance(look, Undecodable):
            remedy = REMEDY.get(look.kind, "fetch it again from its source, or remove it")
            yield Finding(look.kind, (_cut(file),), f"{look.reason}: {remedy}.")


def _cut(file: str) -> str:
    """A name as the CSV states it, which may be as long as the CSV."""
    return file if len(file) <= LONGEST_NAME else f"{file[:LONGEST_NAME]}…"


def left_out(manifest: Manifest) -> Iterator[Finding]:
    """Files and folders that do not contribute to the data set."""
    for file in manifest.others:
        yield Finding("not-a-picture", (file,), "This is not a picture: move it elsewhere.")
    where = "list it in the CSV" if manifest.layout == "csv" else "move it into the folder of its class"
    for file in manifest.unlabelled:
        yield Finding("unlabelled", (file,), f"This picture has no class: {where}, or remove it.")
    for link in manifest.links:
        remedy = "copy the folder, or, if it is a whole class, allow the folder that it leads to with --also"
        yield Finding("unfollowed-link", (link,), f"This link to a folder was not followed: {remedy}.")
    for folder in manifest.empty:
        yield Finding("empty-class", (folder,), f"{folder} holds no picture: fill the folder or delete it.")
    for entry in manifest.entries:
        if not entry.label:
            yield Finding("no-label", (entry.file,), "Its row has no label: add one or delete the row.")


def shapes(looks: Looks) -> Iterator[Finding]:
    """Unusual pictures among those that can be decoded."""
    for file, look in looks.items():
        if isinstance(look, Decoded):
            yield from _wrong_extension(file, look)
            yield from _odd_size(file, look)
            if look.contrast < BLANK_LEVELS:
                yield Finding("blank", (file,), "It shows nothing: look at it and remove it.")


def _wrong_extension(file: str, look: Decoded) -> Iterator[Finding]:
    suffix = PurePosixPath(file).suffix
    if SUFFIXES.get(suffix.lower()) != look.format:
        right = next(usual for usual, kind in SUFFIXES.items() if kind == look.format)
        called = f"has the extension {suffix}" if suffix else "has no extension"
        yield Finding(
            "wrong-extension", (file,), f"It holds {spelling(look.format)} and {called}: rename it to {right}."
        )


def _odd_size(file: str, look: Decoded) -> Iterator[Finding]:
    shorter, longer = sorted((look.width, look.height))
    size = f"{look.width} x {look.height} pixels"
    if shorter < TINY_PX:
        yield Finding("tiny", (file,), f"It has {size}: find a larger one ({TINY_PX} or more per side) or remove it.")
    if longer > STRETCHED * shorter:
        yield Finding("stretched", (file,), f"It has {size}: crop it to {STRETCHED:g}:1 or less.")


# --- Duplicates -----------------------------------------------------------------------------------------------


def repeated(manifest: Manifest, looks: Looks) -> Iterator[Finding]:
    """Pictures that occur more than once, above all under two labels or in two splits."""
    rows: dict[str, list[Entry]] = {}
    for entry in manifest.entries:
        if isinstance(looks.get(entry.file), Decoded):
            rows.setdefault(entry.file, []).append(entry)
    same: dict[str, list[str]] = {}
    for file, (first, *_) in rows.items():
        same.setdefault(first.digest, []).append(file)
    for file, listed in rows.items():
        if len(listed) > 1:
            yield from _repetition(LISTED, [file], listed)
    for files in same.values():
        if len(files) > 1:
            yield from _repetition(COPIED, files, [entry for file in files for entry in rows[file]])
    for how, digests in _near(same, looks):
        files = [file for digest in digests for file in same[digest]]
        yield from _repetition(how, files, [entry for file in files for entry in rows[file]])


class _Duplication(NamedTuple):
    """How pictures repeat each other, and the findings that follow from it."""

    says: str
    alone: str
    advice: str
    across_labels: str = "conflicting-labels"
    across_splits: str = "leakage"
    keep_label: str = "keep one label and delete the others"
    keep_split: str = "keep it in one split and remove it from the others"


LISTED = _Duplication("is listed more than once", "listed-twice", "keep one row")
COPIED = _Duplication("are one file", "duplicate", "keep one")
RESAVED = _Duplication("are the same picture, saved again", "near-duplicate", "keep the better one")
ALIKE = _Duplication(
    "look nearly the same",
    "near-duplicate",
    "check whether all are worth keeping",
    "possible-conflict",
    "possible-leakage",
    "check whether the labels are right",
    "check whether they show one subject, and if so keep it in one split",
)


def _near(same: Mapping[str, list[str]], looks: Looks) -> Iterator[tuple[_Duplication, list[str]]]:
    """Groups of digests whose pictures show the same, without blank ones, which all look alike."""
    firsts = {digest: looks[files[0]] for digest, files in same.items()}
    seen = {
        digest: look for digest, look in firsts.items() if isinstance(look, Decoded) and look.contrast >= BLANK_LEVELS
    }
    digests = list(seen)
    pairs = alike([look.hash for look in seen.values()], [look.copy for look in seen.values()])
    sure = groups((pair.one, pair.other) for pair in pairs if pair.sure)
    perhaps = [group for group in groups((pair.one, pair.other) for pair in pairs) if group not in sure]
    for way, found in ((RESAVED, sure), (ALIKE, perhaps)):
        for group in found:
            yield way, [digests[at] for at in group]


def _repetition(way: _Duplication, files: Sequence[str], entries: Sequence[Entry]) -> Iterator[Finding]:
    """One finding, or two for a picture with two labels and two splits."""
    what = f"{in_words(files)} {way.says}"
    labels = sorted({entry.label for entry in entries if entry.label})
    splits = sorted({entry.split for entry in entries if entry.split})
    if len(labels) > 1:
        sentence = f"{what}, labelled {in_words(labels)}: {way.keep_label}."
        yield Finding(way.across_labels, tuple(files), sentence)
    if len(splits) > 1:
        sentence = f"{what}, in {in_words(splits)}: {way.keep_split}."
        yield Finding(way.across_splits, tuple(files), sentence)
    if len(labels) <= 1 and len(splits) <= 1:
        yield Finding(way.alone, tuple(files), f"{what}: {way.advice}.")


# --- Amounts --------------------------------------------------------------------------------------------------


def pictures_by_class(manifest: Manifest, looks: Looks) -> dict[str, int]:
    """Number of different decodable files by label, sorted by label."""
    unlike = {(e.label, e.digest) for e in manifest.entries if isinstance(looks.get(e.file), Decoded)}
    counts = Counter(label for label, _ in unlike)
    return {label: counts[label] for label in manifest.labels}


def amounts(manifest: Manifest, looks: Looks, min_per_class: int = MIN_PER_CLASS) -> Iterator[Finding]:
    """Classes with too few pictures, absolutely or relative to others. A repeated file counts once."""
    counts = pictures_by_class(manifest, looks)
    for label, count in counts.items():
        has = f"{label} has {count} usable {'picture' if count == 1 else 'pictures'}"
        if count < SPLITTABLE:
            sentence = f"{has}: add some until it has at least {SPLITTABLE}, or remove the class."
            yield Finding("too-few-pictures", (), sentence)
        elif count < min_per_class:
            sentence = f"{has}, fewer than {min_per_class}: add some, or merge it with a similar class."
            yield Finding("few-pictures", (), sentence)
    yield from _imbalance({label: count for label, count in counts.items() if count})


def _imbalance(counts: Mapping[str, int]) -> Iterator[Finding]:
    if not counts:
        return
    largest, smallest = max(counts, key=lambda label: counts[label]), min(counts, key=lambda label: counts[label])
    times = counts[largest] / counts[smallest]
    if times > IMBALANCE:
        sentence = (
            f"{largest} has {counts[largest]} pictures, {smallest} has {counts[smallest]}, {times:.0f} times fewer: "
            "add pictures to the small classes, and judge the model by macro averages."
        )
        yield Finding("imbalance", (), sentence)


def splits(manifest: Manifest) -> Iterator[Finding]:
    """Classes that are missing in a part of a stated split."""
    labels = {split: {e.label for e in manifest.entries if e.split == split and e.label} for split in manifest.splits}
    trained = labels.get("train", set())
    if not trained:
        return
    for label in sorted(set().union(*(labels[split] for split in labels if split not in ("train", ""))) - trained):
        yield Finding("not-in-train", (), f"{label} is tested but not in train: add pictures there, or remove it.")
    for label in sorted(trained - labels["test"]) if "test" in labels else ():
        yield Finding("not-in-test", (), f"{label} is in train but not in test: put some of its pictures there.")


def in_words(names: Iterable[str], most: int = 4) -> str:
    """`a, b and c`; `a, b, c, d and 3 more`."""
    every = list(names)
    shown = every if len(every) <= most else [*every[:most], f"{len(every) - most} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
