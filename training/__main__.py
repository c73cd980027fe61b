"""`python -m training VERB`: everything that happens to a model before a replica serves it."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from training.console import notify, progress_bars
from training.errors import TrainingError
from training.shell import quality, release, teaching

app = typer.Typer(
    help="Make models for Specimen, from pictures to a version that replicas serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(teaching.app)
app.add_typer(quality.app)
app.add_typer(release.app)


@app.callback()
def training() -> None:
    """Quiet TensorFlow before any verb imports it; each verb imports what it needs, so that --help is quick."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@app.command()
def demo(
    models: Annotated[Path, typer.Option(help="Folder of served models; made where it is missing.")] = Path("models"),
    name: Annotated[str, typer.Option(help="The model's name, as replicas and clients call it.")] = "my_model",
    force: Annotated[bool, typer.Option("--force", help="Export even if the model has a version already.")] = False,
    retrain: Annotated[
        bool,
        typer.Option("--retrain", help="Draw and train anew instead (40 minutes on 2 cores): rewrites the weights."),
    ] = False,
) -> None:
    """Put a small model into models/NAME, so that there is something to serve. Takes seconds.

    It knows drawn pictures of 137 specimens. It is there to show the whole line from upload to answer and to test
    it; on real photos its names mean nothing. See its pictures with:

        python -c "from training.drawings import draw; draw(14, seed=1).show()"

    With --retrain the weights are made again, by the recipe in training/demo/retrain.py, and nothing is exported.
    """
    if retrain:
        from training.demo.retrain import retrain as run

        with progress_bars() as bar:
            run(notify=notify, bar=bar)
    else:
        from training.demo.provide import provide

        provide(models / name, force=force, notify=notify)


@app.command()
def validate(
    data_set: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set, or a CSV.")],
    report: Annotated[Path, typer.Option(help="Folder for the report; made where it is missing.")] = Path(
        "validation-report"
    ),
    labels: Annotated[
        Path | None, typer.Option(help="Label map that the classes must fit: a file with a name a line.")
    ] = None,
    min_per_class: Annotated[int, typer.Option(min=1, help="Warn of classes with fewer pictures.")] = 10,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode: one a core where not given, 0 for none.")
    ] = None,
) -> None:
    """Find what would spoil training in labelled photos. Changes nothing in DIR.

    DIR holds a folder per class (DIR/crab/1.jpg); or train, test and perhaps val
    with a folder per class in each (DIR/train/crab/1.jpg); or a CSV with the
    columns file, label and, if you like, split.

    Found are files that cannot be read; the same picture twice, exactly or
    nearly, above all under two labels or in two splits; small and uneven classes;
    blank, tiny and stretched pictures; names that do not fit. The report is a
    page to look at, validation.html, and a file for programs, validation.json:

        python -m training validate photos --labels labels.txt --report reports

    Ends with 0 if there are no errors, though there may be warnings; with 1 if
    there are errors; with 2, and nothing written, if it cannot run.
    """
    from training.validation.shell import run

    raise typer.Exit(run(data_set, report, labels=labels, min_per_class=min_per_class, workers=workers))


def main() -> None:
    try:
        app()
    except (TrainingError, OSError) as error:
        notify(f"training: {error}")
        sys.exit(error.exit_code if isinstance(error, TrainingError) else 1)


if __name__ == "__main__":
    main()
