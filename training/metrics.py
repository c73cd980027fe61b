"""Figures of a classifier, from arrays alone: logits or probabilities and true classes in, figures out."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Rows = NDArray[np.float64]
"""float64, shape (pictures, classes)."""
Classes = NDArray[np.int64]
"""int64, shape (pictures,): the true class of each picture."""

BINS = 15
"""Number of equally wide confidence bins of the calibration error."""


def report(logits: ArrayLike, truth: Classes, temperature: float) -> dict[str, float]:
    """The figures of a model's description: shares 0..1, and the mean negative log likelihood."""
    rows = softmax(logits, temperature)
    return {
        "top1": top_k_share(rows, truth, 1),
        "top5": top_k_share(rows, truth, 5),
        "ece": calibration_error(rows, truth),
        "ece_uncalibrated": calibration_error(softmax(logits), truth),
        "nll": negative_log_likelihood(rows, truth),
        "pictures": float(len(truth)),
    }


def softmax(logits: ArrayLike, temperature: float = 1.0) -> Rows:
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    rows: Rows = powers / powers.sum(axis=1, keepdims=True)
    return rows


def top_k_share(rows: Rows, truth: Classes, k: int) -> float:
    """Share of pictures whose true class is among the `k` most probable; equals count for the lower index."""
    best = np.argsort(-rows, axis=1, kind="stable")[:, :k]
    return float((best == truth[:, None]).any(axis=1).mean())


def calibration_error(rows: Rows, truth: Classes) -> float:
    """Expected calibration error (ECE) of the top class: mean gap between confidence and accuracy over `BINS`."""
    confidence, hit = rows.max(axis=1), rows.argmax(axis=1) == truth
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=hit - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(truth))


def negative_log_likelihood(rows: Rows, truth: Classes) -> float:
    """Mean over the pictures, in nats."""
    return float(-np.log(np.maximum(rows[np.arange(len(truth)), truth], 1e-12)).mean())


def fit_temperature(logits: ArrayLike, truth: Classes) -> float:
    """The temperature, 0.1..10, with the lowest negative log likelihood, by golden section over its logarithm.

    Use pictures that neither training nor the report sees. The loss is convex in 1/temperature, so it has one minimum.
    """
    low, high, golden = np.log(0.1), np.log(10.0), (np.sqrt(5) - 1) / 2

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(softmax(logits, float(np.exp(log_temperature))), truth)

    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


# --- Class by class ---------------------------------------------------------------------------------------------


class Figures(NamedTuple):
    """Per class, float64, shape (classes,); NaN where the denominator is 0."""

    precision: Rows
    """Share of the answers with this class that are right."""
    recall: Rows
    """Share of the pictures of this class that are classified correctly."""
    f1: Rows
    """Their harmonic mean; 0 where no answer is right, NaN where the class has no pictures."""


class Bin(NamedTuple):
    """Pictures whose best answers have similar confidence."""

    low: float
    high: float
    pictures: int
    confidence: float
    """Their mean."""
    hits: float
    """Share of right answers."""


def confusion(answers: Classes, truth: Classes, classes: int) -> Classes:
    """Counts, int64 (classes, classes): rows are true classes, columns are answers."""
    counts = np.bincount(truth * classes + answers, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def by_class(counts: Classes) -> Figures:
    """Precision, recall and F1 from a confusion matrix."""
    hits, pictures, named = np.diag(counts).astype(float), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        f1 = np.where(pictures > 0, 2 * hits / (pictures + named), np.nan)
        return Figures(hits / named, hits / pictures, f1)


def macro(figures: Figures) -> dict[str, float]:
    """Means over the classes that have pictures; all classes count equally.

    The precision of a class without answers counts as 0, so that a model does not gain by never answering a class.
    """
    tested = ~np.isnan(figures.recall)
    return {
        "macro_precision": float(np.nan_to_num(figures.precision[tested]).mean()),
        "macro_recall": float(figures.recall[tested].mean()),
        "macro_f1": float(figures.f1[tested].mean()),
    }


def reliability(rows: Rows, truth: Classes) -> list[Bin]:
    """The non-empty bins that `calibration_error` sums over."""
    confidence, hit = rows.max(axis=1), rows.argmax(axis=1) == truth
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(k / BINS, (k + 1) / BINS, int(here.sum()), float(confidence[here].mean()), float(hit[here].mean()))
        for k in range(BINS)
        if (here := bins == k).any()
    ]


def at_temperature(rows: Rows, temperature: float) -> Rows:
    """Probabilities as they would be after dividing the logits by `temperature` once more."""
    return softmax(np.log(np.maximum(rows, 1e-30)), temperature)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % confidence interval of a share.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    z, share = 1.96, hits / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return float(max(0.0, centre - reach)), float(min(1.0, centre + reach))
