"""May a model serve? From an evaluation and thresholds to a verdict with reasons, gate.json.

The rule: a figure with a threshold must be known and must meet it. An unknown figure fails. There are two exceptions.
Nothing is compared with the serving model where nothing serves yet. And calibration error, robustness and wrong sure
answers scatter widely on few pictures, so they may miss their thresholds by as much as chance explains.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from pydantic import BaseModel, ValidationError

from training import versions
from training.console import NewBar, no_bar
from training.errors import JudgementError
from training.judge import examples
from training.judge.compare import compare_models
from training.judge.comparison import Comparison
from training.judge.evaluation import Evaluation, load_evaluation
from training.judge.sources import Foreign, Source, opened
from training.judge.thresholds import Thresholds
from training.learn import runs
from training.reports.files import write_files

FILE = "gate.json"
METRICS = {
    "pictures": "the number of pictures",
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "macro_precision": "precision, averaged over the classes,",
    "macro_recall": "recall, averaged over the classes,",
    "macro_f1": "F1, averaged over the classes,",
    "ece": "the calibration error (ECE)",
    "sure": "the share of pictures that it is sure of",
    "sure_wrong": "the share of wrong ones among the statements that it is sure of",
    "strangers_sure": "the share of pictures of other things that it is sure of",
}
"""Names for sentences."""
BY_CHANCE = 1.64
"""Standard errors that a figure misses its threshold by in one of twenty cases. Of 40 splits of 224 photos, 34 of them
for testing, a calibration error above 0.1 was found in 14, at a mean of 0.09."""


class Check(BaseModel):
    """One threshold and whether it is met."""

    name: str
    """As in the TOML file."""
    threshold: float
    value: float | None
    """None: unknown."""
    passed: bool
    sentence: str


class Verdict(BaseModel):
    """Whether a model may serve."""

    passed: bool
    model: str
    model_digest: str
    """Of the judged Keras file: the verdict holds for no other."""
    serving: str
    """The model it was compared with; empty for none."""
    evaluated: str
    """Time of the evaluation."""
    checks: list[Check]
    notes: list[str] = []

    @property
    def reasons(self) -> list[str]:
        """The sentences of the failed checks."""
        return [check.sentence for check in self.checks if not check.passed]


def judge(evaluation: Evaluation, thresholds: Thresholds, comparison: Comparison | None = None) -> Verdict:
    """Judge a model.

    Args:
        comparison: with the serving model as OLD; None where nothing serves.
    """
    checks = [*_absolute(evaluation, thresholds)]
    asked = [name for name, value in thresholds.relative if value is not None]
    notes = []
    if comparison:
        checks += _relative(comparison, thresholds)
    elif asked:
        notes.append(f"Nothing serves yet: {', '.join(asked)} did not apply.")
    return Verdict(
        passed=all(check.passed for check in checks),
        model=evaluation.model.name,
        model_digest=evaluation.model.digest,
        serving=f"{comparison.old} {comparison.old_version}".strip() if comparison else "",
        evaluated=evaluation.created,
        checks=checks,
        notes=notes,
    )


def pass_gate(
    folder: Path,
    thresholds: Thresholds,
    serving: str | None,
    *,
    model: Source | None = None,
    foreign: Foreign = Foreign(),  # noqa: B008 - immutable
    bar: NewBar = no_bar,
) -> Verdict:
    """Judge the model of a folder and write gate.json there.

    Args:
        folder: with evaluation.json: that of a run or of a report.
        serving: the model that serves, named as for `compare`; None, or a served folder without versions, for none.
        model: the judged one, where it is open already.
        foreign: for models that do not describe themselves.

    Raises:
        JudgementError: there is no evaluation, or a model does not answer.
    """
    evaluation = load_evaluation(folder)
    comparison = _compared(evaluation, serving, model, foreign, bar) if serving and _serves(serving) else None
    verdict = judge(evaluation, thresholds, comparison)
    write_verdict(verdict, folder)
    return verdict


def _serves(named: str) -> bool:
    """Whether a model serves there: a served folder that is missing or has no version is nothing to compare with."""
    path = Path(named)
    if "://" in named or path.is_file() or (path / "saved_model.pb").exists() or (path / runs.RECORD).exists():
        return True
    return bool(versions.present(path))


def _compared(evaluation: Evaluation, serving: str, model: Source | None, foreign: Foreign, bar: NewBar) -> Comparison:
    data = evaluation.data
    pictures = examples.of(Path(data.source), data.split, [Path(folder) for folder in data.also])
    judged = nullcontext(model) if model else opened(evaluation.model.name, foreign)
    with opened(serving, foreign) as old, judged as new:
        if evaluation.model.digest and evaluation.model.digest != new.facts.digest:
            raise JudgementError(f"{evaluation.model.name} has changed since its evaluation: evaluate it again.")
        return compare_models(old, new, pictures, bar=bar)


def write_verdict(verdict: Verdict, folder: Path) -> Path:
    """Write gate.json; returns it.

    Raises:
        DataSetError: the folder cannot be written.
    """
    write_files(folder, {FILE: verdict.model_dump_json(indent=1) + "\n"})
    return folder / FILE


def load_verdict(folder: Path) -> Verdict | None:
    """The verdict in a folder; None where there is none.

    Raises:
        JudgementError: it cannot be read.
    """
    try:
        return Verdict.model_validate_json((folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as cause:
        raise JudgementError(f"{folder / FILE} cannot be read: run `gate` again.") from cause


def _absolute(evaluation: Evaluation, thresholds: Thresholds) -> Iterator[Check]:
    recalls = [of_class.recall for of_class in evaluation.classes if of_class.recall is not None]
    training = evaluation.training
    figures: dict[str, tuple[str, float | None]] = {
        "min_class_recall": ("the recall of the worst class", min(recalls, default=None)),
        "max_overfitting": (
            "overfitting, training accuracy minus validation accuracy,",
            training.overfitting if training else None,
        ),
        "max_robustness_loss": ("top-1 lost to a small change of the upload", evaluation.robustness_loss),
        "max_latency_ms": (
            "the median time to answer for one picture, in ms,",
            evaluation.latency.median_ms if evaluation.latency else None,
        ),
    }
    scattering = {
        "max_ece": evaluation.data.pictures,
        "max_robustness_loss": evaluation.robustness_pictures,
        "max_sure_wrong": evaluation.sureness.sure if evaluation.sureness else 0,
    }
    for name, threshold in thresholds.absolute:
        if threshold is not None:
            plain = name.partition("_")[2]
            what, value = figures.get(name, (METRICS.get(plain, plain), evaluation.metrics.get(plain)))
            yield _check(name, what, value, threshold, pictures=scattering.get(name, 0))


def _relative(comparison: Comparison, thresholds: Thresholds) -> Iterator[Check]:
    figures = {
        "max_top1_loss": ("top-1 lost against the serving model", max(0.0, -comparison.difference)),
        "max_worse_share": (
            "the share of classes that got worse than with the serving model",
            len(comparison.worse) / comparison.tested_classes,
        ),
        "min_agreement": ("the agreement with the serving model", comparison.agreement),
    }
    for name, threshold in thresholds.relative:
        if threshold is not None:
            yield _check(name, *figures[name], threshold)


def _check(name: str, what: str, value: float | None, threshold: float, *, pictures: int = 0) -> Check:
    """One threshold.

    Args:
        pictures: on which the figure was measured, if it scatters; 0 if it does not.
    """
    least = name.startswith("min_")
    if value is None:
        sentence, passed = f"{what} is unknown, but {name} = {threshold:g} asks for it", False
    else:
        passed = value >= threshold if least else value <= threshold
        word = ("at least" if least else "at most") if passed else ("less than" if least else "more than")
        sentence = f"{what} is {value:.4g}, {word} {threshold:g}"
        if not passed and pictures:
            passed = value <= threshold + BY_CHANCE * (threshold * (1 - threshold) / pictures) ** 0.5
            sentence += f", {'as chance explains' if passed else 'by more than chance'} on {pictures:,} pictures"
    sentence = sentence[0].upper() + sentence[1:]
    return Check(name=name, threshold=threshold, value=value, passed=passed, sentence=sentence)
