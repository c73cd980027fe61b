"""A gate from beginning to end: what `evaluate` left, the model that serves now, the verdict."""

from pathlib import Path

from training import examples, versions
from training.comparison import Comparison, compare
from training.console import NewBar, no_bar
from training.errors import JudgementError
from training.evaluation.record import Evaluation
from training.evaluation.record import load as load_evaluation
from training.gate.thresholds import Thresholds
from training.gate.verdict import Verdict, judge, write
from training.learn import runs
from training.sources import Foreign, opened


def pass_gate(
    folder: Path,
    thresholds: Thresholds,
    serving: str | None,
    *,
    foreign: Foreign = Foreign(),  # noqa: B008 - immutable
    bar: NewBar = no_bar,
) -> Verdict:
    """Judge the model of a folder and write gate.json there.

    Args:
        folder: where `evaluate` has written: a run's, or a report's.
        serving: the model that serves, named as for `compare`; a served folder without a version, or None, is nothing.
        foreign: of models that do not describe themselves.

    Raises:
        JudgementError: nothing was evaluated, or the models cannot be asked.
    """
    evaluation = load_evaluation(folder)
    comparison = _compared(evaluation, serving, foreign, bar) if serving and _serves(serving) else None
    verdict = judge(evaluation, thresholds, comparison)
    write(verdict, folder)
    return verdict


def _serves(named: str) -> bool:
    """A folder that is to be served from, and is missing or has no version yet, is nothing to compare with."""
    path = Path(named)
    if "://" in named or path.is_file() or (path / "saved_model.pb").exists() or (path / runs.RECORD).exists():
        return True
    return bool(versions.present(path))


def _compared(evaluation: Evaluation, serving: str, foreign: Foreign, bar: NewBar) -> Comparison:
    pictures = examples.of(Path(evaluation.data.source), evaluation.data.split)
    with opened(serving, foreign) as old, opened(evaluation.model.name, foreign) as new:
        if evaluation.model.digest and evaluation.model.digest != new.facts.digest:
            raise JudgementError(f"{evaluation.model.name} has changed since it was evaluated: evaluate it again.")
        return compare(old, new, pictures, bar=bar)
