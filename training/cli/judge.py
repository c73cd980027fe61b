"""`evaluate`, `gate` and `compare`: how good is a model, and may it serve?"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.cli.data import Also
from training.console import progress_bars, show

if TYPE_CHECKING:  # these imports would slow --help down
    from training.judge.comparison import Comparison
    from training.judge.gate import Verdict

app = typer.Typer()


class InputRange(StrEnum):
    """What a colour channel spans in the input of a model that does not describe itself; as `GATEWAY_INPUT_RANGE`."""

    UNIT = "0..1"
    SIGNED = "-1..1"
    BYTES = "0..255"


Labels = Annotated[
    Path | None,
    typer.Option(
        help="Label file of a model that does not describe itself, in output order: one class per line, or a CSV."
    ),
]
Range = Annotated[InputRange, typer.Option(help="What a colour channel spans in the input of such a model.")]
Split = Annotated[
    str,
    typer.Option(help="train, val or test; by default test where there is one, else all pictures.", show_default=False),
]
Gates = Annotated[Path | None, typer.Option(help="TOML file of thresholds; training/judge/default.toml by default.")]

Strangers = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Folder of pictures that show something else, to see how many pass.", show_default=False
    ),
]

LINES_SHOWN = 10


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder of a run, or any model that `compare` takes.")],
    pictures: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Labelled pictures; by default those of the run.")
    ] = None,
    split: Split = "",
    also: Also = None,
    labels: Labels = None,
    input_range: Range = InputRange.UNIT,
    report: Annotated[
        Path | None, typer.Option(help="Folder for the report; by default that of the run.", show_default=False)
    ] = None,
    strangers: Strangers = None,
    robustness: Annotated[
        int, typer.Option(min=0, help="Pictures to change slightly and classify again; 0 skips this.")
    ] = 200,
) -> None:
    """Measure how good a model is, on pictures that it was not trained on.

    It measures top-1 and top-5 accuracy; precision, recall and F1, per class and
    averaged; confusion between classes; calibration before and after the
    temperature; robustness to small changes of the upload (JPEG quality, crop,
    brightness, EXIF); and latency. The worst mistakes are shown as pictures:

        python -m training evaluate runs/shells

    It writes evaluation.json, evaluation.html and model_card.md into the folder
    of the run, or into --report, which is required for a model that is not a run.
    """
    from training.errors import JudgementError
    from training.judge import examples
    from training.judge.evaluate import Subject, evaluate_model, of_run, write_evaluation
    from training.judge.sources import Foreign, opened
    from training.learn import runs
    from training.reports.files import check_place

    run = (Path(model) / runs.RECORD).is_file()
    folder = report or (Path(model) if run else None)
    source_of_pictures = pictures or (Path(model) if run else None)
    if folder is None or source_of_pictures is None:
        raise JudgementError(
            f"{model} is not a run: give labelled pictures (DIR) and a folder for the report (--report)."
        )
    check_place(folder)
    chosen = examples.of(source_of_pictures, split, also or ())
    subject = Subject(
        str(source_of_pictures), split, of_run(Path(model)) if run else None, tuple(also or ()), strangers
    )
    with opened(model, Foreign(labels, input_range.value)) as source, progress_bars() as bar:
        result = evaluate_model(source, chosen, subject, robustness_pictures=robustness, bar=bar)
    page = write_evaluation(result, folder)
    figures = result.evaluation.metrics
    low, high = result.evaluation.top1_interval
    show(f"top-1 {figures['top1']:.3f} (95 %: {low:.3f} to {high:.3f}) on {len(chosen):,} pictures")
    show(f"top-5 {figures['top5']:.3f}, macro F1 {figures['macro_f1']:.3f}, ECE {figures['ece']:.3f}")
    show(f"Look at {page}")


@app.command()
def gate(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run, or of the report that `evaluate` wrote.")
    ],
    gates: Gates = None,
    serving: Annotated[
        str, typer.Option(help="The model that serves now, as `compare` takes it; `none` for no comparison.")
    ] = "models/my_model",
    labels: Labels = None,
    input_range: Range = InputRange.UNIT,
) -> None:
    """Decide by thresholds whether a model may serve; writes gate.json with the reasons.

    Some thresholds are absolute; others are relative to the model that serves
    now, which is asked about the same pictures. To use your own, copy
    training/judge/default.toml and change it:

        python -m training gate runs/shells --gates gates.toml

    Exit status: 0 if every threshold is met, 1 if not, 2 if there is no verdict.
    A threshold on an unknown figure is not met.
    """
    from training.judge.gate import pass_gate
    from training.judge.sources import Foreign
    from training.judge.thresholds import DEFAULT, read_thresholds

    asked = read_thresholds(gates or DEFAULT)
    with progress_bars() as bar:
        foreign = Foreign(labels, input_range.value)
        verdict = pass_gate(folder, asked, None if serving == "none" else serving, foreign=foreign, bar=bar)
    show_verdict(verdict)
    raise typer.Exit(0 if verdict.passed else 1)


def show_verdict(verdict: "Verdict") -> None:
    """Print every check, failed ones first."""
    for check in sorted(verdict.checks, key=lambda check: check.passed):
        show(f"{'passed' if check.passed else 'FAILED'}  {check.sentence}")
    for note in verdict.notes:
        show(f"note    {note}")
    show("The gate is passed." if verdict.passed else "The gate is not passed.")


@app.command()
def compare(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The model that serves now.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The model that might replace it.")],
    pictures: Annotated[Path, typer.Argument(metavar="DIR", help="Labelled pictures: a data set or a run.")],
    split: Split = "",
    also: Also = None,
    labels: Labels = None,
    input_range: Range = InputRange.UNIT,
    report: Annotated[Path | None, typer.Option(help="Folder for comparison.json and comparison.html.")] = None,
) -> None:
    """Compare the answers of two models to the same pictures.

    OLD and NEW are each one of

        runs/shells                              a run
        model.keras, model.h5                    a Keras file, with --labels
        models/my_model, models/my_model/17      a served model or one version
        http://localhost:8080                    a gateway, which gets the files
        http://localhost:8501/v1/models/shells   a replica, which gets the pixels

    It reports how often the two agree; both accuracies, with a confidence
    interval of the difference (paired bootstrap) and McNemar's test; classes that
    got worse; and pictures whose answer changed.

        python -m training compare models/my_model runs/shells runs/shells
    """
    from training.judge import examples
    from training.judge.compare import compare_models, write_comparison
    from training.judge.sources import Foreign, opened
    from training.reports.files import check_place

    if report:
        check_place(report)
    foreign = Foreign(labels, input_range.value)
    chosen = examples.of(pictures, split, also or ())
    with opened(old, foreign) as before, opened(new, foreign) as after, progress_bars() as bar:
        comparison = compare_models(before, after, chosen, bar=bar)
    _show_comparison(comparison)
    if report:
        show(f"Look at {write_comparison(comparison, chosen, report)[1]}")


def _show_comparison(comparison: "Comparison") -> None:
    interval = f"95 % between {comparison.low:+.3f} and {comparison.high:+.3f}"
    show(f"{comparison.pictures:,} pictures, {comparison.agreement:.1%} with the same answer")
    show(f"top-1 {comparison.old_top1:.3f} -> {comparison.new_top1:.3f}: {comparison.difference:+.3f}, {interval}")
    show(f"{comparison.verdict} McNemar's p: {comparison.p_value:.3g}")
    show(f"largest difference of a probability: {comparison.largest_gap:.2g}")
    for change in comparison.worse[:LINES_SHOWN]:
        show(f"worse   {change.label}: {change.old_hits} -> {change.new_hits} of {change.pictures}")
    for flip in comparison.flips[:LINES_SHOWN]:
        show(f"flipped {flip.file}: {flip.old} -> {flip.new}, {flip.kind}")
