"""How often a model is sure, and right then."""

import numpy as np
import pytest

from gateway.labels import LabelMap
from training.judge.sources import Outputs
from training.judge.sources.source import Facts
from training.judge.sure import separation, strangers, sureness

LABELS = LabelMap(labels=("cod", "crab", "prawn"), groups=("", "Arthropoda", "Arthropoda"))
ROWS = np.array(
    [
        [0.95, 0.03, 0.02],  # a cod
        [0.02, 0.95, 0.03],  # a crab
        [0.02, 0.49, 0.49],  # a crab or a prawn
        [0.97, 0.02, 0.01],  # a cod, but it is a prawn
        [0.40, 0.30, 0.30],
    ]
)
TRUTH = np.array([0, 1, 2, 2, 0])
FAMILIARITY = np.array([0.9, 0.8, 0.9, 0.2, 0.9])


def facts(sure_at: float | None = 0.9, familiar_at: float | None = None) -> Facts:
    return Facts("fish", LABELS.labels, label_map=LABELS, sure_at=sure_at, familiar_at=familiar_at)


def test_statements_about_labels_and_groups_are_counted() -> None:
    found = sureness(facts(), Outputs(ROWS), TRUTH)
    assert (found.sure, found.right, found.familiar) == (4, 3, 1.0)


def test_an_unfamiliar_picture_gets_no_statement() -> None:
    found = sureness(facts(familiar_at=0.5), Outputs(ROWS, FAMILIARITY), TRUTH)
    assert (found.sure, found.right, found.familiar) == (3, 3, 0.8)


def test_a_model_without_a_threshold_is_sure_of_nothing_and_its_curve_is_known() -> None:
    found = sureness(facts(sure_at=None), Outputs(ROWS), TRUTH)
    assert (found.sure, found.right) == (0, 0)
    assert [point.sure for point in found.curve] == sorted(point.sure for point in found.curve)
    assert found.curve[-1].sure == 4


def test_strangers_that_pass_are_counted_and_told_apart_from_known_pictures() -> None:
    others = Outputs(np.array([[0.96, 0.02, 0.02], [0.96, 0.02, 0.02], [0.4, 0.3, 0.3]]), np.array([0.1, 0.6, 0.7]))
    found = strangers(facts(familiar_at=0.5), "others", others, Outputs(ROWS, FAMILIARITY))
    assert (found.pictures, found.sure) == (3, 1)
    assert found.familiar == pytest.approx(2 / 3)
    assert found.by_familiarity == pytest.approx((3 * 4 + 1) / 15)


def test_separation_is_one_half_for_equal_values_and_one_for_larger_ones() -> None:
    assert separation(np.array([0.5, 0.5]), np.array([0.5])) == 0.5
    assert separation(np.array([0.6, 0.7]), np.array([0.5, 0.1])) == 1.0
    assert separation(np.array([0.1, 0.7]), np.array([0.5])) == 0.5
