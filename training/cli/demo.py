"""`demo`: a model that needs no photos."""

from pathlib import Path
from typing import Annotated

import typer

from training.console import notify

app = typer.Typer()


@app.command()
def demo(
    models: Annotated[Path, typer.Option(help="Folder of the served models; created if missing.")] = Path("models"),
    name: Annotated[str, typer.Option(help="Name of the model for replicas and clients.")] = "my_model",
    everyday: Annotated[
        bool, typer.Option("--everyday", help="Answer with the thousand names of ImageNet instead.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Export even if the model already has a version.")] = False,
) -> None:
    """Export a model into models/NAME that needs no photos, so that there is something to serve. Takes seconds.

    It is EfficientNet-Lite0 as trained on ImageNet, from an installed package. The
    demo carries its probabilities over to 137 names of marine invertebrates by
    kinship: it names animals by family resemblance, and no photo of these species
    taught it. With --everyday it answers with ImageNet's own names.
    """
    from training.demo.provide import provide

    provide(models / name, everyday=everyday, force=force, notify=notify)
