"""What an answer says of one picture: its most probable labels, and the most specific statement that is sure enough.

The statement at a threshold is the most specific label or group whose confidence reaches it. A group is a prefix of the
group paths (`Arthropoda/Malacostraca`); its confidence is the sum of its labels'. A label is more specific than any
group, a group more specific than a shorter path. Above one half all that qualify contain each other, so the rule
leaves no choice; at or below it, of the most specific the most probable is taken, and of equals the first in the label
map. A group that holds every label is no statement, because it would be right about every picture.

One rule for answers and for the fit of their threshold (`training.learn.sureness`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.labels import LabelMap, Probabilities


@dataclass(frozen=True, slots=True)
class Ranked:
    """One line of an answer."""

    label: str
    display_name: str
    confidence: float
    index: int
    group: str | None


def most_probable(
    probabilities: Probabilities,
    label_map: LabelMap,
    k: int,
    *,
    min_confidence: float = 0.0,
    language: str | None = None,
) -> list[Ranked]:
    """The `k` most probable labels, best first; equals in label order. Fewer where `min_confidence` cuts.

    Args:
        language: a tag of `label_map.names`; for any other the display names.
    """
    labels, groups = label_map.labels, label_map.groups
    names = _names(label_map, language)
    best = np.argsort(-probabilities, kind="stable")[:k]
    return [
        Ranked(
            labels[index],
            names[index],
            _shown(probabilities[index]),
            int(index),
            (groups[index] or None) if groups else None,
        )
        for index in best
        if probabilities[index] >= min_confidence
    ]


@dataclass(frozen=True, slots=True)
class Sure:
    """A statement in the words of an answer."""

    name: str
    """For people."""
    kind: Literal["label", "group"]
    label: str | None
    group: str | None
    confidence: float


class Said(NamedTuple):
    """All that is said of one picture."""

    answer: Sure | None
    predictions: list[Ranked]


def say(
    probabilities: Probabilities,
    label_map: LabelMap,
    statements: "Statements",
    *,
    sure_at: float | None,
    top_k: int,
    min_confidence: float,
    language: str | None,
) -> Said:
    """What is sure, and the most probable labels.

    Args:
        sure_at: see `Statements.of`; None: nothing is sure.
    """
    statement = None if sure_at is None else statements.of(probabilities, sure_at)
    best = most_probable(probabilities, label_map, top_k, min_confidence=min_confidence, language=language)
    return Said(_named(statement, label_map, language) if statement else None, best)


def _names(label_map: LabelMap, language: str | None) -> Sequence[str]:
    """For people, in label order."""
    return label_map.shown.get(language or "", label_map.display_names)


def _named(statement: "Statement", label_map: LabelMap, language: str | None) -> Sure:
    kind, index, group, confidence = statement.kind, statement.index, statement.group, statement.confidence
    if index is None:
        return Sure(label_map.group_name(group, language), kind, None, group, confidence)
    return Sure(_names(label_map, language)[index], kind, label_map.labels[index], group or None, confidence)


@dataclass(frozen=True, slots=True)
class Statement:
    """One label or one group of labels."""

    kind: Literal["label", "group"]
    index: int | None
    """Of the label; None for a group."""
    group: str
    """Path of the group, or of the label's group; empty where it has none."""
    confidence: float


class Made(NamedTuple):
    """Statements about many pictures: bool, shape (thresholds, pictures)."""

    sure: NDArray[np.bool_]
    """Whether there is a statement."""
    right: NDArray[np.bool_]
    """Whether there is one and it holds the true label."""


class Statements:
    """The statements that a label map allows."""

    def __init__(self, label_map: LabelMap) -> None:
        self._of_label = label_map.groups or ("",) * len(label_map.labels)
        # With the labels in order of their paths, each group is one range of them.
        self._order = np.array(sorted(range(len(self._of_label)), key=lambda at: self._of_label[at].split("/")))
        ranges = dict(_ranges([self._of_label[at] for at in self._order]))
        first = {group: self._order[start:end].min() for group, (start, end) in ranges.items()}
        self._groups = sorted(ranges, key=lambda group: (-_depth(group), first[group]))
        self._starts, self._ends = np.array([ranges[group] for group in self._groups], np.int64).reshape(-1, 2).T
        self._depths = np.array([_depth(group) for group in self._groups], np.float64)
        self._place = np.argsort(self._order)

    def of(self, probabilities: Probabilities, sure_at: float) -> Statement | None:
        """The most specific statement about one picture with a confidence of at least `sure_at`, 0..1; or None."""
        best = int(probabilities.argmax())
        if probabilities[best] >= sure_at:
            return Statement("label", best, self._of_label[best], _shown(probabilities[best]))
        if not self._groups:
            return None
        sums = self._sums(probabilities)
        group = int(self._ranks(sums, sure_at).argmax())
        if sums[group] < sure_at:
            return None
        return Statement("group", None, self._groups[group], _shown(sums[group]))

    def made(self, probabilities: NDArray[Any], truth: NDArray[np.int64], thresholds: Sequence[float]) -> Made:
        """The statements about many pictures at each of several thresholds, and which of them are right.

        Args:
            probabilities: shape (pictures, classes), 0..1; counted as float32.
            truth: shape (pictures,), the true label of each.
        """
        rows = probabilities.astype(np.float32, copy=False)
        confidence, right = rows.max(axis=1), rows.argmax(axis=1) == truth
        sums, place = self._sums(rows), self._place[truth]
        made = [self._groups_at(sums, place, sure_at) for sure_at in thresholds] if self._groups else []
        labels = [confidence >= sure_at for sure_at in thresholds]
        if not made:
            return Made(np.array(labels), np.array([label & right for label in labels]))
        return Made(
            np.array([label | group.sure for label, group in zip(labels, made, strict=True)]),
            np.array([np.where(label, right, group.right) for label, group in zip(labels, made, strict=True)]),
        )

    def _groups_at(self, sums: NDArray[np.float64], place: NDArray[np.int64], sure_at: float) -> Made:
        """The statements that would be made if there were groups only: bool, shape (pictures,)."""
        ranks = self._ranks(sums, sure_at)
        group, sure = ranks.argmax(axis=1), ranks.max(axis=1) > 0
        return Made(sure, sure & (self._starts[group] <= place) & (place < self._ends[group]))

    def _sums(self, probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
        """Confidences of the groups: shape (..., groups)."""
        *rows, labels = probabilities.shape
        sums = np.zeros((*rows, labels + 1))
        probabilities.take(self._order, axis=-1).cumsum(axis=-1, dtype=np.float64, out=sums[..., 1:])
        return sums.take(self._ends, axis=-1) - sums.take(self._starts, axis=-1)

    def _ranks(self, sums: NDArray[np.float64], sure_at: float) -> NDArray[np.float64]:
        """To compare groups by: depth, then confidence; negative below the threshold."""
        return (sums >= sure_at) * (self._depths + sums / 2) - 0.5


def _ranges(paths: Sequence[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Each group of sorted paths with its first place and the one after its last, but for one that holds them all."""
    steps = [path.split("/") if path else [] for path in paths]
    for depth in range(1, max(map(len, steps), default=0) + 1):
        end = 0
        for group, labels in groupby("/".join(path[:depth]) if len(path) >= depth else "" for path in steps):
            start, end = end, end + len(list(labels))
            if group and end - start < len(paths):
                yield group, (start, end)


def _depth(group: str) -> int:
    return group.count("/") + 1


def _shown(confidence: np.floating[Any]) -> float:
    return float(f"{min(confidence, 1.0):.7g}")  # all that float32 holds, no more
