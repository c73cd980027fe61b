import numpy as np
import pytest

from training import metrics

ROWS = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5]])
TRUTH = np.array([0, 1, 1, 0])


def test_top_k_share_counts_true_classes_among_the_best() -> None:
    assert [metrics.top_k_share(ROWS, TRUTH, k) for k in (1, 2, 3)] == [0.5, 0.75, 1.0]


def test_calibration_error_is_zero_where_confidence_is_the_share_of_hits() -> None:
    rows = np.tile([0.75, 0.25], (4, 1))
    assert metrics.calibration_error(rows, np.array([0, 0, 0, 1])) == pytest.approx(0)


def test_calibration_error_is_the_gap_of_confidence_and_hits() -> None:
    rows = np.tile([0.9, 0.1], (4, 1))
    assert metrics.calibration_error(rows, np.array([0, 0, 1, 1])) == pytest.approx(0.4)


def test_gaps_on_both_sides_within_a_bin_cancel_but_bins_do_not() -> None:
    rows = np.array([[0.9, 0.1], [0.6, 0.4]])
    assert metrics.calibration_error(rows, np.array([1, 0])) == pytest.approx((0.9 + 0.4) / 2)


def test_full_confidence_has_a_bin() -> None:
    assert metrics.calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


def test_softmax_survives_large_logits() -> None:
    assert metrics.softmax([[1000.0, 1000.0]]).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_fitted_temperature_is_the_one_that_the_classes_were_drawn_with(temperature: float) -> None:
    chance = np.random.default_rng(0)
    logits = chance.normal(0, 3, (20_000, 4))
    rows = metrics.softmax(logits, temperature)
    truth = (rows.cumsum(axis=1) < chance.random((20_000, 1))).sum(axis=1)
    assert metrics.fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.05)


def test_report_has_the_figures_of_a_description() -> None:
    report = metrics.report(np.log(ROWS), TRUTH, 1.0)
    assert report["top1"] == 0.5
    assert report["pictures"] == 4
    assert report["ece"] == report["ece_uncalibrated"]


# --- Class by class -----------------------------------------------------------------------------------------------

COUNTS = metrics.confusion(np.array([0, 0, 1, 1, 1]), np.array([0, 0, 0, 1, 1]), 4)


def test_confusion_has_a_row_a_true_class_and_a_column_an_answer() -> None:
    assert COUNTS.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_figures_of_a_class_are_those_of_the_textbook() -> None:
    figures = metrics.by_class(COUNTS)
    assert figures.precision[:2].tolist() == pytest.approx([1, 2 / 3])
    assert figures.recall[:2].tolist() == pytest.approx([2 / 3, 1])
    assert figures.f1[:2].tolist() == pytest.approx([0.8, 0.8])
    assert np.isnan([figures.precision[2], figures.recall[2], figures.f1[2]]).all()


def test_macro_averages_leave_out_classes_without_pictures() -> None:
    assert metrics.macro(metrics.by_class(COUNTS)) == pytest.approx(
        {"macro_precision": 5 / 6, "macro_recall": 5 / 6, "macro_f1": 0.8}
    )


def test_a_class_that_is_never_named_counts_as_nothing() -> None:
    counts = metrics.confusion(np.array([0, 0]), np.array([0, 1]), 2)
    assert metrics.macro(metrics.by_class(counts)) == pytest.approx(
        {"macro_precision": 0.25, "macro_recall": 0.5, "macro_f1": 1 / 3}
    )


def test_reliability_bins_add_up_to_the_calibration_error() -> None:
    bins = metrics.reliability(ROWS, TRUTH)
    error = sum(b.pictures * abs(b.hits - b.confidence) for b in bins) / len(TRUTH)
    assert sum(b.pictures for b in bins) == len(TRUTH)
    assert error == pytest.approx(metrics.calibration_error(ROWS, TRUTH))


def test_taking_the_temperature_back_gives_the_uncalibrated_probabilities() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (5, 4))
    cooled = metrics.softmax(logits, 1.7)
    assert metrics.at_temperature(cooled, 1 / 1.7) == pytest.approx(metrics.softmax(logits))


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert metrics.wilson(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)
    assert metrics.wilson(0, 10)[0] == 0
