"""How good and how honest a model is, from arrays alone: logits and true classes in, figures out."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Rows = NDArray[np.float64]
"""float64, shape (pictures, classes)."""
Classes = NDArray[np.int64]
"""int64, shape (pictures,): the true class of each picture."""

BINS = 15
"""Of confidence, equally wide, for the calibration error."""


def report(logits: ArrayLike, truth: Classes, temperature: float) -> dict[str, float]:
    """The figures that go into a model's description: shares 0..1 and the mean negative log likelihood."""
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
    """Expected calibration error of the top class: mean gap of confidence and hits over `BINS`, by pictures."""
    confidence, hit = rows.max(axis=1), rows.argmax(axis=1) == truth
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=hit - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(truth))


def negative_log_likelihood(rows: Rows, truth: Classes) -> float:
    """Mean over the pictures, in nats."""
    return float(-np.log(np.maximum(rows[np.arange(len(truth)), truth], 1e-12)).mean())


def fit_temperature(logits: ArrayLike, truth: Classes) -> float:
    """The temperature, 0.1..10, of least negative log likelihood: by golden section over its logarithm.

    Use pictures that neither training nor the report sees. The loss is convex in 1/temperature, so there is one.
    """
    low, high, golden = np.log(0.1), np.log(10.0), (np.sqrt(5) - 1) / 2

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(softmax(logits, float(np.exp(log_temperature))), truth)

    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))
