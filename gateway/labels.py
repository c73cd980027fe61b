"""Class names of one model version, and the best few of its probabilities.

The names travel inside the model: the signature `describe` answers one JSON document (docs/model-contract.md),
which `training.export` writes and the gateway reads, both through `Description`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Probabilities = NDArray[np.float32]
"""Model output for one picture: float32, shape (classes,), 0..1."""


class Preprocessing(BaseModel):
    """The pixels this model was trained on."""

    fingerprint: str = Field(description="`gateway.imaging.fingerprint()` of the code that fed the training")


class Description(BaseModel):
    """What a model version says of itself. Unknown keys are kept: newer training may say more."""

    model_config = ConfigDict(extra="allow", frozen=True)

    title: str = Field(description="what to call this model in front of people")
    summary: str = Field("", description="one or two sentences: what it knows, how well, what it is not for")
    demo: bool = Field(False, description="True: drawn pictures taught it, its names mean nothing on photos")
    labels: tuple[str, ...] = Field(min_length=1, description="class names, in the order of the output")
    preprocessing: Preprocessing
    temperature: float = Field(1.0, gt=0, description="calibration folded into the graph: logits / temperature")
    metrics: dict[str, float] = Field(default_factory=dict, description="on pictures training never saw, 0..1")
    training_data: dict[str, str | int] = Field(
        default_factory=dict, description="what it was taught on: digest, counts"
    )
    code_version: str = Field("", description="version of the code that trained it")


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
