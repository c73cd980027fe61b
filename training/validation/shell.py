"""`validate` as typed into a shell: progress to stderr, what was found to stdout, an exit code."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from training.console import printable, progress_bars
from training.validation.findings import KINDS, Finding
from training.validation.report import Report, check_place, validate, write
from training.workers import Workers

SHOWN = 3
"""Findings of each kind that the shell shows; the page shows more."""
COLOURS = {"error": "bold red", "warning": "yellow"}


def run(data_set: Path, folder: Path, *, labels: Path | None, min_per_class: int, workers: int | None) -> int:
    """Validate, write, tell.

    Returns:
        1 where there are errors, else 0.

    Raises:
        DataSetError: it cannot run.
    """
    check_place(folder, data_set)
    with progress_bars() as bar:
        report = validate(data_set, labels=labels, min_per_class=min_per_class, workers=Workers(workers), bar=bar)
        written = write(report, folder, workers=Workers(workers), bar=bar)
    _tell(report, written[1])
    return 1 if report.count("error") else 0


def _tell(report: Report, page: Path) -> None:
    """One picture's name may hold anything: it is printed as text, never as markup, and unprintable bytes escaped."""
    out = Console(soft_wrap=True, highlight=False)
    manifest = report.manifest
    out.print(Text(printable(f"{_number(len(report.looks), 'picture')} of {len(manifest.labels):,} classes")))
    for kind in report.kinds:
        _tell_kind(out, kind, [finding for finding in report.findings if finding.kind == kind])
    errors, warnings = _number(report.count("error"), "error"), _number(report.count("warning"), "warning")
    out.print(Text(printable(f"{errors}, {warnings}. Look at {page}")))


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _tell_kind(out: Console, kind: str, findings: list[Finding]) -> None:
    severity = KINDS[kind].severity
    head = Text(f"{severity:8}", style=COLOURS[severity])
    out.print(head.append(f"{KINDS[kind].title} ({len(findings):,})", style="bold"))
    for finding in findings[:SHOWN]:
        out.print(Text(printable(f"        {line(finding)}")))
    if len(findings) > SHOWN:
        out.print(Text(f"        and {len(findings) - SHOWN:,} more"))


def line(finding: Finding) -> str:
    """The sentence, behind the name of the file where it speaks of one without naming it."""
    alone = len(finding.files) == 1 and finding.files[0] not in finding.sentence
    return f"{finding.files[0]}: {finding.sentence}" if alone else finding.sentence
