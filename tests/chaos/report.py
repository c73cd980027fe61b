"""What the scenarios measured, as one table: `make chaos` prints it and writes it to a file.

Counts are asserted where they are measured. Times are only reported, as ratios to the undisturbed part of the same
run: they depend on the machine and its load that day.
"""

from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.load import Outcomes

COLUMNS = ("scenario", "part", "requests", "failed", "wrong", "p50", "p99", "p99 : undisturbed", "notes")


@dataclass(frozen=True)
class Line:
    """One part of one run."""

    scenario: str
    part: str
    requests: int
    failed: int
    wrong: int
    p50_ms: float
    p99_ms: float
    ratio: float | None
    """p99 to that of the undisturbed part; None where it is that part or there is none."""
    notes: str

    def cells(self) -> tuple[str, ...]:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        times = f"{self.p50_ms:.0f} ms", f"{self.p99_ms:.0f} ms"
        return (
            self.scenario,
            self.part,
            f"{self.requests:,}",
            str(self.failed),
            str(self.wrong),
            *times,
            ratio,
            self.notes,
        )


@dataclass
class Report:
    """Of one `make chaos`."""

    lines: list[Line] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    """Runs in which the harness itself was too late for its figures to mean anything."""

    def table(self) -> str:
        """Markdown."""
        rows = [COLUMNS, tuple("--:" if name in COLUMNS[2:8] else "---" for name in COLUMNS)]
        rows += [line.cells() for line in self.lines]
        text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        return "\n".join([text, "", *(f"- {told}" for told in self.invalid or ["Every run was valid."])])


def part_of(scenario: str, part: str, outcomes: Outcomes, *, undisturbed: Outcomes | None, notes: str = "") -> Line:
    """One line of the table."""
    p99 = outcomes.percentile_ms(0.99)
    ratio = p99 / undisturbed.percentile_ms(0.99) if undisturbed else None
    counts = len(outcomes), len(outcomes.failed), len(outcomes.wrong)
    return Line(scenario, part, *counts, outcomes.percentile_ms(0.5), p99, ratio, notes)


def write(file: Path, table: str) -> None:
    """Write the table between the marks of a document, or into a new file."""
    start, end = "<!-- results: made by `make chaos` -->", "<!-- end of results -->"
    text = file.read_text(encoding="utf-8") if file.exists() else f"{start}\n{end}\n"
    before, _, rest = text.partition(start)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{before}{start}\n{table}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
