"""Figures and thresholds to verdicts, without a model."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from training.cli import app
from training.errors import JudgementError
from training.judge.comparison import Answers, Comparison, measured
from training.judge.evaluation import Data, Evaluation, Latency, Model, OfClass, Robustness, Training
from training.judge.gate import judge, load_verdict, write_verdict
from training.judge.thresholds import DEFAULT, Thresholds, read_thresholds


def evaluated(**metrics: float) -> Evaluation:
    figures = {"top1": 0.9, "top5": 1.0, "macro_f1": 0.85, "ece": 0.02, "pictures": 100.0, **metrics}
    return Evaluation(
        created="2026-11-23T06:00:00+00:00",
        model=Model(name="runs/shells", digest="sha256:model", labels=("crab", "pen"), temperature=1.2),
        data=Data(source="photos", split="test", pictures=100, digest="sha256:photos"),
        metrics=figures,
        top1_interval=(0.8, 0.95),
        classes=[
            OfClass(label="crab", pictures=60, precision=0.9, recall=0.95, f1=0.92),
            OfClass(label="pen", pictures=40, precision=0.9, recall=0.7, f1=0.8),
        ],
        confusion=[],
        reliability=[],
        reliability_uncalibrated=[],
    )


def trained(training_accuracy: float, validation_accuracy: float) -> Training:
    return Training(
        run="shells",
        training_accuracy=training_accuracy,
        validation_accuracy=validation_accuracy,
        seed=0,
        code_commit="abc",
        data_digest="sha256:data",
        weights="none",
        pictures={},
    )


def asking(**groups: dict[str, float]) -> Thresholds:
    return Thresholds.model_validate(groups)


def compared(old_hits: int, new_hits: int, pictures: int = 10) -> Comparison:
    def answers(name: str, hits: int) -> Answers:
        rows = np.array([(0.9, 0.1) if at < hits else (0.1, 0.9) for at in range(pictures)], np.float32)
        return Answers(name, "17", ("crab", "pen"), rows)

    files = [f"{n}.jpg" for n in range(pictures)]
    return measured(answers("models/shells", old_hits), answers("new", new_hits), files, ["crab"] * pictures)


def test_what_is_reached_passes_and_says_by_how_much() -> None:
    verdict = judge(evaluated(), asking(absolute={"min_top1": 0.9, "max_ece": 0.02, "min_pictures": 100}))
    assert verdict.passed
    assert verdict.reasons == []
    assert [check.sentence for check in verdict.checks] == [
        "The number of pictures is 100, at least 100",
        "Top-1 accuracy is 0.9, at least 0.9",
        "The calibration error (ECE) is 0.02, at most 0.02",
    ]
    assert verdict.model_digest == "sha256:model"


def test_overfitting_fails_the_gate_with_that_reason() -> None:
    found = evaluated().model_copy(update={"training": trained(0.999, 0.82)})
    verdict = judge(found, asking(absolute={"min_top1": 0.5, "max_overfitting": 0.1}))
    assert not verdict.passed
    assert verdict.reasons == [
        "Overfitting, training accuracy minus validation accuracy, is 0.179, more than 0.1",
    ]
    sound = evaluated().model_copy(update={"training": trained(0.9, 0.85)})
    assert judge(sound, asking(absolute={"max_overfitting": 0.1})).passed


def test_a_figure_that_nobody_knows_is_not_passed() -> None:
    verdict = judge(evaluated(), asking(absolute={"max_overfitting": 0.1, "max_robustness_loss": 0.5}))
    assert [check.value for check in verdict.checks] == [None, None]
    assert "is unknown, but max_overfitting = 0.1 asks for it" in verdict.reasons[0]


def test_the_worst_class_and_the_worst_change_count() -> None:
    found = evaluated().model_copy(
        update={
            "robustness_top1": 0.9,
            "robustness": [
                Robustness(change="darker", top1=0.88, agreement=0.9),
                Robustness(change="cropped", top1=0.7, agreement=0.8),
            ],
        }
    )
    verdict = judge(found, asking(absolute={"min_class_recall": 0.75, "max_robustness_loss": 0.25}))
    assert verdict.reasons == ["The recall of the worst class is 0.7, less than 0.75"]
    assert verdict.checks[1].value == pytest.approx(0.2)


def test_the_latency_that_counts_is_the_time_to_the_answer_not_the_cpu_of_the_asking_process() -> None:
    served = Latency(median_ms=40, p95_ms=60, cpu_ms=None, pictures=30, machine="aarch64")
    verdict = judge(evaluated().model_copy(update={"latency": served}), asking(absolute={"max_latency_ms": 20}))
    assert verdict.reasons == ["The median time to answer for one picture, in ms, is 40, more than 20"]
    in_process = served.model_copy(update={"median_ms": 15, "cpu_ms": 30})
    assert judge(evaluated().model_copy(update={"latency": in_process}), asking(absolute={"max_latency_ms": 20})).passed


def test_the_serving_model_must_not_be_better_by_more_than_allowed() -> None:
    asked = asking(relative={"max_top1_loss": 0.15})
    assert judge(evaluated(), asked, compared(old_hits=9, new_hits=8)).passed
    assert judge(evaluated(), asked, compared(old_hits=5, new_hits=9)).passed
    verdict = judge(evaluated(), asked, compared(old_hits=9, new_hits=7))
    assert verdict.reasons == ["Top-1 lost against the serving model is 0.2, more than 0.15"]
    assert verdict.serving == "models/shells 17"


def test_classes_that_got_worse_and_agreement_can_be_asked_for() -> None:
    verdict = judge(
        evaluated(), asking(relative={"max_worse_share": 0.5, "min_agreement": 0.9}), compared(old_hits=9, new_hits=8)
    )
    assert [check.passed for check in verdict.checks] == [False, True]


def test_where_nothing_serves_the_relative_thresholds_are_noted_and_do_not_fail() -> None:
    verdict = judge(evaluated(), asking(absolute={"min_top1": 0.5}, relative={"max_top1_loss": 0.0}))
    assert verdict.passed
    assert verdict.notes == ["Nothing serves yet: max_top1_loss did not apply."]


def test_a_verdict_reads_back_as_it_was_written(tmp_path: Path) -> None:
    verdict = judge(evaluated(), asking(absolute={"min_top1": 0.95}))
    write_verdict(verdict, tmp_path)
    assert load_verdict(tmp_path) == verdict
    assert load_verdict(tmp_path / "elsewhere") is None
    (tmp_path / "gate.json").write_text("{")
    with pytest.raises(JudgementError, match="cannot be read"):
        load_verdict(tmp_path)


# --- Thresholds -------------------------------------------------------------------------------------------------


def test_the_usual_thresholds_ask_for_what_spoils_a_model() -> None:
    usual = read_thresholds(DEFAULT)
    assert usual.absolute.max_overfitting == 0.15
    assert usual.relative.max_top1_loss == 0.01


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[absolute]\nmin_top_1 = 0.8",
            r"absolute.min_top_1: Extra inputs are not permitted. The thresholds are min_pict",
        ),
        ("[absolute]\nmin_top1 = 80", "absolute.min_top1: Input should be less than or equal to 1"),
        ("[absolut]\nmin_top1 = 0.8", "absolut: Extra inputs"),
        ("min_top1 = ", "is not valid TOML"),
        ("", "has no threshold"),
    ],
)
def test_what_is_no_gate_is_told_in_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "gates.toml").write_text(text)
    with pytest.raises(JudgementError, match=sentence):
        read_thresholds(tmp_path / "gates.toml")


def test_a_file_of_thresholds_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(JudgementError, match="cannot be read: No such file"):
        read_thresholds(tmp_path / "gates.toml")


# --- The verb ---------------------------------------------------------------------------------------------------


def test_the_verb_ends_with_1_where_the_gate_is_not_passed(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text(evaluated().model_dump_json())
    (tmp_path / "gates.toml").write_text("[absolute]\nmin_top1 = 0.95\nmax_ece = 0.1")
    words = ["gate", str(tmp_path), "--gates", str(tmp_path / "gates.toml"), "--serving", str(tmp_path / "models")]
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 1
    assert answer.stdout.splitlines() == [
        "FAILED  Top-1 accuracy is 0.9, less than 0.95",
        "passed  The calibration error (ECE) is 0.02, at most 0.1",
        "The gate is not passed.",
    ]
    (tmp_path / "gates.toml").write_text("[absolute]\nmin_top1 = 0.5")
    assert CliRunner().invoke(app, words).exit_code == 0


def test_the_verb_has_no_verdict_on_what_was_not_evaluated(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["gate", str(tmp_path)])
    assert isinstance(answer.exception, JudgementError)
    assert answer.exception.exit_code == 2


@pytest.mark.parametrize(("pictures", "passed"), [(34, True), (1000, False)])
def test_a_figure_that_scatters_may_miss_its_threshold_by_chance(pictures: int, passed: bool) -> None:
    found = evaluated(ece=0.15)
    found = found.model_copy(update={"data": found.data.model_copy(update={"pictures": pictures})})
    verdict = judge(found, asking(absolute={"max_ece": 0.1, "min_top1": 0.5}))
    assert verdict.passed is passed
    why = "as chance explains" if passed else "by more than chance"
    assert f"The calibration error (ECE) is 0.15, more than 0.1, {why} on {pictures:,} pictures" in [
        check.sentence for check in verdict.checks
    ]
