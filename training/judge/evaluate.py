"""Evaluate a model on labelled pictures, and write the evaluation as JSON, as a page and as a model card."""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training import metrics
from training.console import NewBar, Progress, no_bar
from training.data.pictures import digest_of_bytes
from training.errors import JudgementError
from training.judge import examples, robustness
from training.judge.card import as_card
from training.judge.evaluation import (
    FILE,
    Confused,
    Data,
    Evaluation,
    Latency,
    Mistake,
    Model,
    OfClass,
    Robustness,
    Sureness,
    Training,
)
from training.judge.examples import Example, Picture
from training.judge.page import as_page
from training.judge.sources import Outputs, Source, joined, opened
from training.judge.sure import strangers, sureness
from training.learn import runs
from training.metrics import Classes, Rows
from training.reports.files import thumbnail, write_files

PAGE_NAME, CARD_NAME = "evaluation.html", "model_card.md"
MISTAKES = 24
LATENCY_PICTURES, LATENCY_WARM_UP = 30, 3
ROBUSTNESS_PICTURES = 200


class Subject(NamedTuple):
    """What is evaluated, besides the model itself."""

    data: str
    """The source of the pictures, as text."""
    split: str = ""
    training: Training | None = None
    also: Sequence[Path] = ()
    """Folders outside of the data set's that its files may lie in."""
    strangers: Path | None = None
    """Folder of pictures that show something else."""


class Result(NamedTuple):
    """An evaluation with the pictures of its mistakes."""

    evaluation: Evaluation
    thumbnails: Mapping[str, bytes]
    """JPEG by file."""


def evaluate_model(
    source: Source,
    pictures: Sequence[Example],
    subject: Subject,
    *,
    robustness_pictures: int = ROBUSTNESS_PICTURES,
    bar: NewBar = no_bar,
) -> Result:
    """Evaluate a model.

    Args:
        source: the model.
        pictures: labelled pictures that training has not used.
        subject: is reported with the figures.
        robustness_pictures: number of pictures to change and classify again; 0 skips this.
        bar: starts a progress bar.

    Raises:
        JudgementError: a picture or the model cannot be read, or the model does not know a label.
    """
    truth = _truth(source, pictures)
    answers = _asked(source, pictures, bar("Classifying the pictures"))
    sure, rows = _sureness(source, answers, truth, subject, bar), answers.rows
    wrong = _most_confident_mistakes(rows, truth)
    few = _spread(len(pictures), robustness_pictures)
    evaluation = Evaluation(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=Model(
            name=source.facts.name,
            digest=source.facts.digest,
            version=source.facts.version,
            labels=source.facts.labels,
            temperature=source.facts.temperature,
        ),
        data=Data(
            source=subject.data,
            split=subject.split,
            also=tuple(str(folder.resolve()) for folder in subject.also),
            pictures=len(pictures),
            digest=_digest(pictures),
        ),
        **_figures(source, rows, truth, sure),
        sureness=sure,
        robustness_pictures=len(few),
        robustness_top1=metrics.top_k_share(rows[few], truth[few], 1) if len(few) else None,
        robustness=_robustness(source, [pictures[at] for at in few], truth[few], rows[few], bar),
        latency=_latency(source, pictures, bar),
        mistakes=[_mistake(source, pictures[at], rows[at]) for at in wrong],
        training=subject.training,
    )
    thumbnails = {pictures[at].file: thumbnail(examples.picture(pictures[at]).pixels) for at in wrong}
    return Result(evaluation, thumbnails)


def evaluate_run(
    folder: Path,
    *,
    source: Source | None = None,
    strangers: Path | None = None,
    robustness_pictures: int = ROBUSTNESS_PICTURES,
    bar: NewBar = no_bar,
) -> Result:
    """Evaluate the model of a run on its test pictures.

    Args:
        source: the run's model, where it is open already.
        strangers: folder of pictures that show something else than its classes.

    Raises:
        JudgementError, RunError: the run is not finished, or a picture or the model cannot be read.
    """
    pictures = examples.of(folder)
    subject = Subject(str(folder), training=of_run(folder), strangers=strangers)
    with nullcontext(source) if source else opened(folder) as model:
        return evaluate_model(model, pictures, subject, robustness_pictures=robustness_pictures, bar=bar)


def of_run(folder: Path) -> Training:
    """The training part of a run's record."""
    record = runs.load(folder)
    return Training(
        run=record.name,
        training_accuracy=record.training_accuracy,
        validation_accuracy=record.validation_accuracy,
        seed=record.seed,
        code_commit=record.code_commit,
        data_digest=record.data.digest,
        weights=record.weights.source,
        backbone=record.options.backbone,
        pictures={"train": record.splits.train, "val": record.splits.val, "test": record.splits.test},
        history=[(epoch.accuracy, epoch.val_accuracy) for epoch in record.history],
    )


def write_evaluation(result: Result, folder: Path) -> Path:
    """Write evaluation.json, evaluation.html and model_card.md; returns the page.

    Raises:
        DataSetError: the folder cannot be written; older files are unchanged.
    """
    files = {
        FILE: result.evaluation.model_dump_json(indent=1) + "\n",
        PAGE_NAME: as_page(result.evaluation, result.thumbnails),
        CARD_NAME: as_card(result.evaluation),
    }
    write_files(folder, files)
    return folder / PAGE_NAME


def _truth(source: Source, pictures: Sequence[Example]) -> Classes:
    index = {label: at for at, label in enumerate(source.facts.labels)}
    unknown = sorted({example.label for example in pictures} - set(index))
    if unknown:
        some = ", ".join(unknown[:3])
        raise JudgementError(
            f"The label map of {source.facts.name} does not fit these pictures: it lacks {some}"
            f"{f' and {len(unknown) - 3} more' if len(unknown) > 3 else ''}."
        )
    return np.array([index[example.label] for example in pictures], np.int64)


