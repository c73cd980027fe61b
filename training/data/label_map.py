"""Labels compared with the label map that clients know, and with each other."""

import unicodedata
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from gateway.label_file import LabelFileError, read_label_file
from gateway.labels import LabelMap
from training.data.findings import Finding
from training.errors import DataSetError

CLOSE = 0.8
"""difflib's ratio from which a label counts as a misspelling of another."""


def read_label_map(file: Path) -> LabelMap:
    """A label map, as text or CSV, in the order of the model's outputs.

    Raises:
        DataSetError: it cannot be used; see `gateway.label_file`.
    """
    try:
        return read_label_file(file)
    except LabelFileError as cause:
        raise DataSetError(f"The label map cannot be used: {cause}.") from cause


def mismatches(labels: Sequence[str], label_map: Sequence[str]) -> Iterator[Finding]:
    """Differences between the data set and the label map. A misspelt label is not reported as missing, too."""
    missing = [name for name in label_map if name not in labels]
    for label in labels:
        if label in label_map:
            continue
        meant = closest(label, missing) or closest(label, label_map)
        if meant:
            if meant in missing:
                missing.remove(meant)
            yield Finding("misspelt-label", (), f"{label} is not in the label map: did you mean {meant}? Rename it.")
        else:
            yield Finding("unknown-label", (), f"{label} is not in the label map: add it there or remove the class.")
    for name in missing:
        yield Finding(
            "missing-label", (), f"{name} is in the label map without a picture: add some or remove the label."
        )


def lookalikes(labels: Sequence[str]) -> Iterator[Finding]:
    """Labels that differ only in case, spaces and punctuation."""
    plainly: dict[str, list[str]] = {}
    for label in labels:
        plainly.setdefault(plain(label), []).append(label)
    for names in plainly.values():
        if len(names) > 1:
            sentence = f"{' and '.join(names)} may be one class: give them one name, or names that differ more."
            yield Finding("alike-labels", (), sentence)


def closest(label: str, names: Sequence[str]) -> str | None:
    """The label that was probably meant: the same without punctuation, or else spelt almost the same."""
    by_plain = {plain(name): name for name in reversed(names)}
    close = get_close_matches(plain(label), list(by_plain), n=1, cutoff=CLOSE)
    return by_plain[close[0]] if close else None


def plain(label: str) -> str:
    """Letters and digits in lower case; the whole label where it has none."""
    letters = [letter for letter in unicodedata.normalize("NFKC", label).casefold() if letter.isalnum()]
    return "".join(letters) or label
