"""The threshold of a statement: the lowest at which statements are right often enough, as far as pictures can prove.

Thresholds of a fixed grid are tested from the highest down. A test asks whether so few wrong statements could be chance
if less than `RIGHT` of all statements were right (binomial: Clopper and Pearson's lower bound must reach `RIGHT`). The
first test that fails ends the sequence, so all of them together err with a probability of at most 1 - `CONFIDENCE`.
Where the sequence starts depends on how many statements there are, never on whether they are right.

Source: Angelopoulos et al. 2021, "Learn then test: calibrating predictive algorithms to achieve risk control" (fixed
sequence testing); docs/decisions/0049-sure-and-familiar.md.
"""

import math
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from gateway.answers import Statements
from gateway.labels import LabelMap
from training.metrics import Classes

RIGHT, CONFIDENCE = 0.95, 0.95
"""Statements are to be right this often, with this probability of the fit."""
THRESHOLDS = tuple((1 - np.geomspace(1e-4, 0.5, 48)).round(4).tolist())
"""From high to low. At 0.5 the opposite of a statement is as probable as the statement."""
FEWEST = math.ceil(math.log(1 - CONFIDENCE) / math.log(RIGHT))
"""Statements that prove `RIGHT` if all of them are right: 59."""
START_SHARE = 0.1
"""Share of the pictures with a statement where the sequence starts: many pictures forgive a first mistake."""


def fit_sure_at(probabilities: NDArray[np.floating], truth: Classes, label_map: LabelMap) -> float | None:
    """The lowest threshold at which statements are right at least 95 % of the time, with 95 % confidence.

    Args:
        probabilities: calibrated, shape (pictures, classes); of pictures that the model was not taught.
        truth: shape (pictures,), the true label of each.

    Returns:
        0.5..1; None where no threshold can be proven, as with fewer than 59 pictures.
    """
    made = Statements(label_map).made(probabilities, truth, THRESHOLDS)
    counts, rights = made.sure.sum(axis=1), made.right.sum(axis=1)
    enough = np.flatnonzero(counts >= max(FEWEST, START_SHARE * len(truth)))
    tested = range(enough[0], len(THRESHOLDS)) if len(enough) else range(0)
    proven = list(takewhile(lambda at: _proves(int(counts[at]), int(counts[at] - rights[at])), tested))
    return THRESHOLDS[proven[-1]] if proven else None


def _proves(statements: int, wrong: int) -> bool:
    """Whether so few wrong ones are too improbable at a share of right ones of `RIGHT`."""
    n = statements
    ways = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(wrong + 1))
    chances = (way + k * math.log(1 - RIGHT) + (n - k) * math.log(RIGHT) for k, way in enumerate(ways))
    return math.fsum(map(math.exp, chances)) <= 1 - CONFIDENCE
