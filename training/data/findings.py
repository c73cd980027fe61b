"""What may be found in a data set, how grave it is, and what to do: told once, for shell, JSON and page."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]


class Kind(NamedTuple):
    """One sort of finding."""

    severity: Severity
    title: str
    why: str
    """What it does to a model."""


class Finding(NamedTuple):
    """One thing that is wrong."""

    kind: str
    """A key of `KINDS`."""
    files: tuple[str, ...]
    """Those it concerns; a folder for an empty class, none where it concerns names alone."""
    sentence: str
    """What is wrong and what to do."""

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
        "The model is tested on what it has learnt, so that its figures promise too much.",
    ),
    "unreadable": Kind("error", "Files that cannot be read", "Training would stop here, or leave them out."),
    "truncated": Kind("error", "Files that end too early", "The rest of the picture is missing."),
    "empty-file": Kind("error", "Files without a byte", "There is no picture in them."),
    "too-large": Kind("error", "Pictures too large to decode", "The gateway would refuse them as uploads, too."),
    "missing-file": Kind("error", "Listed files that are missing", "The CSV promises pictures that are not there."),
    "no-label": Kind("error", "Rows without a label", "Nobody can learn from a picture without a name."),
    "unknown-label": Kind(
        "error", "Labels that the label map does not have", "The model would have no output for them."
    ),
    "misspelt-label": Kind(
        "error", "Labels spelt otherwise than in the label map", "They would be classes of their own."
    ),
    "missing-label": Kind(
        "error", "Labels of the label map without a picture", "The model would have an output that nothing has taught."
    ),
    "empty-class": Kind("error", "Class folders without a picture", "The class would be missing from the model."),
    "not-in-train": Kind("error", "Classes that are tested but never learnt", "Their pictures can only be got wrong."),
    "too-few-pictures": Kind(
        "error", "Classes too small to split", "Learning, validation and test need a picture each at the very least."
    ),
    "possible-conflict": Kind(
        "warning", "Pictures under two labels that look nearly the same", "One of the labels may be wrong."
    ),
    "possible-leakage": Kind(
        "warning",
        "Pictures in two splits that look nearly the same",
        "If they show one subject, the model is tested on what it has learnt.",
    ),
    "few-pictures": Kind(
        "warning", "Classes with few pictures", "They are learnt by heart, and their figures are mostly chance."
    ),
    "imbalance": Kind(
        "warning", "Unevenly filled classes", "Large classes are guessed too often, small ones too seldom."
    ),
    "not-in-test": Kind("warning", "Classes that are never tested", "Nobody will know how well they are told."),
    "alike-labels": Kind("warning", "Labels that differ in case or punctuation only", "They may be one class."),
    "duplicate": Kind("warning", "The same file more than once", "It counts as many times as it is there."),
    "near-duplicate": Kind(
        "warning", "Pictures that are nearly the same", "They count twice, and a random split may tear them apart."
    ),
    "listed-twice": Kind("warning", "Files listed more than once", "They count as many times as they are listed."),
    "blank": Kind("warning", "Blank pictures", "They teach that nothing at all looks like this class."),
    "tiny": Kind("warning", "Tiny pictures", "Enlarged to the model's input, they are blur."),
    "stretched": Kind("warning", "Very wide or very high pictures", "Fitted to a square, they are out of proportion."),
    "wrong-extension": Kind(
        "warning", "Names that say another format", "Our own code goes by the bytes; other tools may stumble."
    ),
    "not-a-picture": Kind("warning", "Files that are no pictures", "Training leaves them out."),
    "unlabelled": Kind("warning", "Pictures without a class", "Training leaves them out."),
}
"""By their names in the JSON report; the gravest first."""
