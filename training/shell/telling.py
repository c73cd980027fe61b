"""How the verbs speak: results to stdout, progress to stderr, text of others' making printed as text."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from training import manifest
from training.steps import Step


def tell(line: str) -> None:
    """One line of the result."""
    Console(soft_wrap=True, highlight=False).print(Text(printable(line)))


def printable(text: str) -> str:
    """Unprintable letters escaped: names of files and labels may hold anything."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def table(rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need to be; the first row is the head."""
    widths = [max(len(printable(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (printable(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        tell("  ".join(cells).rstrip())


@contextmanager
def steps() -> Iterator[Step]:
    """A bar on stderr for each piece of work that begins."""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )

    def begin(name: str) -> manifest.Progress:
        task = bars.add_task(name, total=None)
        return lambda done, total: bars.update(task, completed=done, total=total)

    with bars:
        yield begin
