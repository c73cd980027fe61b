"""Verbs that say how good a model is."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from training.comparison.measures import Comparison
from training.shell.telling import steps, tell

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

LINES_SHOWN = 10


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
    from training import examples, reports
    from training.comparison import compare as run
    from training.comparison import comparing
    from training.sources import Foreign, opened

    if report:
        reports.check_place(report)
    foreign = Foreign(labels, input_range.value)
    chosen = examples.of(pictures, split)
    with opened(old, foreign) as before, opened(new, foreign) as after, steps() as step:
        comparison = run(before, after, chosen, step=step)
    tell(f"{comparison.pictures:,} pictures, {comparison.agreement:.1%} with the same answer")
    tell(f"top-1 {comparison.old_top1:.3f} -> {comparison.new_top1:.3f}: {_difference(comparison)}")
    tell(f"{comparison.verdict} McNemar's p: {comparison.p_value:.3g}")
    tell(f"largest difference of a probability: {comparison.largest_gap:.2g}")
    for change in comparison.worse[:LINES_SHOWN]:
        tell(f"worse   {change.label}: {change.old_hits} -> {change.new_hits} of {change.pictures}")
    for flip in comparison.flips[:LINES_SHOWN]:
        tell(f"flipped {flip.file}: {flip.old} -> {flip.new}, {flip.kind}")
    if report:
        tell(f"Look at {comparing.write(comparison, chosen, report)[1]}")


def _difference(comparison: Comparison) -> str:
    return f"{comparison.difference:+.3f}, 95 % between {comparison.low:+.3f} and {comparison.high:+.3f}"
