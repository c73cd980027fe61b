"""The labels (class names) of one model version, and its most probable ones for a picture.

A model of this project carries its labels: its signature `describe` returns one JSON document, a `Description`, which
training writes and the gateway reads (docs/model-contract.md). The labels of other models come from a label file.
"""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Probabilities = NDArray[np.float32]
"""Model output for one picture: float32, shape (classes,), 0..1."""


class Preprocessing(BaseModel):
    """The preprocessing of the pixels that this model was trained on."""

    fingerprint: str = Field(description="`gateway.imaging.fingerprint()` of the code that fed the training")


class Description(BaseModel):
    """What a model version states about itself. Unknown keys are kept, since newer training may add some."""

    model_config = ConfigDict(extra="allow", frozen=True)

    title: str = Field(description="name of the model for people")
    summary: str = Field("", description="one or two sentences: what it classifies, how well, its limits")
    demo: bool = Field(False, description="True: trained on drawn pictures, so its labels mean nothing on photos")
    labels: tuple[str, ...] = Field(min_length=1, description="class names, in the order of the output")
    preprocessing: Preprocessing
    temperature: float = Field(1.0, gt=0, description="calibration folded into the graph: logits / temperature")
    metrics: dict[str, float] = Field(
        default_factory=dict, description="on pictures that were not used in training, 0..1"
    )
    training_data: dict[str, str | int] = Field(default_factory=dict, description="the training data: digest, counts")
    code_version: str = Field("", description="version of the code that trained it")


class LabelFileError(Exception):
    """The label file cannot be used; the message is one sentence that says why and what to do."""


def read_label_file(file: Path) -> tuple[str, ...]:
    """Labels of a text file in UTF-8, one per line, in the order of the model's outputs.

    Blank lines at the end are ignored. A blank line between labels is an error: to skip it would shift all labels
    after it.

    Raises:
        LabelFileError: the file cannot be read, a line is blank or repeats a label, or there is no label at all.
    """
    try:
        lines = file.read_bytes().removeprefix(codecs.BOM_UTF8).rstrip().splitlines()
    except OSError as cause:
        raise LabelFileError(
            f"{file} cannot be read ({cause.strerror}): give a UTF-8 text file with one class per line"
        ) from cause
    labels: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        label = _label(line, f"line {number} of {file}")
        if label in labels:
            raise LabelFileError(
                f"line {number} of {file} names {label!r} again, as line {labels[label]} does: name each class once"
            )
        labels[label] = number
    if not labels:
        raise LabelFileError(f"{file} names no class: write one class per line, in the order of the model's outputs")
    return tuple(labels)


def _label(line: bytes, where: str) -> str:
    try:
        label = line.decode("utf-8").strip()
    except UnicodeDecodeError as cause:
        raise LabelFileError(f"{where} is not UTF-8: save the file as UTF-8") from cause
    if not label:
        raise LabelFileError(f"{where} is blank: name the class there or delete the line")
    return label


@dataclass(frozen=True, slots=True)
class Ranked:
    """One line of an answer."""

    label: str
    confidence: float
    index: int


def top_k(probabilities: Probabilities, labels: Sequence[str], k: int, *, min_confidence: float = 0.0) -> list[Ranked]:
    """The `k` most probable labels, best first; equals in label order. Fewer where `min_confidence` cuts."""
    best = np.argsort(-probabilities, kind="stable")[:k]
    return [
        Ranked(labels[index], float(f"{probabilities[index]:.7g}"), int(index))  # all that float32 holds, no more
        for index in best
        if probabilities[index] >= min_confidence
    ]
