"""The names of the demo by family resemblance: probabilities of ImageNet's classes, carried over to the label map.

The rule: a class of ImageNet gives its probability in equal parts to all names that are its kin. `kin.csv` says which
taxa these are, and why; the label map `taxa.csv` places every name in its taxon. Classes without kin give nothing, so
the sum of the names' probabilities is the share on marine invertebrates (docs/decisions/0047-demo-by-kinship.md).

Source of the places: WoRMS Editorial Board, World Register of Marine Species, https://www.marinespecies.org. Source of
the names: Atkinson and Sink (2018), Field Guide to the Offshore Marine Invertebrates of South Africa.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.labels import LabelMap
from training.errors import DataSetError

TAXA = Path(__file__).with_name("taxa.csv")
KIN = Path(__file__).with_name("kin.csv")

Shares = NDArray[np.float32]
"""float32, shape (ImageNet's classes, labels): which part of a class's probability each label gets, 0..1."""


@dataclass(frozen=True, slots=True)
class Kinship:
    """One class of ImageNet: its place among the outputs, part of its name there, and taxa or labels that are kin."""

    index: int
    name: str
    kin: tuple[str, ...]


def read_kin(file: Path = KIN) -> tuple[Kinship, ...]:
    """The classes of ImageNet that have kin among the names."""
    with file.open(encoding="utf-8", newline="") as lines:
        return tuple(
            Kinship(int(row["index"]), row["name"], tuple(row["kin"].split(";"))) for row in csv.DictReader(lines)
        )


def matrix(classes: Sequence[str], label_map: LabelMap, kin: Sequence[Kinship]) -> Shares:
    """The matrix that carries probabilities over: `probabilities_of_classes @ matrix`.

    Args:
        classes: ImageNet's class names, in the order of the network's outputs. A name of `kin` must be part of the
            one at its index ("king crab" of "red king crab"), because lists of these names differ in their wording.
        label_map: with the place of every label as its group.

    Returns:
        float32, shape (classes, labels). A row sums to 1 if its class has kin, and is 0 otherwise.

    Raises:
        DataSetError: a class is missing, at another place or listed twice, or its kin are no taxon or label.
    """
    shares = np.zeros((len(classes), len(label_map.labels)), np.float32)
    for one in kin:
        if not 0 <= one.index < len(classes) or one.name.casefold() not in classes[one.index].casefold():
            raise DataSetError(f"Class {one.index} of the {len(classes)} names is not {one.name!r}: correct its index.")
        if shares[one.index].any():
            raise DataSetError(f"Class {one.index} ({one.name}) is listed twice: write all its kin on one line.")
        related = _related(one, label_map)
        shares[one.index, related] = 1 / len(related)
    return shares


def _related(one: Kinship, label_map: LabelMap) -> list[int]:
    """Indices of the labels that are kin, each once."""
    places = [{label, *group.split("/")} for label, group in zip(label_map.labels, label_map.groups, strict=True)]
    for name in one.kin:
        if not any(name in place for place in places):
            raise DataSetError(f"The kin of {one.name!r} name {name!r}, which is no taxon or label of the table.")
    return [index for index, place in enumerate(places) if not place.isdisjoint(one.kin)]
