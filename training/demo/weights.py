"""The committed weights: one compressed NumPy file, kernels in half precision, half the size of a Keras file."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from training.demo.record import Weights
from training.errors import TrainingError

FILE = Path(__file__).parent / "weights.npz"


def rounded(model: Any) -> None:
    """Round the kernels as the file will: what is measured after this is what is committed."""
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
        raise TrainingError(f"no demo weights at {file}: make them with `python -m training demo --retrain`")
    with np.load(file) as stored:
        if set(stored) != {weight.path for weight in model.weights}:
            raise TrainingError(f"{file} holds another network: make it again with `python -m training demo --retrain`")
        model.set_weights([stored[weight.path].astype(np.float32) for weight in model.weights])


def _kept(array: Any) -> Any:
    """Kernels lose nothing that matters at half precision; batch norm's small vectors cost nothing whole."""
    return array.astype(np.float16 if array.ndim > 1 else np.float32)
