"""`python -m tests.faults.document REPORT...`: write docs/faults.md from what the suites have recorded.

A row that no report speaks of stays as it was: one run may hold the edge, another the replicas.
"""

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.catalogue import NOT_OURS, SECTIONS, Fault

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/faults.md"
HEAD = """\
# Faults: what can go wrong, what must follow, what was seen

`make faults` provokes the faults of clients and of the platform, `make chaos` those of replicas; each writes what it
saw into this table. The figures are those of the last run, on one machine: counts and bytes mean
what they say, times are of a shared machine with two cores. A row without a test says so.
"""
UNSEEN = "not covered yet"


@dataclass(frozen=True)
class Seen:
    """The last two cells of a row."""

    figure: str
    test: str = ""


def read(reports: Iterable[Path]) -> dict[str, Seen]:
    """The last word on each row; where one test is run with several parameters, or several tests, all of them."""
    figures: dict[str, dict[str, str]] = {}
    for report in reports:
        for line in report.read_text(encoding="utf-8").splitlines() if report.exists() else ():
            told = json.loads(line)
            figures.setdefault(told["row"], {}).update({told["figure"]: told["test"]})
    return {row: Seen("; ".join(_clean(f) for f in by), _tests(by.values())) for row, by in figures.items()}


def _clean(figure: str) -> str:
    return figure.replace("|", "/").replace("\n", " ")


def _tests(names: Iterable[str]) -> str:
    return ", ".join(f"`{name.removeprefix('tests/')}`" for name in dict.fromkeys(names))


def already(text: str) -> dict[str, Seen]:
    """What an earlier run wrote."""
    rows = re.findall(r"^\| (\d+b?) \|[^|]*\|[^|]*\| ([^|]*) \| ([^|]*) \|$", text, re.MULTILINE)
    return {row: Seen(figure, test.strip()) for row, figure, test in rows if test.strip()}


def written(seen: dict[str, Seen]) -> str:
    """The document."""
    parts = [HEAD]
    for title, faults in SECTIONS.items():
        parts += [f"\n## {title}\n", "| # | what happens | what must follow | seen | test |", "|--:|---|---|---|---|"]
        parts += [_line(fault, seen.get(fault.row)) for fault in faults]
    return "\n".join(parts) + "\n"


def _line(fault: Fault, seen: Seen | None) -> str:
    reason = f"no test: {NOT_OURS[fault.row]}" if fault.row in NOT_OURS else UNSEEN
    shown = seen or Seen(reason)
    return f"| {fault.row} | {fault.happens} | {fault.must} | {shown.figure} | {shown.test} |"


def main() -> None:
    """Merge the reports named on the command line into the document."""
    before = already(DOCUMENT.read_text(encoding="utf-8")) if DOCUMENT.exists() else {}
    DOCUMENT.write_text(written(before | read(map(Path, sys.argv[1:]))), encoding="utf-8")


if __name__ == "__main__":
    main()
