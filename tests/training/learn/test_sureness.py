"""The promise of the threshold: statements are right 95 % of the time, in 95 % of the fits."""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.answers import Statements
from gateway.labels import LabelMap
from training import metrics
from training.learn.sureness import FEWEST, fit_sure_at

SIMULATIONS, FRESH = 200, 4000


class Simulated(NamedTuple):
    """A model of classes whose true probabilities are known: it states them, or with a wrong sharpness."""

    label_map: LabelMap
    spread: float
    """Of the true logits: how far pictures can be told apart at all."""
    sharpness: float
    """Factor of the stated logits: 1 is well calibrated, 2 overconfident."""

    def pictures(self, count: int, chance: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Stated logits and true classes."""
        logits = chance.normal(0, self.spread, (count, len(self.label_map.labels)))
        true = metrics.softmax(logits).cumsum(axis=1)
        return self.sharpness * logits, (true > chance.random((count, 1))).argmax(axis=1)


def label_map(classes: int, *, grouped: bool) -> LabelMap:
    """Three groups of four each, or no groups."""
    groups = tuple(f"{k % 3}/{k % 12}" for k in range(classes)) if grouped else ()
    return LabelMap(labels=tuple(map(str, range(classes))), groups=groups)


def right_and_made(model: Simulated, seed: int, *, calibrate: bool) -> tuple[float, float]:
    """Shares of the fresh pictures with a right statement, and with one, at the threshold of a validation set."""
    chance = np.random.default_rng(seed)
    logits, truth = model.pictures(int(chance.choice([100, 224, 700])), chance)
    temperature = metrics.fit_temperature(logits, truth) if calibrate else 1.0
    sure_at = fit_sure_at(metrics.softmax(logits, temperature), truth, model.label_map)
    if sure_at is None:
        return 0.0, 0.0
    fresh, true = model.pictures(FRESH, chance)
    made = Statements(model.label_map).made(metrics.softmax(fresh, temperature), true, [sure_at])
    return float(made.right.mean()), float(made.sure.mean())


@pytest.mark.parametrize("grouped", [False, True], ids=["labels", "groups"])
def test_statements_keep_the_promise_whatever_the_calibration(grouped: bool) -> None:
    chance, kept, fitted = np.random.default_rng(7), 0, 0
    for seed in range(SIMULATIONS):
        classes, sharpness = int(chance.choice([5, 8, 20, 60, 137])), float(chance.choice([0.5, 1, 1, 2, 4]))
        model = Simulated(label_map(classes, grouped=grouped), chance.uniform(2, 12), sharpness)
        right, made = right_and_made(model, seed, calibrate=seed % 2 == 0)
        kept += right >= 0.95 * made
        fitted += made > 0
    assert kept >= 0.95 * SIMULATIONS
    assert fitted >= 0.4 * SIMULATIONS  # else the promise would be kept by silence


def test_a_good_calibrated_model_speaks_about_most_pictures_that_it_may_speak_about() -> None:
    model = Simulated(label_map(8, grouped=False), spread=8, sharpness=1)
    chance = np.random.default_rng(0)
    fresh, true = model.pictures(FRESH, chance)
    rows, statements = metrics.softmax(fresh), Statements(model.label_map)
    every = statements.made(rows, true, np.linspace(0.5, 1, 51).tolist())
    possible = max(every.sure.mean(axis=1)[every.right.mean(axis=1) >= 0.95 * every.sure.mean(axis=1)])
    shares = [right_and_made(model, seed, calibrate=True)[1] for seed in range(30)]
    assert np.mean(shares) >= 0.7 * possible, f"of {possible:.2f}"


def test_a_model_that_is_always_right_speaks_from_one_half_on() -> None:
    truth = np.arange(FEWEST) % 5
    rows = np.full((FEWEST, 5), 0.1)
    rows[np.arange(FEWEST), truth] = 0.6
    assert fit_sure_at(rows, truth, label_map(5, grouped=False)) == 0.5


def test_too_few_pictures_prove_nothing() -> None:
    truth = np.arange(FEWEST - 1) % 5
    assert fit_sure_at(np.eye(5)[truth], truth, label_map(5, grouped=False)) is None


def test_a_model_that_is_sure_and_wrong_gets_no_threshold() -> None:
    truth = np.arange(500) % 5
    wrong = np.where(np.arange(500) % 10 == 0, (truth + 1) % 5, truth)  # one in ten
    assert fit_sure_at(np.eye(5)[wrong], truth, label_map(5, grouped=False)) is None


def test_labels_that_are_confused_within_their_group_are_sure_as_the_group() -> None:
    grouped = LabelMap(labels=("a", "b", "c"), groups=("A", "A", ""))
    truth = np.arange(300) % 2
    rows = np.tile([0.49, 0.49, 0.02], (300, 1))
    assert fit_sure_at(rows, truth, grouped) == 0.5
    assert fit_sure_at(rows, truth, LabelMap(labels=grouped.labels)) is None
