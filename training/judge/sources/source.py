"""The interface of all models, and the check of their answers."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gateway.answers import Statements
from gateway.labels import LabelMap
from gateway.tfserving.contract import ServedModel
from training.errors import JudgementError
from training.judge.examples import Picture
from training.metrics import Rows


class Facts(NamedTuple):
    """What is known about a model besides its answers."""

    name: str
    """As the user gave it."""
    labels: tuple[str, ...]
    """In the order of the output."""
    temperature: float = 1.0
    """Already applied to the probabilities."""
    version: str = ""
    digest: str = ""
    """`sha256:` of the file; empty for a model that is not a single file."""
    in_process: bool = True
    """False for a model that another process serves: its CPU time cannot be measured here."""
    label_map: LabelMap | None = None
    """The labels with their groups, as far as the model has any."""
    exhaustive: bool = True
    """False: its probabilities sum to at most 1, the rest being for what has no label."""
    sure_at: float | None = None
    familiar_at: float | None = None
    """Thresholds of its answers; None: it has none."""

    @property
    def statements(self) -> Statements:
        """What it may say."""
        return Statements(self.label_map or LabelMap(labels=self.labels))


class Outputs(NamedTuple):
    """A model's answers about N pictures."""

    rows: Rows
    """Probabilities, float64 (N, labels)."""
    familiarity: NDArray[np.float64] | None = None
    """Shape (N,), 0..1; None: the model does not say."""


def joined(parts: Iterable[Outputs]) -> Outputs:
    """The answers about all pictures of several batches."""
    rows, familiarity = zip(*parts, strict=True)
    return Outputs(np.concatenate(rows), None if familiarity[0] is None else np.concatenate(familiarity))


def facts_of(served: ServedModel, name: str, *, in_process: bool = True) -> Facts:
    """Of a version that is read or asked as the gateway does it."""
    described = served.description
    return Facts(
        name,
        described.labels,
        described.temperature,
        served.version,
        in_process=in_process,
        label_map=described,
        exhaustive=described.exhaustive,
        sure_at=described.sure_at,
        familiar_at=described.familiar_at,
    )


class Source(Protocol):
    """A model that classifies pictures."""

    facts: Facts

    def ask(self, pictures: Sequence[Picture]) -> Outputs:
        """Its answers, in order.

        Raises:
            JudgementError: there is no answer, or an invalid one.
        """

    def close(self) -> None:
        """Release its resources."""


def checked(rows: ArrayLike, facts: Facts, pictures: int, familiarity: ArrayLike | None = None) -> Outputs:
    """The answers, checked: each row of probabilities sums to 1, or to less where the labels are not exhaustive.

    Raises:
        JudgementError: their shape is another, or they are not probabilities.
    """
    answers = np.asarray(rows, np.float64)
    if answers.shape != (pictures, len(facts.labels)):
        raise JudgementError(
            f"{facts.name} answers with shape {list(answers.shape)} "
            f"for {pictures} pictures and {len(facts.labels)} labels: "
            "the label file does not fit the model."
        )
    sums = answers.sum(axis=1)
    lowest = 1.0 if facts.exhaustive else 0.0
    if not (answers.min() >= 0 and sums.min() > lowest - 1e-2 and sums.max() < 1 + 1e-2):  # false for NaN too
        raise JudgementError(f"{facts.name} does not answer with probabilities: its last layer must be a softmax.")
    return Outputs(answers, None if familiarity is None else np.asarray(familiarity, np.float64))
