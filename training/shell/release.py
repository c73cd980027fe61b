"""Verbs that decide which version serves."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from training import releases
from training.shell.telling import table, tell

app = typer.Typer()

Models = Annotated[Path, typer.Option(help="Folder of served models.")]
Name = Annotated[str, typer.Option(help="The model's name, as replicas and clients call it.")]
Gateway = Annotated[
    str | None, typer.Option(help="http://HOST:PORT of a running gateway: wait until its replicas serve the version.")
]
Within = Annotated[float, typer.Option(min=0, help="Longest to wait for it. Seconds.")]

MODELS, NAME, WITHIN_S = Path("models"), "my_model", 120.0


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
        tell(f"{models / name} has no versions yet.")
    else:
        table([HEAD, *map(_row, known)])


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
    tell(f"Version {release.version} is the one to serve{before}.")
    if gateway:
        from training.sources.served import await_version

        await_version(gateway, release.version, within_s=within_s)
        tell(f"Every replica behind {gateway} serves it.")
