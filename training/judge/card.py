"""The model card, in Markdown: what the model is for, what it was made from, and its limits.

Source: Mitchell et al. 2019, "Model cards for model reporting".
"""

from collections.abc import Iterator

from training.judge.evaluation import Evaluation
from training.judge.page import model_title

WORST = 10
FEW_PICTURES = 5


def as_card(evaluation: Evaluation) -> str:
    """The whole card."""
    return "\n".join(_lines(evaluation)) + "\n"


def _lines(evaluation: Evaluation) -> Iterator[str]:
    m, (low, high) = evaluation.metrics, evaluation.top1_interval
    yield f"# {_text(model_title(evaluation))}"
    yield ""
    yield f"An image classifier of {len(evaluation.model.labels):,} classes. For each 224 x 224 picture it returns one"
    yield "probability per class. It knows only these classes: a picture of anything else gets one of them, too."
    yield from _origin(evaluation)
    yield from ("", "## Quality", "")
    yield f"On {evaluation.data.pictures:,} pictures of `{evaluation.data.source}`{_split(evaluation)}:"
    yield from ("", "| figure | value |", "|---|--:|")
    yield f"| top-1 accuracy | {m['top1']:.3f} (95 %: {low:.3f} to {high:.3f}) |"
    yield f"| top-5 accuracy | {m['top5']:.3f} |"
    yield f"| macro precision, recall, F1 | {m['macro_precision']:.3f}, {m['macro_recall']:.3f}, {m['macro_f1']:.3f} |"
    yield f"| calibration error (ECE) before and after | {m['ece_uncalibrated']:.3f}, {m['ece']:.3f} |"
    if evaluation.latency:
        yield f"| median latency of one picture, {evaluation.latency.machine} | {evaluation.latency.median_ms:.1f} ms |"
        if evaluation.latency.cpu_ms is not None:
            yield f"| CPU per picture | {evaluation.latency.cpu_ms:.1f} ms |"
    yield from _sureness(evaluation)
    yield from _weak_classes(evaluation)
    yield from _robustness(evaluation)
    yield from _limits(evaluation)


def _split(evaluation: Evaluation) -> str:
    if evaluation.data.split:
        return f", split {_text(evaluation.data.split)}"
    return " that it was not trained on" if evaluation.training else ""


def _origin(evaluation: Evaluation) -> Iterator[str]:
    training = evaluation.training
    yield from ("", "## Origin", "")
    yield f"- Model: `{evaluation.model.name}` {evaluation.model.digest}".rstrip()
    if training is None:
        yield "- Its training is unknown."
        return
    counts = ", ".join(f"{count:,} {split}" for split, count in training.pictures.items())
    yield f"- Data: {counts} pictures; digest `{training.data_digest}`"
    yield f"- Backbone: `{training.backbone}`; its initial weights: {_text(training.weights)}"
    yield f"- Seed {training.seed}, code {training.code_commit}"
    if training.overfitting is not None:
        yield (
            f"- Accuracy {training.training_accuracy:.3f} on training pictures, {training.validation_accuracy:.3f} on "
            "validation pictures"
        )
    yield f"- Calibrated with temperature {evaluation.model.temperature:.3f}"


def _sureness(evaluation: Evaluation) -> Iterator[str]:
    found, pictures = evaluation.sureness, evaluation.data.pictures
    if not found:
        return
    yield from ("", "## Sure answers", "")
    if found.sure_at is None:
        yield "It has no threshold from which an answer counts as sure."
    else:
        yield f"At the threshold {found.sure_at:.4g} it is sure of {found.sure:,} of {pictures:,} pictures; of these"
        yield f"statements {found.right:,} are right and {found.sure - found.right:,} are wrong."
    if found.strangers:
        others = found.strangers
        yield f"Of {others.pictures:,} pictures of other things in `{others.source}` it is sure of {others.sure:,}."
        figures = {"the largest probability": others.by_confidence, "familiarity": others.by_familiarity}
        known = [f"{value:.3f} by {name}" for name, value in figures.items() if value is not None]
        yield f"Known pictures and these are told apart (AUROC) with {' and '.join(known)}."


def _weak_classes(evaluation: Evaluation) -> Iterator[str]:
    tested = [c for c in evaluation.classes if c.f1 is not None]
    weakest = sorted(tested, key=lambda c: (c.f1 or 0, c.label))[:WORST]
    yield from ("", "## Weakest classes", "", "| class | pictures | precision | recall | F1 |", "|---|--:|--:|--:|--:|")
    for c in weakest:
        figures = " | ".join("-" if value is None else f"{value:.2f}" for value in (c.precision, c.recall, c.f1))
        yield f"| {_text(c.label)} | {c.pictures} | {figures} |"


def _robustness(evaluation: Evaluation) -> Iterator[str]:
    if not evaluation.robustness:
        return
    yield from ("", "## Robustness to small changes of the upload", "")
    yield f"{evaluation.robustness_pictures:,} pictures; unchanged top-1 {evaluation.robustness_top1:.3f}."
    yield from ("", "| change | top-1 | same answer |", "|---|--:|--:|")
    for changed in evaluation.robustness:
        yield f"| {changed.change} | {changed.top1:.3f} | {changed.agreement:.1%} |"


def _limits(evaluation: Evaluation) -> Iterator[str]:
    untested = sum(c.pictures == 0 for c in evaluation.classes)
    few = sum(0 < c.pictures < FEW_PICTURES for c in evaluation.classes)
    yield from ("", "## Limits", "")
    yield "- The figures hold for pictures like the test pictures: same cameras, places and framing."
    if untested:
        yield f"- {untested} classes were not tested."
    if few:
        yield f"- {few} classes were tested on fewer than {FEW_PICTURES} pictures; their figures are mostly chance."
    for pair in evaluation.confusion[:3]:
        count = f"{pair.pictures} {'picture' if pair.pictures == 1 else 'pictures'}"
        yield f"- It classified {count} of {_text(pair.label)} as {_text(pair.answer)}."


def _text(words: str) -> str:
    """`words` on one line, with Markdown characters escaped."""
    return "".join(f"\\{letter}" if letter in r"\`*_[]<>|#" else letter for letter in " ".join(words.split()))
