"""What a model may claim, fitted on pictures that it was not taught: temperature, `familiar_at` and `sure_at`.

The order matters. `familiar_at` depends on no label, so the pictures that it leaves are as good as drawn at random from
the familiar ones; `sure_at` is fitted on these, because answers make statements about these only.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.answers import Statements
from gateway.labels import LabelMap
from training import metrics
from training.learn.dataset import LabelledSet
from training.learn.head import fit_head
from training.learn.model import Head, familiarity
from training.learn.sureness import fit_sure_at
from training.metrics import Classes

FOLDS = 5
"""Of the training pictures of a quick run."""
TAUGHT = 1000
"""Most taught pictures whose features are kept. They cost 1 % of the CPU of a picture, and 5 MB of a version."""
PASSING = 0.9
"""Share of pictures of the taught kinds that are to count as familiar (docs/decisions/0049-sure-and-familiar.md)."""


class HeldBack(NamedTuple):
    """Pictures that a model was not taught, as it sees them."""

    logits: NDArray[np.float32]
    """Shape (N, classes)."""
    familiarity: NDArray[np.float32]
    """Shape (N,), 0..1."""
    truth: Classes


class Calibration(NamedTuple):
    """The fitted values."""

    temperature: float
    familiar_at: float
    sure_at: float | None
    """None: no threshold could be proven."""


def calibrate(held_back: HeldBack, label_map: LabelMap) -> Calibration:
    """Fit all three."""
    logits, familiarity, truth = held_back
    temperature = round(metrics.fit_temperature(logits, truth), 4)
    lowest = float(np.quantile(familiarity, 1 - PASSING, method="lower"))
    familiar_at = int(lowest * 1e4) / 1e4
    familiar = familiarity >= familiar_at
    rows = metrics.softmax(logits[familiar], temperature)
    return Calibration(temperature, familiar_at, fit_sure_at(rows, truth[familiar], label_map))


def seen(features: NDArray[np.float32], truth: Classes, head: Head, taught: NDArray[np.float32]) -> HeldBack:
    """Pictures as a head sees them that was taught others.

    Args:
        features: shape (N, features).
        taught: features that are kept of what it was taught, see `kept`.
    """
    return HeldBack(head.logits(features), np.asarray(familiarity(features, taught)), truth)


def together(parts: Iterable[HeldBack]) -> HeldBack:
    """All pictures of several parts."""
    return HeldBack(*map(np.concatenate, zip(*parts, strict=True)))


def kept(features: NDArray[np.float32], truth: Classes) -> NDArray[np.float32]:
    """What a version keeps of taught pictures: features of up to `TAUGHT` of them, of length 1, shape (M, features)."""
    chosen = features[evenly(truth)]
    lengths = np.linalg.norm(chosen, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (chosen / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit


def evenly(truth: Classes, most: int = TAUGHT) -> NDArray[np.int64]:
    """Positions of up to `most` pictures, in order; of each class as many as of the others, as far as it has them."""
    order = np.random.default_rng(0).permutation(len(truth))
    turn = np.empty(len(truth), np.int64)
    for k in np.unique(truth):
        of_class = order[truth[order] == k]
        turn[of_class] = np.arange(len(of_class))
    chosen: NDArray[np.int64] = np.sort(order[np.argsort(turn[order], kind="stable")[:most]])
    return chosen


def cross_fitted(
    features: NDArray[np.float32], pictures: LabelledSet, folds: NDArray[np.int64], classes: int
) -> HeldBack:
    """Pictures as heads see them that were taught the pictures of all other folds; in the order of the folds.

    Args:
        features: of the pictures, shape (N, features).
        folds: shape (N,), the fold of each.
    """
    parts = []
    for fold in np.unique(folds):
        these, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        taught = pictures.chosen(others)
        head = fit_head(features[others], taught.truth, taught.weights, classes)
        parts.append(seen(features[these], pictures.truth[these], head, kept(features[others], taught.truth)))
    return together(parts)


def in_words(fitted: Calibration, held_back: HeldBack, label_map: LabelMap) -> str:
    """How often the model is right, and sure, on the pictures of the fit."""
    rows = metrics.softmax(held_back.logits, fitted.temperature)
    right = metrics.top_k_share(rows, held_back.truth, 1)
    sentence = f"Of {len(rows):,} pictures that were held back it is right about {right:.0%}"
    if fitted.sure_at is None:
        return f"{sentence}; sure of none, because no threshold could be proven"
    made = Statements(label_map).made(rows, held_back.truth, [fitted.sure_at])
    familiar = held_back.familiarity >= fitted.familiar_at
    sure = made.sure[0] & familiar
    return f"{sentence}; sure of {sure.mean():.0%}, and of those right about {made.right[0][sure].mean():.0%}"
