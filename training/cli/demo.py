"""`demo`: the committed demo model."""

from pathlib import Path
from typing import Annotated

import typer

from training.console import notify, progress_bars

app = typer.Typer()


@app.command()
def demo(
    models: Annotated[Path, typer.Option(help="Folder of the served models; created if missing.")] = Path("models"),
    name: Annotated[str, typer.Option(help="Name of the model for replicas and clients.")] = "my_model",
    force: Annotated[bool, typer.Option("--force", help="Export even if the model already has a version.")] = False,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain", help="Draw the pictures and train the committed weights again; 40 minutes on 2 cores."
        ),
    ] = False,
) -> None:
    """Export a small demo model into models/NAME, so that there is something to serve. Takes seconds.

    The model knows drawn pictures of 137 specimens. It shows and tests the whole
    way from an upload to an answer; on real photos its labels mean nothing. To
    see one of its pictures:

        python -c "from training.drawings import draw; draw(14, seed=1).show()"

    --retrain makes the weights again by the recipe in training/demo/retrain.py
    and exports nothing.
    """
    if retrain:
        from training.demo.retrain import retrain as run

        with progress_bars() as bar:
            run(notify=notify, bar=bar)
    else:
        from training.demo.provide import provide

        provide(models / name, force=force, notify=notify)
