"""The verb that teaches."""

from pathlib import Path
from typing import Annotated

import typer

from training.console import notify, progress_bars

app = typer.Typer()


@app.command()
def train(
    data_set: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set, or a CSV.")],
    run: Annotated[
        Path | None, typer.Option(help="Folder of the run; runs/ and the moment of its start where not given.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Label map: a name a line, in the order of the outputs. Sorted if not given.")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="Of the body: imagenet, none, or a file (Keras' .h5, a run's model.keras).")
    ] = "imagenet",
    width: Annotated[float, typer.Option(help="Of MobileNetV2: 1.0 is the published one, 0.35 a small one.")] = 1.0,
    sizes: Annotated[
        str, typer.Option(metavar="PX,…", help="Side of the pictures in each phase: 32, 56, 112, 224; the last stays.")
    ] = "",
    epochs: Annotated[str, typer.Option(metavar="N,…", help="Epochs of each phase; 0.5 is half a one.")] = "",
    rates: Annotated[str, typer.Option(metavar="RATE,…", help="Highest learning rate of each phase.")] = "",
    batch: Annotated[int, typer.Option(help="Pictures a step.")] = 32,
    dropout: Annotated[float, typer.Option(help="Share of the features dropped while learning.")] = 0.2,
    label_smoothing: Annotated[float, typer.Option(help="Share of certainty spread over all classes.")] = 0.1,
    augment: Annotated[str, typer.Option(help="none, mirror, or standard: turned, shifted, nearer, lighter, too.")] = (
        "standard"
    ),
    class_weights: Annotated[str, typer.Option(help="balanced: small classes have more say; or none.")] = "balanced",
    patience: Annotated[int, typer.Option(help="Epochs without a better one after which a phase ends.")] = 6,
    val_share: Annotated[float, typer.Option(help="Of pictures to choose by, where DIR has no val.")] = 0.15,
    test_share: Annotated[float, typer.Option(help="Of pictures to test with, where DIR has no test.")] = 0.15,
    groups: Annotated[
        str | None,
        typer.Option(help="What must stay in one split: folder (below the class), or a pattern in the file's name."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides all that is left to chance.")] = 0,
    precision: Annotated[str, typer.Option(help="float32, or on a GPU mixed_float16 or mixed_bfloat16.")] = "float32",
    distribute: Annotated[
        str, typer.Option(help="none: one device; mirrored: all GPUs here; workers: all machines of TF_CONFIG.")
    ] = "none",
    cache: Annotated[Path, typer.Option(help="Folder of preprocessed pictures, which all runs share.")] = Path(
        "runs/.cache"
    ),
    checkpoint_steps: Annotated[int, typer.Option(help="Steps from one checkpoint to the next.")] = 200,
    workers: Annotated[int | None, typer.Option(help="Processes that decode: one a core where not given.")] = None,
) -> None:
    """Teach a MobileNetV2 what a folder of labelled photos shows.

    DIR is read as `validate` reads it; validate first. A split that DIR states is
    kept; what it lacks is drawn, class by class, and copies stay together.

    With the weights of ImageNet or of a file, the head learns first, then all of
    it at a low rate. With --weights none it begins with small pictures:

        python -m training train photos --run runs/first
        python -m training train photos --run runs/small --weights none --width 0.35

    Killed? Type the same again, with the same --run: it goes on where the last
    checkpoint is. What came of it is in the folder of the run: run.json, the list
    of pictures, model.keras, and curves for `tensorboard --logdir runs`.

    Ends with 2, and nothing changed, if the data or the folder will not do.
    """
    from training.options import moment, numbers, options

    chosen = options(
        data=data_set,
        labels=labels,
        weights=weights,
        width=width,
        sizes=numbers("sizes", sizes),
        epochs=numbers("epochs", epochs),
        rates=numbers("rates", rates),
        batch=batch,
        dropout=dropout,
        label_smoothing=label_smoothing,
        augment=augment,
        class_weights=class_weights,
        patience=patience,
        val_share=val_share,
        test_share=test_share,
        groups=groups,
        seed=seed,
        precision=precision,
        distribute=distribute,
        cache=cache,
        checkpoint_steps=checkpoint_steps,
        workers=workers,
    )
    from training import train as training

    with progress_bars() as bar:
        training.run(chosen, run or Path("runs") / moment(), notify=notify, bar=bar)
