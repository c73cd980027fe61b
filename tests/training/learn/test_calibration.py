"""Heads and thresholds fitted on features; the features are drawn here."""

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.labels import LabelMap
from training.learn import calibration
from training.learn.calibration import HeldBack
from training.learn.dataset import LabelledSet
from training.learn.head import fit_head
from training.learn.model import familiarity

CLASSES, WIDTH = 4, 24
LABELS = LabelMap(labels=("a", "b", "c", "d"))
CENTRES = np.random.default_rng(7).uniform(0, 3, (CLASSES, WIDTH))


def drawn(count: int, seed: int, spread: float = 0.8) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features around the centre of each picture's class, and the classes."""
    chance, truth = np.random.default_rng(seed), np.arange(count) % CLASSES
    return np.maximum(CENTRES[truth] + chance.normal(0, spread, (count, WIDTH)), 0).astype(np.float32), truth


def plain(truth: NDArray[np.int64]) -> LabelledSet:
    return LabelledSet(("",) * len(truth), truth, np.ones(len(truth), np.float32))


def test_a_head_finds_the_classes_of_other_pictures() -> None:
    head = fit_head(*drawn(80, 0), np.ones(80, np.float32), CLASSES)
    features, truth = drawn(400, 1)
    assert (head.logits(features).argmax(axis=1) == truth).mean() > 0.95


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_head_does_not_depend_on_the_scale_of_the_features(scale: float) -> None:
    features, truth = drawn(40, 0)
    others, _ = drawn(40, 1)
    plain_head = fit_head(features, truth, np.ones(40, np.float32), CLASSES)
    head = fit_head(features * np.float32(scale), truth, np.ones(40, np.float32), CLASSES)
    assert head.logits(others * np.float32(scale)) == pytest.approx(plain_head.logits(others), abs=0.02)


def test_a_class_without_pictures_is_improbable_and_a_single_picture_is_enough() -> None:
    head = fit_head(*drawn(3, 0), np.ones(3, np.float32), CLASSES)
    assert head.logits(drawn(3, 0)[0]).argmax(axis=1).tolist() == [0, 1, 2]
    assert fit_head(*drawn(1, 0), np.ones(1, np.float32), CLASSES).logits(drawn(1, 0)[0]).argmax() == 0


def test_a_weight_of_two_is_the_picture_twice() -> None:
    features, truth = drawn(9, 0)
    twice = fit_head(np.vstack((features, features[:1])), np.append(truth, 0), np.ones(10, np.float32), CLASSES)
    weights = np.array([2.0, *[1.0] * 8], np.float32)
    weighted = fit_head(features, truth, weights * np.float32(0.9), CLASSES)
    assert (weighted.logits(features).argmax(axis=1) == twice.logits(features).argmax(axis=1)).all()


def test_familiarity_is_the_mean_of_the_five_largest_cosines() -> None:
    taught = np.eye(6, dtype=np.float32)
    picture = np.array([[3, 0, 4, 0, 0, 0]], np.float32)
    assert np.asarray(familiarity(picture, taught)) == pytest.approx([(0.6 + 0.8) / 5])
    assert np.asarray(familiarity(picture, taught[:2])) == pytest.approx([0.3])
    assert np.asarray(familiarity(np.zeros((1, 6), np.float32), taught)) == pytest.approx([0])


def test_taught_pictures_are_familiar_and_others_less() -> None:
    features, truth = drawn(80, 0)
    taught = calibration.kept(features, truth)
    known = np.asarray(familiarity(drawn(80, 1)[0], taught))
    strange = np.asarray(familiarity(np.random.default_rng(2).uniform(0, 3, (80, WIDTH)).astype(np.float32), taught))
    assert np.quantile(known, 0.1) > np.quantile(strange, 0.75)
    assert known.max() <= 1


def test_kept_pictures_are_of_all_classes_evenly_as_far_as_these_have_them() -> None:
    truth = np.array([0] * 50 + [1] * 3 + [2] * 50)
    chosen = calibration.evenly(truth, 20)
    assert np.bincount(truth[chosen]).tolist() in ([9, 3, 8], [8, 3, 9])
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert calibration.evenly(truth, 1000).tolist() == list(range(103))


def test_each_picture_is_judged_by_a_head_that_was_not_taught_it() -> None:
    features, _ = drawn(60, 0)
    truth = np.random.default_rng(3).integers(0, CLASSES, 60)  # labels that cannot be known
    folds = np.arange(60) % 5
    judged = calibration.cross_fitted(features, plain(truth), folds, CLASSES)
    taught = fit_head(features, truth, np.ones(60, np.float32), CLASSES)
    assert (taught.logits(features).argmax(axis=1) == truth).mean() > 0.7
    assert (judged.logits.argmax(axis=1) == judged.truth).mean() < 0.5
    assert judged.familiarity.max() < 0.9999


def test_of_held_back_pictures_nine_in_ten_are_familiar() -> None:
    truth = np.arange(200) % CLASSES
    held_back = HeldBack(20 * np.eye(CLASSES, dtype=np.float32)[truth], np.linspace(0, 1, 200, dtype=np.float32), truth)
    fitted = calibration.calibrate(held_back, LABELS)
    assert (held_back.familiarity >= fitted.familiar_at).mean() == pytest.approx(0.9, abs=0.01)
    assert fitted.sure_at == 0.5


def test_unfamiliar_pictures_do_not_count_for_the_threshold_of_statements() -> None:
    truth = np.arange(2000) % CLASSES
    answered = np.where(np.arange(2000) < 190, (truth + 1) % CLASSES, truth)
    familiar = np.where(np.arange(2000) < 190, 0.1, 0.9).astype(np.float32)
    held_back = HeldBack(3 * np.eye(CLASSES, dtype=np.float32)[answered], familiar, truth)
    assert calibration.calibrate(held_back, LABELS).sure_at == 0.5
    everywhere = held_back._replace(familiarity=np.full(2000, 0.9, np.float32))
    assert calibration.calibrate(everywhere, LABELS).sure_at is None
