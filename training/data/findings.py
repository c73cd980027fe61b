"""The kinds of findings in a data set, with their severity; declared once for terminal, JSON and page."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]


class Kind(NamedTuple):
    """One kind of finding."""

    severity: Severity
    title: str
    why: str
    """Its effect on a model."""


class Finding(NamedTuple):
    """One problem of a data set."""

    kind: str
    """A key of `KINDS`."""
    files: tuple[str, ...]
    """The files concerned; a folder for an empty class, none where it concerns labels alone."""
    sentence: str
    """The problem and what to do."""

    @property
    def severity(self) -> Severity:
        return KINDS[self.kind].severity


KINDS: Mapping[str, Kind] = {
    "conflicting-labels": Kind(
        "error", "The same picture under two labels", "One of the labels is wrong, and the model learns both."
    ),
    "leakage": Kind(
        "error",
        "The same picture in two splits",
        "The model is tested on pictures that it was trained on, so its figures are too good.",
    ),
    "unreadable": Kind("error", "Files that cannot be read", "Training stops at them."),
    "truncated": Kind("error", "Files that end too early", "The rest of the picture is missing."),
    "empty-file": Kind("error", "Empty files", "There is no picture in them."),
    "too-large": Kind("error", "Pictures too large to decode", "The gateway would refuse them as uploads, too."),
    "outside-file": Kind(
        "error",
        "Files outside the data set's folder",
        "They were not opened, since a CSV or a link may name any file of the machine. Training stops at them.",
    ),
    "special-file": Kind(
        "error",
        "Devices, pipes and other special files",
        "They were not opened, since reading one may never end. Training stops at them.",
    ),
    "missing-file": Kind("error", "Listed files that are missing", "The CSV lists pictures that do not exist."),
    "no-label": Kind("error", "Rows without a label", "A picture without a label cannot be used for training."),
    "unknown-label": Kind(
        "error", "Labels that the label map does not have", "The model would have no output for them."
    ),
    "misspelt-label": Kind(
        "error", "Labels spelt differently than in the label map", "They would be classes of their own."
    ),
    "missing-label": Kind(
        "error",
        "Labels of the label map without a picture",
        "The model would have an output without training pictures.",
    ),
    "empty-class": Kind("error", "Class folders without a picture", "The class would be missing from the model."),
    "not-in-train": Kind(
        "error", "Classes that are tested but not in train", "Their pictures can only be classified wrongly."
    ),
    "too-few-pictures": Kind(
        "error", "Classes too small to split", "Training, validation and test need at least one picture each."
    ),
    "possible-conflict": Kind(
        "warning", "Pictures under two labels that look nearly the same", "One of the labels may be wrong."
    ),
    "possible-leakage": Kind(
        "warning",
        "Pictures in two splits that look nearly the same",
        "If they show one subject, the model is tested on a subject that it was trained on.",
    ),
    "few-pictures": Kind(
        "warning", "Classes with few pictures", "The model memorises them, and their figures are mostly chance."
    ),
    "imbalance": Kind(
        "warning", "Unevenly filled classes", "The model answers large classes too often and small ones too rarely."
    ),
    "not-in-test": Kind("warning", "Classes that are never tested", "Their accuracy stays unknown."),
    "alike-labels": Kind("warning", "Labels that differ in case or punctuation only", "They may be one class."),
    "duplicate": Kind("warning", "The same file more than once", "It counts several times."),
    "near-duplicate": Kind(
        "warning",
        "Pictures that are nearly the same",
        "They count twice, and a random split may put them on both sides.",
    ),
    "listed-twice": Kind("warning", "Files listed more than once", "They count several times."),
    "blank": Kind("warning", "Blank pictures", "The model learns that a blank picture shows this class."),
    "tiny": Kind("warning", "Tiny pictures", "Enlarged to the model's input, they are blurred."),
    "stretched": Kind("warning", "Very wide or very high pictures", "Resized to a square, they are distorted."),
    "wrong-extension": Kind(
        "warning", "File extensions of another format", "Specimen goes by the bytes; other tools may fail."
    ),
    "not-a-picture": Kind("warning", "Files that are not pictures", "Training leaves them out."),
    "unfollowed-link": Kind("warning", "Links to folders", "They were not followed. Training leaves their files out."),
    "unlabelled": Kind("warning", "Pictures without a class", "Training leaves them out."),
}
"""By their names in the JSON report; the most severe first."""
