"""Compare two models on the same pictures, and write the comparison as JSON and as a page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.console import NewBar, no_bar
from training.errors import JudgementError
from training.judge import examples
from training.judge.comparison import Answers, Comparison, Flip, measured
from training.judge.examples import Example
from training.judge.sources import Source
from training.reports import html
from training.reports.files import thumbnail, write_files

JSON_NAME, PAGE_NAME = "comparison.json", "comparison.html"
FLIPS_SHOWN = 48
CLASSES_SHOWN = 40


def compare_models(old: Source, new: Source, pictures: Sequence[Example], *, bar: NewBar = no_bar) -> Comparison:
    """Classify every picture with both, batch by batch. Each is decoded once, so both get the same pixels.

    Raises:
        JudgementError: a picture cannot be read, a model does not answer, or neither knows any of the labels.
    """
    known = {*old.facts.labels, *new.facts.labels}
    if not known & {example.label for example in pictures}:
        raise JudgementError(
            "Neither model knows any label of these pictures: give other pictures, or the right label file."
        )
    rows: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])
    for _, batch in examples.read(pictures, bar("Classifying with both models")):
        for source, answers in zip((old, new), rows, strict=True):
            answers.append(source.ask(batch).rows.astype(np.float32))
    before, after = (
        Answers(source.facts.name, source.facts.version, source.facts.labels, np.concatenate(answers))
        for source, answers in zip((old, new), rows, strict=True)
    )
    return measured(before, after, [example.file for example in pictures], [example.label for example in pictures])


def write_comparison(comparison: Comparison, pictures: Sequence[Example], folder: Path) -> tuple[Path, Path]:
    """Write the comparison; returns the JSON file and the page.

    Raises:
        DataSetError: the folder cannot be written; older files are unchanged.
    """
    found = {example.file: example for example in pictures}
    shown = comparison.flips[:FLIPS_SHOWN]
    thumbnails = {flip.file: thumbnail(examples.picture(found[flip.file]).pixels) for flip in shown}
    write_files(
        folder,
        {JSON_NAME: comparison.model_dump_json(indent=1) + "\n", PAGE_NAME: as_page(comparison, thumbnails)},
    )
    return folder / JSON_NAME, folder / PAGE_NAME


def as_page(comparison: Comparison, thumbnails: dict[str, bytes]) -> str:
    """The whole page, HTML."""
    figures: dict[str, str | int] = {
        "pictures": comparison.pictures,
        "same answer": f"{comparison.agreement:.1%}",
        "old top-1": f"{comparison.old_top1:.3f}",
        "new top-1": f"{comparison.new_top1:.3f}",
        "difference": f"{comparison.difference:+.3f}",
        "its 95 % interval": f"{comparison.low:+.3f} to {comparison.high:+.3f}",
        "McNemar's p": f"{comparison.p_value:.3g}",
    }
    sure_loss = comparison.difference < 0 and comparison.high < 0
    kind = "error" if sure_loss else "warning" if comparison.worse else "clean"
    header = html.verdict(kind, comparison.verdict) + html.figures(figures)
    return html.document(
        f"{Path(comparison.new).name or comparison.new} against {Path(comparison.old).name or comparison.old}",
        header,
        _classes(comparison) + _flips(comparison, thumbnails),
    )


def _classes(comparison: Comparison) -> str:
    rows = [
        (change.label, str(change.pictures), str(change.old_hits), str(change.new_hits))
        for change in comparison.classes[:CLASSES_SHOWN]
    ]
    why = "Correctly classified pictures of each class, the largest loss first. Unchanged classes are left out."
    return html.section("classes", "Classes", why, html.table(("class", "pictures", "old", "new"), rows))


def _flips(comparison: Comparison, thumbnails: dict[str, bytes]) -> str:
    why = "Pictures with another answer than before; those that were right before come first."
    strip = "".join(html.picture(thumbnails.get(f.file), f.file, _remark(f)) for f in comparison.flips[:FLIPS_SHOWN])
    return html.section(
        "flips", f"Changed answers: {len(comparison.flips):,}", why, f'<div class="strip">{strip}</div>'
    )


def _remark(flip: Flip) -> str:
    return f"{flip.label}: {flip.old} {flip.old_confidence:.2f} → {flip.new} {flip.new_confidence:.2f} ({flip.kind})"
