"""The interface of all models, and the check of their answers."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

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


class Source(Protocol):
    """A model that classifies pictures."""

    facts: Facts

    def ask(self, pictures: Sequence[Picture]) -> Rows:
        """Probabilities, float64 (pictures, labels).

        Raises:
            JudgementError: there is no answer, or an invalid one.
        """

    def close(self) -> None:
        """Release its resources."""


def checked(rows: ArrayLike, facts: Facts, pictures: int) -> Rows:
    """The answers as float64, shape (pictures, labels); each row sums to 1.

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
    if not (answers.min() >= 0 and np.abs(answers.sum(axis=1) - 1).max() < 1e-2):  # false for NaN too
        raise JudgementError(f"{facts.name} does not answer with probabilities: its last layer must be a softmax.")
    return answers
