"""Two models' answers to the same pictures: how much they agree, and whether one model is better. Pure.

Labels are matched by name: the models may have different labels, or the same in another order.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

RESAMPLES = 10_000
SURE_P = 0.05
"""A difference with a lower p value counts as more than chance."""


class ClassChange(BaseModel):
    """A class with different numbers of right answers."""

    label: str
    pictures: int
    old_hits: int
    new_hits: int


class Flip(BaseModel):
    """A picture whose answer changed."""

    file: str
    label: str
    old: str
    old_confidence: float
    new: str
    new_confidence: float

    @property
    def kind(self) -> str:
        """fixed, broken, or neither where both answers are wrong."""
        return "fixed" if self.new == self.label else "broken" if self.old == self.label else "neither"


class Comparison(BaseModel):
    """The differences between OLD and NEW; shares are 0..1."""

    old: str
    new: str
    old_version: str = ""
    new_version: str = ""
    pictures: int
    agreement: float
    """Share of pictures with the same best answer."""
    old_top1: float
    new_top1: float
    difference: float
    """new_top1 - old_top1."""
    low: float
    high: float
    """95 % confidence interval of the difference: paired bootstrap over the pictures."""
    p_value: float
    """McNemar's exact test: probability of at least this difference between equally good models."""
    only_old_right: int
    only_new_right: int
    largest_gap: float
    """Largest difference of a probability, over the labels that both models know."""
    tested_classes: int
    """Classes with a picture."""
    only_old_labels: list[str]
    only_new_labels: list[str]
    classes: list[ClassChange]
    """Classes with another number of right answers than before, the largest loss first."""
    flips: list[Flip]
    """Broken ones first, then by confidence."""

    @property
    def worse(self) -> list[ClassChange]:
        """Classes with fewer right answers than before."""
        return [change for change in self.classes if change.new_hits < change.old_hits]

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.agreement == 1:
            return "Both models give the same answer to every picture."
        if self.p_value >= SURE_P:
            return "The difference in accuracy may be chance."
        return f"The {'new' if self.difference > 0 else 'old'} model is better, by more than chance."


class Answers(NamedTuple):
    """The answers of one model."""

    name: str
    version: str
    labels: tuple[str, ...]
    rows: NDArray[np.float32]
    """Shape (pictures, labels)."""


def measured(old: Answers, new: Answers, files: Sequence[str], truth: Sequence[str]) -> Comparison:
    """Compare answers to `files`, whose true labels are `truth`."""
    old_answers, new_answers = _named(old), _named(new)
    old_right, new_right = old_answers == np.array(truth), new_answers == np.array(truth)
    lost, won = int((old_right & ~new_right).sum()), int((new_right & ~old_right).sum())
    low, high = difference_interval(won, lost, len(truth))
    return Comparison(
        old=old.name,
        new=new.name,
        old_version=old.version,
        new_version=new.version,
        pictures=len(truth),
        agreement=float((old_answers == new_answers).mean()),
        old_top1=float(old_right.mean()),
        new_top1=float(new_right.mean()),
        difference=(won - lost) / len(truth),
        low=low,
        high=high,
        p_value=mcnemar(won, lost),
        only_old_right=lost,
        only_new_right=won,
        largest_gap=_largest_gap(old, new),
        tested_classes=len(set(truth)),
        only_old_labels=[label for label in old.labels if label not in new.labels],
        only_new_labels=[label for label in new.labels if label not in old.labels],
        classes=_changes(np.array(truth), old_right, new_right),
        flips=_flips(old, new, old_answers, new_answers, files, truth),
    )


def difference_interval(won: int, lost: int, pictures: int) -> tuple[float, float]:
    """95 % confidence interval of the accuracy's difference, by paired bootstrap.

    Only the numbers of won, lost and equal pictures matter in a resample, so only these are drawn.
    """
    shares = np.array([won, lost, pictures - won - lost]) / pictures
    drawn = np.random.default_rng(0).multinomial(pictures, shares, RESAMPLES)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / pictures, [2.5, 97.5])
    return float(low), float(high)


def mcnemar(won: int, lost: int) -> float:
    """Two-sided p value of McNemar's exact test: are won and lost pictures equally likely?

    It adds binomial probabilities from the largest downwards and stops when they no longer change the sum, so the
    number of terms grows with the square root of the number of pictures.

    Source: McNemar 1947, exact binomial form.
    """
    differing, fewer = won + lost, min(won, lost)
    more = differing - fewer
    log_term = math.lgamma(differing + 1) - math.lgamma(fewer + 1) - math.lgamma(more + 1) - differing * math.log(2)
    term, tail = math.exp(log_term), 0.0
    for k in range(fewer, -1, -1):
        if tail + term == tail:
            break
        tail += term
        term *= k / (differing - k + 1)
    return min(1.0, 2 * tail)


def _named(answers: Answers) -> NDArray[np.str_]:
    named: NDArray[np.str_] = np.array(answers.labels)[answers.rows.argmax(axis=1)]
    return named


def _largest_gap(old: Answers, new: Answers) -> float:
    both = [label for label in old.labels if label in new.labels]
    if not both:
        return 1.0
    columns = [[answers.labels.index(label) for label in both] for answers in (old, new)]
    return float(np.abs(old.rows[:, columns[0]] - new.rows[:, columns[1]]).max())


def _changes(truth: NDArray[np.str_], old_right: NDArray[np.bool_], new_right: NDArray[np.bool_]) -> list[ClassChange]:
    changes = [
        ClassChange(
            label=str(label),
            pictures=int((truth == label).sum()),
            old_hits=int(old_right[truth == label].sum()),
            new_hits=int(new_right[truth == label].sum()),
        )
        for label in np.unique(truth)
    ]
    changed = [change for change in changes if change.old_hits != change.new_hits]
    return sorted(changed, key=lambda change: (change.new_hits - change.old_hits, change.label))


def _flips(
    old: Answers,
    new: Answers,
    old_answers: NDArray[np.str_],
    new_answers: NDArray[np.str_],
    files: Sequence[str],
    truth: Sequence[str],
) -> list[Flip]:
    flips = [
        Flip(
            file=files[at],
            label=truth[at],
            old=str(old_answers[at]),
            old_confidence=round(float(old.rows[at].max()), 4),
            new=str(new_answers[at]),
            new_confidence=round(float(new.rows[at].max()), 4),
        )
        for at in np.flatnonzero(old_answers != new_answers).tolist()
    ]
    order = {"broken": 0, "neither": 1, "fixed": 2}
    return sorted(flips, key=lambda flip: (order[flip.kind], -flip.new_confidence, flip.file))
