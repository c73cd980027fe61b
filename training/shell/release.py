"""Verbs that make versions and decide which one serves."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from training import releases
from training.console import notify, progress_bars, show, table
from training.shell.quality import InputRange, Labels, Range, told_verdict

app = typer.Typer()

Models = Annotated[Path, typer.Option(help="Folder of served models.")]
Name = Annotated[str, typer.Option(help="The model's name, as replicas and clients call it.")]
Gateway = Annotated[
    str | None, typer.Option(help="http://HOST:PORT of a running gateway: wait until its replicas serve the version.")
]
Within = Annotated[float, typer.Option(min=0, help="Longest to wait for it. Seconds.")]

Force = Annotated[bool, typer.Option("--force", help="Even if the gate is not passed; the version says so.")]

MODELS, NAME, WITHIN_S = Path("models"), "my_model", 120.0


@app.command()
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run's folder, a .keras or an .h5 file.")],
    models: Models = MODELS,
    name: Name = NAME,
    labels: Labels = None,
    input_range: Range = InputRange.UNIT,
    judged: Annotated[Path | None, typer.Option(help="Folder of a file's gate.json, if it has one.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Labelled pictures to verify on; a run has its own.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even if the gate is not passed; the version says so.")
    ] = False,
) -> None:
    """Make a version of a model that has passed its gate: models/NAME.versions/VERSION.

    The version is written aside, read back as a replica reads it, compared
    with Keras on real pictures, and only then renamed into place. It does
    not serve until it is promoted.

        python -m training export runs/shells
        python -m training export old.h5 --labels labels.txt --input-range=-1..1 --force
    """
    from training.exporting import export_model
    from training.sources import Foreign

    path = export_model(
        model,
        models / name,
        foreign=Foreign(labels, input_range.value),
        judged=judged,
        pictures=pictures,
        force=force,
        notify=notify,
    )
    show(f"{path} is ready: promote it to have it served.")


@app.command()
def promote(
    version: Annotated[int | None, typer.Argument(help="The newest export where none is named.")] = None,
    models: Models = MODELS,
    name: Name = NAME,
    gateway: Gateway = None,
    within: Within = WITHIN_S,
) -> None:
    """Make an exported version serve: put it into models/NAME, where replicas look.

    Replicas load it before they drop the one that serves, so no request fails.
    Versions with larger numbers leave the folder; models/NAME.versions keeps
    them all. With --gateway, waits until every replica behind it serves it:

        python -m training promote 1760000000 --gateway http://localhost:8080
    """
    _told(releases.promote(models / name, version), gateway, within)


@app.command()
def rollback(
    version: Annotated[int | None, typer.Argument(help="The one served before where none is named.")] = None,
    models: Models = MODELS,
    name: Name = NAME,
    gateway: Gateway = None,
    within: Within = WITHIN_S,
) -> None:
    """Make the version serve that served before, or an older one by its number.

    The newer version leaves models/NAME, and replicas return to the older
    one. It stays in models/NAME.versions: promote brings it back.
    """
    _told(releases.rollback(models / name, version), gateway, within)


@app.command()
def history(
    models: Models = MODELS,
    name: Name = NAME,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list, newest first.")] = False,
) -> None:
    """List the versions, newest first: what they were made of, how good they are, when they served."""
    known = releases.history(models / name)
    if as_json:
        typer.echo(json.dumps([_as_json(version) for version in known], indent=1))
    elif not known:
        show(f"{models / name} has no versions yet.")
    else:
        table([HEAD, *map(_row, known)])


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def pipeline(
    context: typer.Context,
    data_set: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set, or a CSV.")],
    run: Annotated[
        Path | None, typer.Option(help="Folder of the run; runs/ and the moment of its start where not given.")
    ] = None,
    models: Models = MODELS,
    name: Name = NAME,
    gates: Annotated[Path | None, typer.Option(help="Thresholds, TOML; usual ones where none are given.")] = None,
    gateway: Gateway = None,
    within: Within = WITHIN_S,
    robustness: Annotated[int, typer.Option(min=0, help="Pictures that evaluate changes and asks again.")] = 200,
    serving_labels: Annotated[
        Path | None, typer.Option(help="Label map of the serving model, if it does not tell its labels.")
    ] = None,
    serving_input_range: Annotated[
        InputRange, typer.Option(help="What such a model expects a colour channel to span.")
    ] = InputRange.UNIT,
    force: Force = False,
) -> None:
    """All of it: train, evaluate, gate, export, promote.

    Takes the options of train, too. Killed? Type the same again, with the
    same --run: training goes on where it was, and a finished run is not
    trained again. What can be wrong is asked first, before the long work.

        python -m training pipeline photos --run runs/first --gateway http://localhost:8080

    Ends with 0 if the new version is the one to serve; with 1 if the run has
    not passed its gate, and nothing has changed for clients.
    """
    from training import runs
    from training.gate import DEFAULT, thresholds
    from training.options import moment
    from training.pipeline import release_run
    from training.sources import Foreign

    asked = thresholds(gates or DEFAULT)
    releases.check_place(models / name)
    if gateway:
        from training.sources.served import check_gateway

        check_gateway(gateway)
    folder = run or Path("runs") / moment()
    if (folder / runs.RECORD).is_file() and runs.load(folder).finished:
        notify(f"{folder} is trained already")
    else:
        _train(context, data_set, folder)
    with progress_bars() as bar:
        outcome = release_run(
            folder,
            models / name,
            asked,
            force=force,
            foreign=Foreign(serving_labels, serving_input_range.value),
            robustness_pictures=robustness,
            notify=notify,
            bar=bar,
        )
    told_verdict(outcome.verdict)
    if outcome.release is None:
        raise typer.Exit(1)
    _told(outcome.release, gateway, within)


def _train(context: typer.Context, data_set: Path, folder: Path) -> None:
    """Call the verb train with the options that are not the pipeline's."""
    assert context.parent is not None
    group = context.parent.command
    assert isinstance(group, TyperGroup)
    verb = group.get_command(context, "train")
    assert verb is not None
    with verb.make_context("train", [str(data_set), "--run", str(folder), *context.args], parent=context) as inner:
        verb.invoke(inner)


HEAD = ("version", "state", "top-1", "gate", "data", "code", "seed", "from", "served since")


def _row(known: releases.Known) -> tuple[str, ...]:
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


def _as_json(known: releases.Known) -> dict[str, Any]:
    return {
        "version": known.version,
        "state": known.state,
        "provenance": known.provenance.model_dump(mode="json") if known.provenance else None,
        "releases": [release._asdict() for release in known.releases],
    }


def _told(release: releases.Release, gateway: str | None, within_s: float) -> None:
    before = f"; before: {release.before}" if release.before else ""
    show(f"Version {release.version} is the one to serve{before}.")
    if gateway:
        from training.sources.served import await_version

        await_version(gateway, release.version, within_s=within_s)
        show(f"Every replica behind {gateway} serves it.")
