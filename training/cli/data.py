"""`validate`: is a data set fit to train on?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.console import printable, progress_bars

if TYPE_CHECKING:  # these imports would slow --help down
    from rich.console import Console

    from training.data.findings import Finding
    from training.data.validate import Report

app = typer.Typer()

Also = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="DIR",
        help="Another folder that files and links of the data set may lead to; may be repeated.",
        show_default=False,
    ),
]

SHOWN = 3
"""Findings of each kind that the terminal shows; the page shows more."""
COLOURS = {"error": "bold red", "warning": "yellow"}


@app.command()
def validate(
    data_set: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set, or a CSV file.")],
    report: Annotated[Path, typer.Option(help="Folder for the report; created if missing.")] = Path(
        "validation-report"
    ),
    labels: Annotated[
        Path | None, typer.Option(help="Label file that the classes must match: one class per line, or a CSV.")
    ] = None,
    also: Also = None,
    min_per_class: Annotated[int, typer.Option(min=1, help="Warn about classes with fewer pictures.")] = 10,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode pictures; one per core by default, 0 for none.")
    ] = None,
) -> None:
    """Find what would spoil training in a set of labelled photos. Changes nothing in DIR.

    DIR holds one folder per class (DIR/crab/1.jpg); or train, test and optionally
    val, each with one folder per class (DIR/train/crab/1.jpg); or a CSV file with
    the columns file, label and optionally split. Only regular files inside of DIR
    are opened, and no link out of it is followed. Allow other folders with --also:

        python -m training validate photos --also /data/store

    It finds unreadable files; duplicates and near-duplicates, above all under two
    labels or in two splits; small and uneven classes; blank, tiny and stretched
    pictures; and labels that do not match the label file. The report is a page to
    look at, validation.html, and a file for programs, validation.json:

        python -m training validate photos --labels labels.txt --report reports

    Exit status: 0 without errors (warnings are allowed), 1 with errors, 2 if it
    cannot run; then nothing is written.
    """
    from training.data.pictures import Workers
    from training.data.validate import check_place, write
    from training.data.validate import validate as validated

    check_place(report, data_set)
    decoders = Workers(workers)
    with progress_bars() as bar:
        found = validated(
            data_set, labels=labels, also=also or (), min_per_class=min_per_class, workers=decoders, bar=bar
        )
        _, page = write(found, report, workers=decoders, bar=bar)
    _show(found, page)
    raise typer.Exit(1 if found.count("error") else 0)


def _show(report: "Report", page: Path) -> None:
    """File names may hold anything: they are printed as text, never as markup, with unprintable characters escaped."""
    from rich.console import Console
    from rich.text import Text

    out = Console(soft_wrap=True, highlight=False)
    manifest = report.manifest
    out.print(Text(printable(f"{_number(len(report.looks), 'picture')} of {len(manifest.labels):,} classes")))
    for kind in report.kinds:
        _show_kind(out, kind, [finding for finding in report.findings if finding.kind == kind])
    errors, warnings = _number(report.count("error"), "error"), _number(report.count("warning"), "warning")
    out.print(Text(printable(f"{errors}, {warnings}. Look at {page}")))


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _show_kind(out: "Console", name: str, findings: list["Finding"]) -> None:
    from rich.text import Text

    from training.data.findings import KINDS

    kind = KINDS[name]
    head = Text(f"{kind.severity:8}", style=COLOURS[kind.severity])
    out.print(head.append(f"{kind.title} ({len(findings):,})", style="bold"))
    for finding in findings[:SHOWN]:
        out.print(Text(printable(f"        {line(finding)}")))
    if len(findings) > SHOWN:
        out.print(Text(f"        and {len(findings) - SHOWN:,} more"))


def line(finding: "Finding") -> str:
    """The sentence, after the file's name where the sentence is about one file and does not name it."""
    alone = len(finding.files) == 1 and finding.files[0] not in finding.sentence
    return f"{finding.files[0]}: {finding.sentence}" if alone else finding.sentence
