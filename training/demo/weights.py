"""The committed weights: one compressed NumPy file, kernels in half precision, half the size of a Keras file."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from training.demo.record import Weights
from training.errors import TrainingError

FILE = Path(__file__).parent / "weights.npz"


def rounded(model: Any) -> None:
    """Round the kernels as the file does, so that the measured weights are the committed ones."""
    model.set_weights([_kept(array).astype(np.float32) for array in model.get_weights()])


def save(model: Any, file: Path = FILE) -> Weights:
    kept = {weight.path: _kept(array) for weight, array in zip(model.weights, model.get_weights(), strict=True)}
    np.savez_compressed(file, **kept)
    data = file.read_bytes()
    return Weights(file=file.name, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def load(model: Any, file: Path = FILE) -> None:
    """Into a model of `training.learn.model.build`, of any picture size.

    Raises:
        TrainingError: the file is missing, or is of another network.
    """
    if not file.is_file():
        raise TrainingError(f"There are no demo weights at {file}: make them with `demo --retrain`.")
    with np.load(file) as stored:
        if set(stored) != {weight.path for weight in model.weights}:
            raise TrainingError(f"{file} holds another network: make it again with `demo --retrain`.")
        model.set_weights([stored[weight.path].astype(np.float32) for weight in model.weights])


def _kept(array: Any) -> Any:
    """Half precision suffices for kernels; batch norm's small vectors keep full precision."""
    return array.astype(np.float16 if array.ndim > 1 else np.float32)
