"""The document of an evaluation; the page, the model card and the gate are made from it."""

from pathlib import Path

from pydantic import BaseModel, ValidationError

from training.errors import JudgementError
from training.metrics import Bin

FILE = "evaluation.json"


class Model(BaseModel):
    """The evaluated model."""

    name: str
    """As given: a file, a folder, an address."""
    digest: str = ""
    """`sha256:` of its Keras file."""
    version: str = ""
    labels: tuple[str, ...]
    temperature: float


class Data(BaseModel):
    """The pictures of the evaluation."""

    source: str
    """Folder or CSV of the data set, or the folder of a run, which has the split."""
    split: str
    also: tuple[str, ...] = ()
    """Folders outside of the data set's that its files may lie in."""
    pictures: int
    digest: str
    """`sha256:` over file, label and bytes of each picture."""


class Training(BaseModel):
    """From the record of the run; shares 0..1."""

    run: str
    training_accuracy: float | None
    validation_accuracy: float | None
    """Both of the final model in inference mode."""
    seed: int
    code_commit: str
    data_digest: str
    weights: str
    backbone: str = "mobilenet_v2"
    """As the option; evaluations from before there was a choice do not name it."""
    pictures: dict[str, int]
    """By split."""
    history: list[tuple[float, float]] = []
    """Accuracy and validation accuracy of each epoch."""

    @property
    def overfitting(self) -> float | None:
        """Training accuracy minus validation accuracy; None where the record lacks one."""
        if self.training_accuracy is None or self.validation_accuracy is None:
            return None
        return self.training_accuracy - self.validation_accuracy


class OfClass(BaseModel):
    """One class; None where a denominator is 0."""

    label: str
    pictures: int
    precision: float | None
    recall: float | None
    f1: float | None


class Confused(BaseModel):
    """Number of pictures of one class that were classified as another."""

    label: str
    answer: str
    pictures: int


class Robustness(BaseModel):
    """The effect of a small change of the uploads."""

    change: str
    top1: float
    agreement: float
    """Share of pictures with the same answer as without the change."""


class Coverage(BaseModel):
    """Statements at one threshold."""

    threshold: float
    sure: int
    """Pictures with a statement."""
    right: int
    """Those of them whose statement is right."""


class Strangers(BaseModel):
    """Pictures of other things than the model's classes."""

    source: str
    """Their folder."""
    pictures: int
    familiar: float
    """Share that is as familiar as a known picture."""
    sure: int
    """Pictures that get a statement, which is wrong."""
    by_confidence: float
    by_familiarity: float | None
    """Probability that a known picture is above a stranger in the largest probability, or in familiarity."""


class Sureness(BaseModel):
    """The statements about the pictures: the most specific label or group with enough confidence, if familiar."""

    sure_at: float | None
    familiar_at: float | None
    """The model's thresholds; None: it has none. Without `sure_at` it makes no statements."""
    familiar: float
    """Share of the pictures that are familiar enough."""
    sure: int
    right: int
    curve: list[Coverage]
    """From high thresholds to low ones."""
    strangers: Strangers | None = None


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
    """The whole document; shares 0..1."""

    created: str
    model: Model
    data: Data
    metrics: dict[str, float]
    """top1, top5, macro_precision, macro_recall, macro_f1, ece, ece_uncalibrated, nll, pictures; sure, the share with a
    statement, sure_wrong, the share of wrong ones among these (0 without any), and with strangers strangers_sure."""
    top1_interval: tuple[float, float]
    """95 %, Wilson."""
    classes: list[OfClass]
    """In the order of the labels."""
    confusion: list[Confused]
    """Wrong answers by pairs, the most frequent first."""
    reliability: list[Bin]
    reliability_uncalibrated: list[Bin]
    sureness: Sureness | None = None
    """None: evaluated before there were statements."""
    robustness_pictures: int = 0
    robustness_top1: float | None = None
    """On these pictures without a change."""
    robustness: list[Robustness] = []
    latency: Latency | None = None
    mistakes: list[Mistake] = []
    """The most confident first."""
    training: Training | None = None

    @property
    def robustness_loss(self) -> float | None:
        """Largest loss of top-1 accuracy by any of the changes; None where none was tried."""
        if self.robustness_top1 is None or not self.robustness:
            return None
        return max(self.robustness_top1 - changed.top1 for changed in self.robustness)


def load_evaluation(folder: Path) -> Evaluation:
    """The evaluation in a folder, as `write_evaluation` wrote it.

    Raises:
        JudgementError: there is none, or it cannot be read.
    """
    try:
        return Evaluation.model_validate_json((folder / FILE).read_bytes())
    except OSError as cause:
        raise JudgementError(f"{folder} holds no {FILE}: run `evaluate` first.") from cause
    except ValidationError as cause:
        raise JudgementError(f"{folder / FILE} is damaged or of another version: evaluate again.") from cause
