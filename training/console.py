"""The terminal: results go to stdout, progress to stderr; names of files and labels are printed as plain text.

rich and typer are imported where they print: processes that decode pictures import this file, too.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Notify = Callable[[str], None]
"""Takes one line about the progress of the work."""
Progress = Callable[[int, int], None]
"""Takes the amount of work done and the total."""
NewBar = Callable[[str], Progress]
"""Starts a progress bar for a piece of work with this title."""


def silent(line: str) -> None:
    """A `Notify` that prints nothing."""


def no_bar(title: str) -> Progress:
    """A `NewBar` that shows nothing."""
    return lambda done, total: None


def show(line: str) -> None:
    """Print one line of the result to stdout."""
    from rich.console import Console
    from rich.text import Text

    Console(soft_wrap=True, highlight=False).print(Text(printable(line)))


def notify(line: str) -> None:
    """Print one line about the progress to stderr."""
    import typer

    typer.echo(printable(line), err=True)


def printable(text: str) -> str:
    """`text` with unprintable characters escaped: names of files and labels may hold any."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as their longest cell; the first row is the header."""
    widths = [max(len(printable(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (printable(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        show("  ".join(cells).rstrip())


@contextmanager
def progress_bars() -> Iterator[NewBar]:
    """Bars on stderr, one for each piece of work that is started."""
    from rich import progress
    from rich.console import Console

    bars = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )

    def new_bar(title: str) -> Progress:
        task = bars.add_task(title, total=None)
        return lambda done, total: bars.update(task, completed=done, total=total)

    with bars:
        yield new_bar
