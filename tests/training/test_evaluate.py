import numpy as np
import pytest

from training import evaluate

ROWS = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5]])
TRUTH = np.array([0, 1, 1, 0])


def test_top_k_share_counts_true_classes_among_the_best() -> None:
    assert [evaluate.top_k_share(ROWS, TRUTH, k) for k in (1, 2, 3)] == [0.5, 0.75, 1.0]


def test_calibration_error_is_zero_where_confidence_is_the_share_of_hits() -> None:
    rows = np.tile([0.75, 0.25], (4, 1))
    assert evaluate.calibration_error(rows, np.array([0, 0, 0, 1])) == pytest.approx(0)


def test_calibration_error_is_the_gap_of_confidence_and_hits() -> None:
    rows = np.tile([0.9, 0.1], (4, 1))
    assert evaluate.calibration_error(rows, np.array([0, 0, 1, 1])) == pytest.approx(0.4)


def test_gaps_on_both_sides_within_a_bin_cancel_but_bins_do_not() -> None:
    rows = np.array([[0.9, 0.1], [0.6, 0.4]])
    assert evaluate.calibration_error(rows, np.array([1, 0])) == pytest.approx((0.9 + 0.4) / 2)


def test_full_confidence_has_a_bin() -> None:
    assert evaluate.calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


def test_softmax_survives_large_logits() -> None:
    assert evaluate.softmax([[1000.0, 1000.0]]).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_fitted_temperature_is_the_one_that_the_classes_were_drawn_with(temperature: float) -> None:
    chance = np.random.default_rng(0)
    logits = chance.normal(0, 3, (20_000, 4))
    rows = evaluate.softmax(logits, temperature)
    truth = (rows.cumsum(axis=1) < chance.random((20_000, 1))).sum(axis=1)
    assert evaluate.fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.05)


def test_report_has_the_figures_of_a_description() -> None:
    report = evaluate.report(np.log(ROWS), TRUTH, 1.0)
    assert report["top1"] == 0.5
    assert report["pictures"] == 4
    assert report["ece"] == report["ece_uncalibrated"]
