"""`export`, `promote`, `rollback`, `history` and `pipeline`: versions, and which one serves."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from training.cli.data import Also
from training.cli.judge import Gates, InputRange, Labels, Range, Strangers, show_verdict
from training.cli.learn import DataSet, Run, train_into, with_training_options
from training.console import notify, progress_bars, show, table
from training.learn.options import moment, options
from training.release import promotion

app = typer.Typer()

Models = Annotated[Path, typer.Option(help="Folder of the served models.")]
Name = Annotated[str, typer.Option(help="Name of the model for replicas and clients.")]
Gateway = Annotated[
    str | None,
    typer.Option(help="http://HOST:PORT of a running gateway: wait until all its replicas serve the version."),
]
Within = Annotated[float, typer.Option(min=0, help="Longest time to wait for them, in seconds.")]
Force = Annotated[
    bool, typer.Option("--force", help="Release the model even if the gate is not passed; the version records this.")
]

MODELS, NAME, WITHIN_S = Path("models"), "my_model", 120.0
ROBUSTNESS, FEW = 200, 20


@app.command()
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a run, a .keras or an .h5 file.")],
    models: Models = MODELS,
    name: Name = NAME,
    labels: Labels = None,
    input_range: Range = InputRange.UNIT,
    judged: Annotated[
        Path | None, typer.Option(help="Folder with the gate.json of a Keras file; a run has its own.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Labelled pictures to verify the version on; a run has its own.")
    ] = None,
    also: Also = None,
    samples: Annotated[
        Path | None, typer.Option(help="Folder of 1 to 8 pictures for pages to offer; they go out to every visitor.")
    ] = None,
    force: Force = False,
) -> None:
    """Export a model that has passed its gate as a version, models/NAME.versions/VERSION.

    The version is written to a temporary folder, read back as a replica reads it,
    compared with Keras on real pictures, and only then renamed into place. It
    does not serve before it is promoted.

        python -m training export runs/shells
        python -m training export old.h5 --labels labels.txt --input-range=-1..1 --force

    A run has its own label map; --labels gives its labels other names, groups
    and links.
    """
    from training.judge.sources import Foreign
    from training.release.export import export_model

    path = export_model(
        model,
        models / name,
        foreign=Foreign(labels, input_range.value),
        judged=judged,
        pictures=pictures,
        also=also or (),
        samples=samples,
        force=force,
        notify=notify,
    )
    show(f"{path} is ready: `promote` makes it serve.")


@app.command()
def promote(
    version: Annotated[int | None, typer.Argument(help="By default the newest export.")] = None,
    models: Models = MODELS,
    name: Name = NAME,
    gateway: Gateway = None,
    within: Within = WITHIN_S,
) -> None:
    """Make an exported version serve: put it into models/NAME, which replicas watch.

    Replicas load it before they unload the serving version, so no request fails.
    Versions with larger numbers leave models/NAME; models/NAME.versions keeps
    every version. With --gateway, it waits until all replicas serve it:

        python -m training promote 1760000000 --gateway http://localhost:8080
    """
    _show_release(promotion.promote(models / name, version), gateway, within)


@app.command()
def rollback(
    version: Annotated[int | None, typer.Argument(help="By default the one that served before.")] = None,
    models: Models = MODELS,
    name: Name = NAME,
    gateway: Gateway = None,
    within: Within = WITHIN_S,
) -> None:
    """Make the version serve that served before, or the older one with the given number.

    The newer version leaves models/NAME, and replicas return to the older one.
    models/NAME.versions keeps the newer one; `promote` brings it back.
    """
    _show_release(promotion.rollback(models / name, version), gateway, within)


@app.command()
def history(
    models: Models = MODELS,
    name: Name = NAME,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list, newest first.")] = False,
) -> None:
    """List the versions, newest first: origin, quality, and when each served."""
    known = promotion.history(models / name)
    if as_json:
        typer.echo(json.dumps([_as_json(version) for version in known], indent=1))
    elif not known:
        show(f"{models / name} has no versions yet.")
    else:
        table([HEAD, *map(_row, known)])


@app.command()
@with_training_options("Options of `train`")
def pipeline(
    data_set: DataSet,
    run: Run = None,
    models: Models = MODELS,
    name: Name = NAME,
    gates: Gates = None,
    gateway: Gateway = None,
    within: Within = WITHIN_S,
    robustness: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"Pictures to change slightly and classify again; 0 skips this. {ROBUSTNESS}, {FEW} with --quick.",
            show_default=False,
        ),
    ] = None,
    strangers: Strangers = None,
    serving_labels: Annotated[
        Path | None, typer.Option(help="Label file of the serving model, if it does not describe itself.")
    ] = None,
    serving_input_range: Annotated[
        InputRange, typer.Option(help="What a colour channel spans in the input of such a model.")
    ] = InputRange.UNIT,
    force: Force = False,
    **chosen: Any,
) -> None:
    """Train, evaluate, gate, export and promote in one go.

    To resume a pipeline that was killed, repeat the command with the same --run:
    training continues from its last checkpoint, and a finished run is not trained
    again. Mistakes that can be found early are found before training.

        python -m training pipeline photos --run runs/first --gateway http://localhost:8080

    Exit status: 0 if the new version serves, 1 if the run has not passed its gate
    (clients then see no change), 2 if the data, the options or a folder cannot be
    used.
    """
    from training.judge.sources import Foreign
    from training.judge.thresholds import DEFAULT, read_thresholds
    from training.learn import runs
    from training.release.pipeline import release_run

    asked = read_thresholds(gates or DEFAULT)
    promotion.check_place(models / name)
    if gateway:
        from training.judge.sources.served import check_gateway

        check_gateway(gateway)
    folder = run or Path("runs") / moment()
    if (folder / runs.RECORD).is_file() and runs.is_made(runs.load(folder), options(data=data_set, **chosen)):
        notify(f"{folder} is already trained")
    else:
        train_into(folder, data_set, chosen)
    with progress_bars() as bar:
        outcome = release_run(
            folder,
            models / name,
            asked,
            force=force,
            foreign=Foreign(serving_labels, serving_input_range.value),
            strangers=strangers,
            robustness_pictures=robustness if robustness is not None else FEW if chosen["quick"] else ROBUSTNESS,
            notify=notify,
            bar=bar,
        )
    show_verdict(outcome.verdict)
    if outcome.release is None:
        raise typer.Exit(1)
    _show_release(outcome.release, gateway, within)


HEAD = ("version", "state", "top-1", "gate", "data", "code", "seed", "from", "served since")


def _row(known: promotion.Known) -> tuple[str, ...]:
    origin = known.provenance
    since = known.releases[-1].at if known.releases else "-"
    if origin is None:
        return (str(known.version), known.state, *("-" * 6), since)
    top1 = origin.description.metrics.get("top1")
    data = str(origin.description.training_data.get("digest", "-")).removeprefix("sha256:")[:12]
    return (
        str(known.version),
        known.state,
        "-" if top1 is None else f"{top1:.3f}",
        f"{origin.gate}, forced" if origin.forced else origin.gate,
        data or "-",
        origin.description.code_version or "-",
        "-" if origin.seed is None else str(origin.seed),
        origin.made_from or "-",
        since,
    )


def _as_json(known: promotion.Known) -> dict[str, Any]:
    return {
        "version": known.version,
        "state": known.state,
        "provenance": known.provenance.model_dump(mode="json") if known.provenance else None,
        "releases": [release._asdict() for release in known.releases],
    }


def _show_release(release: promotion.Release, gateway: str | None, within_s: float) -> None:
    before = f"; before: {release.before}" if release.before else ""
    show(f"Version {release.version} is the one to serve{before}.")
    if gateway:
        from training.judge.sources.served import await_version

        await_version(gateway, release.version, within_s=within_s)
        show(f"All replicas behind {gateway} serve it.")
