"""The evaluation as an HTML page."""

from collections.abc import Iterator, Mapping

from training.judge import plots
from training.judge.evaluation import Evaluation, Sureness
from training.reports import html

PAIRS_SHOWN = 20


def as_page(evaluation: Evaluation, thumbnails: Mapping[str, bytes]) -> str:
    """The whole page, HTML."""
    m, (low, high) = evaluation.metrics, evaluation.top1_interval
    figures: dict[str, str | int] = {
        "top-1": f"{m['top1']:.3f}",
        "95 %": f"{low:.3f} to {high:.3f}",
        "top-5": f"{m['top5']:.3f}",
        "macro F1": f"{m['macro_f1']:.3f}",
        "ECE, calibrated": f"{m['ece']:.3f}",
        "pictures": evaluation.data.pictures,
    }
    data, model = evaluation.data, evaluation.model
    lines = (f"{model.name} {model.digest}", f"{data.source} {data.split} {data.digest}", evaluation.created)
    header = html.figures(figures) + html.lines(lines)
    return html.document(
        f"Evaluation of {model_title(evaluation)}", header, "\n".join(_sections(evaluation, thumbnails))
    )


def model_title(evaluation: Evaluation) -> str:
    """The model's name for readers."""
    return evaluation.training.run if evaluation.training else evaluation.model.name.rstrip("/").rpartition("/")[2]


def _sections(evaluation: Evaluation, thumbnails: Mapping[str, bytes]) -> Iterator[str]:
    if evaluation.training:
        yield _learning(evaluation)
    yield _mistakes(evaluation, thumbnails)
    yield html.section(
        "calibration",
        "Calibration",
        "Bars: accuracy of the answers by confidence. On the dashed line, confidence equals accuracy.",
        html.plot(plots.reliability(evaluation), "Reliability diagrams before and after calibration"),
    )
    if evaluation.sureness:
        yield _sureness(evaluation, evaluation.sureness)
    yield _classes(evaluation)
    yield _confusion(evaluation)
    if evaluation.robustness:
        yield _robustness(evaluation)
    if evaluation.latency:
        yield _latency(evaluation)


def _learning(evaluation: Evaluation) -> str:
    training = evaluation.training
    assert training is not None
    figures = [
        f"{name} accuracy {value:.3f}"
        for name, value in (("training", training.training_accuracy), ("validation", training.validation_accuracy))
        if value is not None
    ]
    why = f"Of the final model, in inference mode: {', '.join(figures) or 'unknown'}. Overfitting makes them differ."
    curve = plots.learning(training.history) if training.history else None
    content = html.plot(curve, "Accuracy by epoch") if curve else ""
    return html.section("learning", "Learning", why, content)


def _mistakes(evaluation: Evaluation, thumbnails: Mapping[str, bytes]) -> str:
    why = "Wrong answers, the most confident first, at the network's resolution. Some may be wrong labels."
    strip = "".join(
        html.picture(thumbnails.get(m.file), m.file, f"{m.label}, taken for {m.answer} ({m.confidence:.2f})")
        for m in evaluation.mistakes
    )
    return html.section("mistakes", "Worst mistakes", why, f'<div class="strip">{strip}</div>')


def _sureness(evaluation: Evaluation, found: Sureness) -> str:
    pictures = evaluation.data.pictures
    figures: dict[str, str | int] = {
        "sure": found.sure,
        "of those right": found.right,
        "wrong": found.sure - found.right,
    }
    if found.strangers:
        figures["strangers"] = found.strangers.pictures
        figures["sure of strangers"] = found.strangers.sure
    rows = [
        (f"{at.threshold:.4g}", f"{at.sure / pictures:.1%}", f"{at.right / at.sure:.1%}" if at.sure else "-")
        for at in found.curve
    ]
    own = "It has no threshold of its own" if found.sure_at is None else f"Its own threshold is {found.sure_at:.4g}"
    why = (
        f"A statement is the most specific label or group whose confidence reaches a threshold. {own}. "
        f"{found.familiar:.1%} of the pictures are familiar enough for a statement."
    )
    table = html.table(("threshold", "pictures with a statement", "right statements"), rows)
    curve = html.plot(plots.coverage(found.curve, pictures), "Accuracy of statements against their share")
    return html.section("sureness", "Sure answers", why, html.figures(figures) + curve + table)


def _classes(evaluation: Evaluation) -> str:
    seen = [c for c in evaluation.classes if c.pictures or c.precision is not None]
    worst_first = sorted(seen, key=lambda c: (c.f1 is None, c.f1 or 0, c.label))
    rows = [(c.label, str(c.pictures), _share(c.precision), _share(c.recall), _share(c.f1)) for c in worst_first]
    untested = sum(c.pictures == 0 for c in evaluation.classes)
    why = "The worst first. A dash means that there were no pictures or no answers." + (
        f" {untested:,} classes have no pictures here." if untested else ""
    )
    head = ("class", "pictures", "precision", "recall", "F1")
    return html.section("classes", "Class by class", why, html.table(head, rows))


def _confusion(evaluation: Evaluation) -> str:
    rows = [(pair.label, pair.answer, str(pair.pictures)) for pair in evaluation.confusion[:PAIRS_SHOWN]]
    drawn = html.plot(plots.confusion(evaluation), "Confusion matrix: rows are true classes, columns are answers")
    content = drawn + html.table(("true class", "answer", "pictures"), rows)
    why = "Each row shows the answers for one class; dark means most of its pictures. Below, the most frequent errors."
    return html.section("confusion", "Confusion", why, content)


def _robustness(evaluation: Evaluation) -> str:
    assert evaluation.robustness_top1 is not None
    rows = [("unchanged", f"{evaluation.robustness_top1:.3f}", "")]
    rows += [(r.change, f"{r.top1:.3f}", f"{r.agreement:.1%}") for r in evaluation.robustness]
    why = f"{evaluation.robustness_pictures:,} of the uploads, changed slightly and classified again."
    return html.section("robustness", "Robustness", why, html.table(("change", "top-1", "same answer"), rows))


def _latency(evaluation: Evaluation) -> str:
    latency = evaluation.latency
    assert latency is not None
    why = f"{latency.pictures} pictures one after another, on {latency.machine}."
    shown: dict[str, str | int] = {
        "median": f"{latency.median_ms:.1f} ms",
        "95 % within": f"{latency.p95_ms:.1f} ms",
    }
    if latency.cpu_ms is not None:
        shown["CPU per picture"] = f"{latency.cpu_ms:.1f} ms"
    return html.section("latency", "Latency", why, html.figures(shown))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
