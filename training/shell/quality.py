"""Verbs that say how good a model is."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.console import progress_bars, show

if TYPE_CHECKING:  # they would make --help wait
    from training.comparison import Comparison
    from training.gate import Verdict

app = typer.Typer()


class InputRange(StrEnum):
    """What a model of somebody else's expects a colour channel to span; as `GATEWAY_INPUT_RANGE`."""

    UNIT = "0..1"
    SIGNED = "-1..1"
    BYTES = "0..255"


Labels = Annotated[
    Path | None, typer.Option(help="Label map of a model that does not tell its labels: a name a line, in its order.")
]
Range = Annotated[InputRange, typer.Option(help="What such a model expects a colour channel to span.")]
Split = Annotated[str, typer.Option(help="train, val or test; without it test where there is one, else all.")]

Report = Annotated[Path | None, typer.Option(help="Folder to write to.")]

LINES_SHOWN = 10


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run's folder; or any model that compare takes.")],
    pictures: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Labelled pictures; a run's own where none are given.")
    ] = None,
    split: Split = "",
    labels: Labels = None,
    input_range: Range = InputRange.UNIT,
    report: Report = None,
    robustness: Annotated[
        int, typer.Option(min=0, help="Pictures that are changed a little and asked again; 0 leaves this out.")
    ] = 200,
) -> None:
    """Say how good and how honest a model is, on pictures it has not learnt from.

    Told are top-1, top-5, precision, recall and F1 by class and on average,
    what is mixed up with what, calibration before and after, what small
    changes of the upload do (JPEG quality, crop, brightness, EXIF), CPU
    latency, and the worst mistakes as pictures:

        python -m training evaluate runs/shells

    Writes evaluation.json, evaluation.html and model_card.md into the run's
    folder, or into --report, which a model that is no run needs.
    """
    from training import evaluation, examples, runs
    from training.errors import JudgementError
    from training.reports.files import check_place
    from training.sources import Foreign, opened

    run = (Path(model) / runs.RECORD).is_file()
    folder = report or (Path(model) if run else None)
    source_of_pictures = pictures or (Path(model) if run else None)
    if folder is None or source_of_pictures is None:
        raise JudgementError(f"{model} is no run: name the pictures (DIR) and a folder for the report (--report).")
    check_place(folder)
    chosen = examples.of(source_of_pictures, split)
    subject = evaluation.Subject(str(source_of_pictures), split, evaluation.of_run(Path(model)) if run else None)
    with opened(model, Foreign(labels, input_range.value)) as source, progress_bars() as bar:
        result = evaluation.evaluate(source, chosen, subject, robustness_pictures=robustness, bar=bar)
    page = evaluation.write(result, folder)
    figures = result.evaluation.metrics
    low, high = result.evaluation.top1_interval
    show(f"top-1 {figures['top1']:.3f} (95 %: {low:.3f} to {high:.3f}) on {len(chosen):,} pictures")
    show(f"top-5 {figures['top5']:.3f}, macro F1 {figures['macro_f1']:.3f}, ECE {figures['ece']:.3f}")
    show(f"Look at {page}")


@app.command()
def gate(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or where evaluate has reported.")],
    gates: Annotated[Path | None, typer.Option(help="Thresholds, TOML; usual ones where none are given.")] = None,
    serving: Annotated[str, typer.Option(help="The model that serves now, as compare takes it; none for nothing.")] = (
        "models/my_model"
    ),
    labels: Labels = None,
    input_range: Range = InputRange.UNIT,
) -> None:
    """Say whether a model may serve, with reasons; writes gate.json.

    The thresholds are absolute, and relative to the model that serves now,
    which is asked about the same pictures. The usual ones are in
    training/gate/default.toml: copy that file and change it.

        python -m training gate runs/shells --gates gates.toml

    Ends with 0 if the gate is passed, with 1 if not, and with 2 if there is
    no verdict. A threshold on something unknown is not passed.
    """
    from training.gate import DEFAULT, thresholds
    from training.gate.passing import pass_gate
    from training.sources import Foreign

    asked = thresholds(gates or DEFAULT)
    with progress_bars() as bar:
        foreign = Foreign(labels, input_range.value)
        verdict = pass_gate(folder, asked, None if serving == "none" else serving, foreign=foreign, bar=bar)
    told_verdict(verdict)
    raise typer.Exit(0 if verdict.passed else 1)


def told_verdict(verdict: "Verdict") -> None:
    """Every check, failed ones first."""
    for check in sorted(verdict.checks, key=lambda check: check.passed):
        show(f"{'passed' if check.passed else 'FAILED'}  {check.sentence}")
    for note in verdict.notes:
        show(f"note    {note}")
    show("The gate is passed." if verdict.passed else "The gate is not passed.")


@app.command()
def compare(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The model that serves now.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The one that might replace it.")],
    pictures: Annotated[Path, typer.Argument(metavar="DIR", help="Labelled pictures: a data set or a run's folder.")],
    split: Split = "",
    labels: Labels = None,
    input_range: Range = InputRange.UNIT,
    report: Annotated[Path | None, typer.Option(help="Folder for comparison.json and comparison.html.")] = None,
) -> None:
    """Ask two models about the same pictures and say what differs.

    OLD and NEW may each be

        runs/shells                              a run
        model.keras, model.h5                    a Keras file, with --labels
        models/my_model, models/my_model/17      a served model, one version
        http://localhost:8080                    a gateway: it gets the files
        http://localhost:8501/v1/models/shells   a replica: it gets the pixels

    Told are how often they agree, both accuracies with a confidence interval
    of the difference (paired bootstrap) and McNemar's test, classes that got
    worse, and pictures whose answer flipped.

        python -m training compare models/my_model runs/shells runs/shells
    """
    from training import examples
    from training.comparison import compare as run
    from training.comparison import comparing
    from training.reports.files import check_place
    from training.sources import Foreign, opened

    if report:
        check_place(report)
    foreign = Foreign(labels, input_range.value)
    chosen = examples.of(pictures, split)
    with opened(old, foreign) as before, opened(new, foreign) as after, progress_bars() as bar:
        comparison = run(before, after, chosen, bar=bar)
    show(f"{comparison.pictures:,} pictures, {comparison.agreement:.1%} with the same answer")
    show(f"top-1 {comparison.old_top1:.3f} -> {comparison.new_top1:.3f}: {_difference(comparison)}")
    show(f"{comparison.verdict} McNemar's p: {comparison.p_value:.3g}")
    show(f"largest difference of a probability: {comparison.largest_gap:.2g}")
    for change in comparison.worse[:LINES_SHOWN]:
        show(f"worse   {change.label}: {change.old_hits} -> {change.new_hits} of {change.pictures}")
    for flip in comparison.flips[:LINES_SHOWN]:
        show(f"flipped {flip.file}: {flip.old} -> {flip.new}, {flip.kind}")
    if report:
        show(f"Look at {comparing.write(comparison, chosen, report)[1]}")


def _difference(comparison: "Comparison") -> str:
    return f"{comparison.difference:+.3f}, 95 % between {comparison.low:+.3f} and {comparison.high:+.3f}"
