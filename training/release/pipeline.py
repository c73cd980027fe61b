"""From a finished run to a version that serves: evaluate, gate, export and promote, each as its verb does it."""

from pathlib import Path
from typing import NamedTuple

from training.console import NewBar, Notify, no_bar, silent
from training.judge.evaluate import ROBUSTNESS_PICTURES, evaluate_run, write_evaluation
from training.judge.evaluation import Evaluation
from training.judge.gate import Verdict, pass_gate
from training.judge.sources import Foreign, opened
from training.judge.thresholds import Thresholds
from training.release import promotion
from training.release.export import export_model
from training.release.promotion import Release
from training.reports.files import check_place


class Outcome(NamedTuple):
    """The result of a release."""

    verdict: Verdict
    version: Path | None
    """None: the gate was not passed, and nothing was exported."""
    release: Release | None


def release_run(
    run: Path,
    base: Path,
    thresholds: Thresholds,
    *,
    force: bool = False,
    foreign: Foreign = Foreign(),  # noqa: B008 - immutable
    strangers: Path | None = None,
    robustness_pictures: int = ROBUSTNESS_PICTURES,
    notify: Notify = silent,
    bar: NewBar = no_bar,
) -> Outcome:
    """Judge a run and, if it passes, make it the version that serves.

    Args:
        run: the folder of a finished run.
        base: `models/NAME`; the run is compared with the model that serves from there.
        thresholds: of the gate.
        foreign: of a serving model that does not describe itself.
        strangers: folder of pictures that show something else than the run's classes.
        force: release it even if the gate is not passed; the version records this.

    Raises:
        TrainingError: a step failed; what the steps before it wrote stays.
    """
    check_place(run)
    promotion.check_place(base)
    with opened(run) as model:
        notify("Evaluating the run on its test pictures")
        judged = evaluate_run(run, source=model, strangers=strangers, robustness_pictures=robustness_pictures, bar=bar)
        write_evaluation(judged, run)
        notify(_in_words(judged.evaluation))
        notify(f"Comparing it with the model that serves from {base}, and judging it")
        verdict = pass_gate(run, thresholds, str(base), model=model, foreign=foreign, bar=bar)
        if not verdict.passed and not force:
            return Outcome(verdict, None, None)
        version = export_model(run, base, model=model, force=force, notify=notify)
    return Outcome(verdict, version, promotion.promote(base, int(version.name)))


def _in_words(found: Evaluation) -> str:
    pictures, sure = found.data.pictures, found.sureness
    sentence = f"{pictures:,} test pictures: right about {found.metrics['top1']:.0%}"
    if not sure or not sure.sure:
        return f"{sentence}, sure of none"
    return f"{sentence}; sure of {sure.sure / pictures:.0%}, of those right about {sure.right / sure.sure:.0%}"
