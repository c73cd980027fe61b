"""Plots as SVG, with the same bytes for the same figures. Matplotlib is used without its global state."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.judge.evaluation import Coverage, Evaluation
from training.metrics import Bin

BLUE, RED, GREY = "#3f7cac", "#b3261e", "#5a6670"
NAMED_CLASSES = 30
"""Up to this many classes, the confusion matrix shows their names."""
SETTINGS: Any = {"svg.hashsalt": "specimen", "svg.fonttype": "none", "font.size": 9}


def reliability(evaluation: Evaluation) -> bytes:
    """Two reliability diagrams: as trained, and calibrated."""
    with rc_context(SETTINGS):
        figure = Figure(figsize=(7.6, 3.6), layout="constrained")
        before, after = figure.subplots(1, 2, sharey=True)
        _diagram(before, evaluation.reliability_uncalibrated, "as trained", evaluation.metrics["ece_uncalibrated"])
        _diagram(after, evaluation.reliability, "calibrated", evaluation.metrics["ece"])
        before.set_ylabel("accuracy")
        return _svg(figure)


def confusion(evaluation: Evaluation) -> bytes:
    """Share of each class's pictures by the answer they got."""
    labels = evaluation.model.labels
    index = {label: at for at, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)))
    for of_class in evaluation.classes:
        counts[index[of_class.label], index[of_class.label]] = round((of_class.recall or 0) * of_class.pictures)
    for pair in evaluation.confusion:
        counts[index[pair.label], index[pair.answer]] = pair.pictures
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with rc_context(SETTINGS):
        side = 7.6 if len(labels) > NAMED_CLASSES else 2.5 + 0.25 * len(labels)
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        axes.set_xlabel("answer")
        axes.set_ylabel("true class")
        if len(labels) <= NAMED_CLASSES:
            axes.set_xticks(range(len(labels)), [_plain(label) for label in labels], rotation=90)
            axes.set_yticks(range(len(labels)), [_plain(label) for label in labels])
        return _svg(figure)


def coverage(curve: Sequence[Coverage], pictures: int) -> bytes:
    """Share of right statements against the share of pictures with one, threshold by threshold."""
    made = [at for at in curve if at.sure]
    with rc_context(SETTINGS):
        figure = Figure(figsize=(7.6, 3), layout="constrained")
        axes = figure.subplots()
        axes.plot([at.sure / pictures for at in made], [at.right / at.sure for at in made], ".-", color=BLUE)
        axes.set(xlabel="pictures with a statement", ylabel="right statements", xlim=(0, 1), ylim=(0, 1.02))
        return _svg(figure)


def learning(history: Sequence[tuple[float, float]]) -> bytes:
    """Accuracy by epoch, on training and on validation pictures."""
    epochs = range(1, len(history) + 1)
    with rc_context(SETTINGS):
        figure = Figure(figsize=(7.6, 3), layout="constrained")
        axes = figure.subplots()
        axes.plot(epochs, [epoch[0] for epoch in history], color=GREY, label="training, augmented")
        axes.plot(epochs, [epoch[1] for epoch in history], color=BLUE, label="validation")
        axes.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02))
        axes.legend(loc="lower right", frameon=False)
        return _svg(figure)


def _diagram(axes: Axes, bins: Sequence[Bin], title: str, ece: float) -> None:
    lows, widths = [b.low for b in bins], [b.high - b.low for b in bins]
    axes.bar(lows, [b.hits for b in bins], widths, align="edge", color=BLUE, edgecolor="white", linewidth=0.5)
    axes.plot([b.confidence for b in bins], [b.hits for b in bins], ".", color=RED, markersize=5)
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", title=f"{title}: ECE {ece:.3f}")


def _plain(label: str) -> str:
    """Matplotlib reads $ as the start of a formula."""
    return label.replace("$", r"\$")


def _svg(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()
