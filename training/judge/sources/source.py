"""What every source of answers has in common."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from training.errors import JudgementError
from training.judge.examples import Picture
from training.metrics import Rows


class Facts(NamedTuple):
    """What is known of a model besides its answers."""

    name: str
    """As whoever named it wrote it."""
    labels: tuple[str, ...]
    """In the order of the output."""
    temperature: float = 1.0
    """That the probabilities have been divided by already."""
    version: str = ""
    digest: str = ""
    """`sha256:` of the file; empty for what is no single file."""
    in_process: bool = True
    """False for a model that another process serves: its CPU time cannot be measured here."""


class Source(Protocol):
    """Something that names pictures."""

    facts: Facts

    def ask(self, pictures: Sequence[Picture]) -> Rows:
        """Probabilities, float64 (pictures, labels).

        Raises:
            JudgementError: no answer, or one that is none.
        """

    def close(self) -> None:
        """Give back what it holds."""


def checked(rows: ArrayLike, facts: Facts, pictures: int) -> Rows:
    """Answers that are as many and as wide as they should be, and sum to 1.

    Raises:
        JudgementError: they are not.
    """
    told = np.asarray(rows, np.float64)
    if told.shape != (pictures, len(facts.labels)):
        raise JudgementError(
            f"{facts.name} answers with {list(told.shape)} for {pictures} pictures and {len(facts.labels)} labels: "
            "the label map does not fit the model."
        )
    if not (told.min() >= 0 and np.abs(told.sum(axis=1) - 1).max() < 1e-2):  # false for NaN too
        raise JudgementError(f"{facts.name} does not answer with probabilities: its last layer must be a softmax.")
    return told
