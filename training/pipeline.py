"""From a finished run to a version that serves: evaluate, gate, export, promote; each step as its verb does it."""

from pathlib import Path
from typing import NamedTuple

from training import releases
from training.console import NewBar, Notify, no_bar, silent
from training.exporting import export_model
from training.judge.evaluate import ROBUSTNESS_PICTURES, evaluate_run, write_evaluation
from training.judge.gate import Verdict, pass_gate
from training.judge.sources import Foreign
from training.judge.thresholds import Thresholds
from training.releases import Release
from training.reports.files import check_place


class Outcome(NamedTuple):
    """What became of a run."""

    verdict: Verdict
    version: Path | None
    """None: the gate was not passed and nothing was exported."""
    release: Release | None


def release_run(
    run: Path,
    base: Path,
    thresholds: Thresholds,
    *,
    force: bool = False,
    foreign: Foreign = Foreign(),  # noqa: B008 - immutable
    robustness_pictures: int = ROBUSTNESS_PICTURES,
    notify: Notify = silent,
    bar: NewBar = no_bar,
) -> Outcome:
    """Judge a run and, where it passes, make it the version that serves.

    Args:
        run: the folder of a finished run.
        base: `models/NAME`; what serves from there is what the run is compared with.
        thresholds: of the gate.
        foreign: of a serving model that does not describe itself.
        force: release it even if the gate is not passed; the version says so for ever.

    Raises:
        TrainingError: a step could not be done; what those before it wrote stays.
    """
    check_place(run)
    releases.check_place(base)
    notify("Evaluating the run on the pictures that it kept for testing")
    write_evaluation(evaluate_run(run, robustness_pictures=robustness_pictures, bar=bar), run)
    notify(f"Comparing it with what serves from {base}, and judging it")
    verdict = pass_gate(run, thresholds, str(base), foreign=foreign, bar=bar)
    if not verdict.passed and not force:
        return Outcome(verdict, None, None)
    version = export_model(run, base, force=force, notify=notify)
    return Outcome(verdict, version, releases.promote(base, int(version.name)))
