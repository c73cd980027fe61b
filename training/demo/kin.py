"""The names of the demo by family resemblance: probabilities of ImageNet's classes, carried over to the label map.

The rule: a class of ImageNet gives its probability in equal parts to all names that are its kin. `kin.csv` says which
taxa these are, and why; `taxa.csv` places every name of the label map in its taxon. Classes without kin give nothing,
so the sum of the names' probabilities is the share on marine animals (docs/decisions/0047-demo-by-kinship.md).

Source of the places: WoRMS Editorial Board, World Register of Marine Species, https://www.marinespecies.org. Source of
the names: Atkinson and Sink (2018), Field Guide to the Offshore Marine Invertebrates of South Africa.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import DataSetError

TAXA = Path(__file__).with_name("taxa.csv")
KIN = Path(__file__).with_name("kin.csv")

Shares = NDArray[np.float32]
"""float32, shape (ImageNet's classes, labels): which part of a class's probability each label gets, 0..1."""


@dataclass(frozen=True, slots=True)
class Taxon:
    """One name of the label map: phylum, class, order and family, as far as the name determines them."""

    label: str
    display_name: str
    group: tuple[str, ...]

    def within(self, name: str) -> bool:
        """True: `name` is this label, or a taxon that contains it."""
        return name == self.label or name in self.group


@dataclass(frozen=True, slots=True)
class Kinship:
    """One class of ImageNet: its place among the outputs, part of its name there, and taxa or labels that are kin."""

    index: int
    name: str
    kin: tuple[str, ...]


def read_taxa(file: Path = TAXA) -> tuple[Taxon, ...]:
    """The names in the order of the label map.

    Raises:
        DataSetError: the file cannot be read, lacks a column, or has an empty cell.
    """
    rows = _rows(file, ("label", "display_name", "group"))
    return tuple(Taxon(row["label"], row["display_name"], tuple(row["group"].split("/"))) for _, row in rows)


def read_kin(file: Path = KIN) -> tuple[Kinship, ...]:
    """The classes of ImageNet that have kin among the names.

    Raises:
        DataSetError: the file cannot be read, lacks a column, or has an empty cell or an index that is no number.
    """
    return tuple(_kinship(row, where) for where, row in _rows(file, ("index", "name", "kin", "why")))


def matrix(classes: Sequence[str], taxa: Sequence[Taxon], kin: Sequence[Kinship]) -> Shares:
    """The matrix that carries probabilities over: `probabilities_of_classes @ matrix`.

    Args:
        classes: ImageNet's class names, in the order of the network's outputs. A name of `kin` must be part of the
            one at its index ("king crab" of "red king crab"), because lists of these names differ in their wording.

    Returns:
        float32, shape (classes, labels). A row sums to 1 if its class has kin, and is 0 otherwise.

    Raises:
        DataSetError: a class is missing, at another place or listed twice, or its kin are no taxon or label of `taxa`.
    """
    shares = np.zeros((len(classes), len(taxa)), np.float32)
    for one in kin:
        if not 0 <= one.index < len(classes) or one.name.casefold() not in classes[one.index].casefold():
            raise DataSetError(f"Class {one.index} of the {len(classes)} names is not {one.name!r}: correct its index.")
        if shares[one.index].any():
            raise DataSetError(f"Class {one.index} ({one.name}) is listed twice: write all its kin on one line.")
        related = _related(one, taxa)
        shares[one.index, related] = 1 / len(related)
    return shares


def _related(one: Kinship, taxa: Sequence[Taxon]) -> list[int]:
    """Indices of the labels that are kin, each once."""
    for name in one.kin:
        if not any(taxon.within(name) for taxon in taxa):
            raise DataSetError(f"The kin of {one.name!r} name {name!r}, which is no taxon or label of the table.")
    return [index for index, taxon in enumerate(taxa) if any(taxon.within(name) for name in one.kin)]


def _kinship(row: dict[str, str], where: str) -> Kinship:
    if not row["index"].isdecimal():
        raise DataSetError(f"{where}: the index {row['index']!r} is not a whole number.")
    return Kinship(int(row["index"]), row["name"], tuple(name.strip() for name in row["kin"].split(";")))


def _rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Lines of a CSV file in UTF-8, each with its place for error messages."""
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as cause:
        raise DataSetError(f"{file} cannot be read as UTF-8 ({cause}).") from cause
    reader = csv.DictReader(text.splitlines())
    if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
        raise DataSetError(f"{file} lacks the column {missing[0]!r}: its first line must name {', '.join(columns)}.")
    for row in reader:
        where = f"Line {reader.line_num} of {file}"
        if None in row:
            raise DataSetError(f"{where} has more cells than the first line: put a cell with a comma in quotes.")
        if empty := [column for column in columns if not (row[column] or "").strip()]:
            raise DataSetError(f"{where} has nothing in the column {empty[0]!r}.")
        yield where, row
