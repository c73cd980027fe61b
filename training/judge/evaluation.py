"""What an evaluation found: one document, from which the page, the model card and the gate are made."""

from pathlib import Path

from pydantic import BaseModel, ValidationError

from training.errors import JudgementError
from training.metrics import Bin

FILE = "evaluation.json"


class Model(BaseModel):
    """Which model was asked."""

    name: str
    """As it was named: a file, a folder, an address."""
    digest: str = ""
    """`sha256:` of its Keras file."""
    version: str = ""
    labels: tuple[str, ...]
    temperature: float


class Data(BaseModel):
    """Which pictures it was asked about."""

    source: str
    """Folder or CSV of the data set, or the folder of the run that keeps the split."""
    split: str
    pictures: int
    digest: str
    """`sha256:` over file, label and bytes of each."""


class Training(BaseModel):
    """What the run said of itself; shares 0..1."""

    run: str
    training_accuracy: float | None
    validation_accuracy: float | None
    """Both of the kept model in inference mode."""
    seed: int
    code_commit: str
    data_digest: str
    weights: str
    pictures: dict[str, int]
    """By split."""
    history: list[tuple[float, float]] = []
    """Accuracy and validation accuracy of each epoch."""

    @property
    def overfitting(self) -> float | None:
        """By how much training accuracy leaves validation behind; None where the run does not tell."""
        if self.training_accuracy is None or self.validation_accuracy is None:
            return None
        return self.training_accuracy - self.validation_accuracy


class OfClass(BaseModel):
    """One class; None where there is nothing to divide by."""

    label: str
    pictures: int
    precision: float | None
    recall: float | None
    f1: float | None


class Confused(BaseModel):
    """How often pictures of one class got the name of another."""

    label: str
    answer: str
    pictures: int


class Robustness(BaseModel):
    """What a small change of the uploads does."""

    change: str
    top1: float
    agreement: float
    """Share of pictures with the same answer as without the change."""


class Latency(BaseModel):
    """Time to answer for one picture, asked one after another; decoding counts only for a gateway, which decodes."""

    median_ms: float
    p95_ms: float
    cpu_ms: float | None
    """CPU time of one picture; None for a model that another process serves."""
    pictures: int
    machine: str


class Mistake(BaseModel):
    """A wrong answer."""

    file: str
    label: str
    answer: str
    confidence: float


class Evaluation(BaseModel):
    """Everything; shares 0..1."""

    created: str
    model: Model
    data: Data
    metrics: dict[str, float]
    """top1, top5, macro_precision, macro_recall, macro_f1, ece, ece_uncalibrated, nll, pictures."""
    top1_interval: tuple[float, float]
    """95 %, Wilson."""
    classes: list[OfClass]
    """In the order of the labels."""
    confusion: list[Confused]
    """Wrong answers by pairs, the most frequent first."""
    reliability: list[Bin]
    reliability_uncalibrated: list[Bin]
    robustness_pictures: int = 0
    robustness_top1: float | None = None
    """Of those pictures without a change."""
    robustness: list[Robustness] = []
    latency: Latency | None = None
    mistakes: list[Mistake] = []
    """The most confident first."""
    training: Training | None = None

    @property
    def robustness_loss(self) -> float | None:
        """The most top-1 that any of the changes costs; None where none was tried."""
        if self.robustness_top1 is None or not self.robustness:
            return None
        return max(self.robustness_top1 - changed.top1 for changed in self.robustness)


def load_evaluation(folder: Path) -> Evaluation:
    """The evaluation that `write` left in a folder.

    Raises:
        JudgementError: there is none, or it cannot be read.
    """
    try:
        return Evaluation.model_validate_json((folder / FILE).read_bytes())
    except OSError as cause:
        raise JudgementError(f"{folder} holds no {FILE}: run `python -m training evaluate` first.") from cause
    except ValidationError as cause:
        raise JudgementError(f"{folder / FILE} is damaged or of another version: evaluate again.") from cause
