"""The record of the run that made the committed weights, so that the run can be repeated and judged."""

from pathlib import Path

from pydantic import BaseModel

FILE = Path(__file__).parent / "record.json"


class Weights(BaseModel):
    file: str
    sha256: str
    size_bytes: int


class Record(BaseModel):
    """One run of `python -m training demo --retrain`."""

    date: str
    """Of its start, UTC."""
    command: str
    code_version: str
    seed: int
    """Of the first weights, the order of the pictures and their mirroring."""
    alpha: float
    stages: list[dict[str, float]]
    """Side in pixels, epochs, rate, batch."""
    pictures: dict[str, dict[str, int | str]]
    """By set (training, validation, test): first seed, drawings per class, count, digest."""
    fingerprint: str
    """Of the preprocessing that the pixels went through."""
    versions: dict[str, str]
    temperature: float
    """Fitted on the validation set."""
    metrics: dict[str, float]
    """On the test set, which was used once, after all decisions."""
    wall_s: float
    cpu_s: float
    history: list[dict[str, float]]
    weights: Weights


def load(file: Path = FILE) -> Record:
    return Record.model_validate_json(file.read_text())


def save(record: Record, file: Path = FILE) -> None:
    file.write_text(record.model_dump_json(indent=1) + "\n")
