"""How often a model is sure, and right then: on pictures of its kinds, and on strangers, which show something else."""

import numpy as np
from numpy.typing import NDArray

from training.judge.evaluation import Coverage, Strangers, Sureness
from training.judge.sources import Outputs
from training.judge.sources.source import Facts
from training.learn.sureness import THRESHOLDS
from training.metrics import Classes

EVERY = 4
"""Thresholds of the fit to one point of the curve."""


def sureness(facts: Facts, answers: Outputs, truth: Classes) -> Sureness:
    """Statements about labelled pictures at the model's own thresholds; and at others, to choose by."""
    familiar, curve = _familiar(facts, answers), THRESHOLDS[::EVERY]
    made = facts.statements.made(answers.rows, truth, [facts.sure_at or 1.0, *curve])
    sure, right = made.sure & familiar, made.right & familiar
    has = facts.sure_at is not None
    return Sureness(
        sure_at=facts.sure_at,
        familiar_at=facts.familiar_at,
        familiar=float(familiar.mean()),
        sure=int(sure[0].sum()) if has else 0,
        right=int(right[0].sum()) if has else 0,
        curve=[
            Coverage(threshold=threshold, sure=int(of.sum()), right=int(those.sum()))
            for threshold, of, those in zip(curve, sure[1:], right[1:], strict=True)
        ],
    )


def strangers(facts: Facts, source: str, others: Outputs, known: Outputs) -> Strangers:
    """How many pictures of other things pass for known ones, and how well two figures tell them apart."""
    truth = np.zeros(len(others.rows), np.int64)
    made = facts.statements.made(others.rows, truth, [facts.sure_at or 1.0]).sure[0] & _familiar(facts, others)
    return Strangers(
        source=source,
        pictures=len(truth),
        familiar=float(_familiar(facts, others).mean()),
        sure=int(made.sum()) if facts.sure_at is not None else 0,
        by_confidence=separation(known.rows.max(axis=1), others.rows.max(axis=1)),
        by_familiarity=None
        if known.familiarity is None or others.familiarity is None
        else separation(known.familiarity, others.familiarity),
    )


def separation(known: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Probability that a known picture has a larger value than a stranger; ties count half.

    The area under the ROC curve (AUROC): 1 if every known one is above every stranger, 0.5 if the value says nothing.
    """
    order = np.sort(others)
    below, up_to = (np.searchsorted(order, known, side) for side in ("left", "right"))
    return float((below + up_to).mean() / 2 / len(others))


def _familiar(facts: Facts, answers: Outputs) -> NDArray[np.bool_]:
    """Whether each picture is familiar enough for a statement; every one where the model does not say."""
    if answers.familiarity is None or facts.familiar_at is None:
        return np.ones(len(answers.rows), np.bool_)
    return answers.familiarity >= facts.familiar_at