def _asked(source: Source, pictures: Sequence[Example], progress: Progress) -> Outputs:
    return joined(source.ask(batch) for _, batch in examples.read(pictures, progress))


def _sureness(source: Source, answers: Outputs, truth: Classes, subject: Subject, bar: NewBar) -> Sureness:
    found = sureness(source.facts, answers, truth)
    if subject.strangers is None:
        return found
    others = _asked(source, examples.strangers(subject.strangers), bar("Classifying the strangers"))
    return found.model_copy(update={"strangers": strangers(source.facts, str(subject.strangers), others, answers)})


def _figures(source: Source, rows: Rows, truth: Classes, sure: Sureness) -> dict[str, object]:
    raw = metrics.at_temperature(rows, 1 / source.facts.temperature)
    counts = metrics.confusion(rows.argmax(axis=1), truth, len(source.facts.labels))
    of_class = metrics.by_class(counts)
    top1 = metrics.top_k_share(rows, truth, 1)
    return {
        "metrics": {
            "top1": top1,
            "top5": metrics.top_k_share(rows, truth, 5),
            **metrics.macro(of_class),
            "ece": metrics.calibration_error(rows, truth),
            "ece_uncalibrated": metrics.calibration_error(raw, truth),
            "nll": metrics.negative_log_likelihood(rows, truth),
            "pictures": float(len(truth)),
            "sure": sure.sure / len(truth),
            "sure_wrong": 1 - sure.right / sure.sure if sure.sure else 0.0,
            **({"strangers_sure": sure.strangers.sure / sure.strangers.pictures} if sure.strangers else {}),
        },
        "top1_interval": metrics.wilson(round(top1 * len(truth)), len(truth)),
        "classes": _classes(source.facts.labels, counts, of_class),
        "confusion": _confused(source.facts.labels, counts),
        "reliability": metrics.reliability(rows, truth),
        "reliability_uncalibrated": metrics.reliability(raw, truth),
    }


def _classes(labels: Sequence[str], counts: Classes, figures: metrics.Figures) -> list[OfClass]:
    def known(value: float) -> float | None:
        return None if np.isnan(value) else round(float(value), 5)

    return [
        OfClass(
            label=label,
            pictures=int(counts[at].sum()),
            precision=known(figures.precision[at]),
            recall=known(figures.recall[at]),
            f1=known(figures.f1[at]),
        )
        for at, label in enumerate(labels)
    ]


def _confused(labels: Sequence[str], counts: Classes) -> list[Confused]:
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    pairs = [
        Confused(label=labels[true], answer=labels[answer], pictures=int(wrong[true, answer]))
        for true, answer in zip(*map(np.ndarray.tolist, np.nonzero(wrong)), strict=True)
    ]
    return sorted(pairs, key=lambda pair: (-pair.pictures, pair.label, pair.answer))


def _most_confident_mistakes(rows: Rows, truth: Classes) -> list[int]:
    wrong = np.flatnonzero(rows.argmax(axis=1) != truth)
    order = np.argsort(-rows[wrong].max(axis=1), kind="stable")
    worst: list[int] = wrong[order][:MISTAKES].tolist()
    return worst


def _mistake(source: Source, example: Example, row: NDArray[np.float64]) -> Mistake:
    answer = source.facts.labels[int(row.argmax())]
    return Mistake(file=example.file, label=example.label, answer=answer, confidence=round(float(row.max()), 4))


def _spread(count: int, wanted: int) -> NDArray[np.int64]:
    """Positions spread over the pictures, which lie class by class."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))


def _robustness(
    source: Source, pictures: Sequence[Example], truth: Classes, rows: Rows, bar: NewBar
) -> list[Robustness]:
    if not pictures:
        return []
    found = []
    for name, change in robustness.CHANGES.items():

        def changed(batch: Sequence[Picture], change: robustness.Change = change) -> list[Picture]:
            return [examples.decoded(robustness.changed(one.data, change), "a changed picture") for one in batch]

        batches = examples.read(pictures, bar(f"Classifying again: {name}"))
        answers = joined(source.ask(changed(batch)) for _, batch in batches).rows.argmax(axis=1)
        found.append(
            Robustness(
                change=name,
                top1=float((answers == truth).mean()),
                agreement=float((answers == rows.argmax(axis=1)).mean()),
            )
        )
    return found


def _latency(source: Source, pictures: Sequence[Example], bar: NewBar) -> Latency:
    some = [examples.picture(example) for example in pictures[:LATENCY_PICTURES]]
    for picture in some[:LATENCY_WARM_UP]:
        source.ask([picture])
    progress, seconds, cpu = bar("Measuring latency"), [], time.process_time()
    for done, picture in enumerate(some, start=1):
        started = time.perf_counter()
        source.ask([picture])
        seconds.append(time.perf_counter() - started)
        progress(done, len(some))
    median, p95 = np.percentile(seconds, [50, 95])
    return Latency(
        median_ms=round(1000 * float(median), 2),
        p95_ms=round(1000 * float(p95), 2),
        cpu_ms=round(1000 * (time.process_time() - cpu) / len(some), 2) if source.facts.in_process else None,
        pictures=len(some),
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
    )


def _digest(pictures: Sequence[Example]) -> str:
    lines = sorted(os.fsencode(f"{example.file}\0{example.label}\0{example.digest}") for example in pictures)
    return digest_of_bytes(bytes(1).join(lines))
