"""SavedModels: versions of ours, which describe themselves, and others' that have one float signature."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from gateway.labels import Description
from gateway.tfserving.contract import BYTES, DESCRIBE, FLOATS, INPUT_RANGES
from training.errors import JudgementError
from training.evaluate import Rows
from training.examples import Picture
from training.sources.source import Facts, checked


class SavedModel:
    """A version read as a replica reads it: signatures and tensors, no Python of the model's own."""

    def __init__(self, loaded: Any, signature: str, facts: Facts, input_range: str) -> None:
        self._loaded = loaded  # its signatures live only as long as it does
        self._function = loaded.signatures[signature]
        self._signature = signature
        (self._input,) = self._function.structured_input_signature[1]
        self._low, high = INPUT_RANGES[input_range]
        self._span = high - self._low
        self.facts = facts

    def ask(self, pictures: Sequence[Picture]) -> Rows:
        outputs = self._function(**{self._input: tf.constant(self._fed(pictures))})
        if len(outputs) != 1:
            raise JudgementError(f"{self.facts.name} has {len(outputs)} outputs; one of probabilities is needed.")
        (answer,) = outputs.values()
        return checked(answer, self.facts, len(pictures))

    def close(self) -> None:
        self._loaded = self._function = None

    def _fed(self, pictures: Sequence[Picture]) -> Any:
        if self._signature == BYTES:
            return [picture.pixels.tobytes() for picture in pictures]
        pixels = np.stack([picture.pixels for picture in pictures])
        return (self._low + pixels.astype(np.float32) / np.float32(255) * self._span).astype(np.float32)


def opened(directory: Path, labels: tuple[str, ...] = (), *, input_range: str = "0..1", name: str = "") -> SavedModel:
    """A version's folder.

    Args:
        labels: of a model that does not describe itself, in the order of its output.
        input_range: what a colour channel spans where such a model expects it.
        name: by which it was named; the folder's where empty.

    Raises:
        JudgementError: it is no SavedModel, or one that nobody could serve.
    """
    try:
        loaded = tf.saved_model.load(str(directory))
    except (OSError, ValueError, tf.errors.OpError) as cause:
        raise JudgementError(f"{directory} cannot be read as a SavedModel: {_first_line(cause)}") from cause
    name, version = name or str(directory), directory.name if directory.name.isdigit() else ""
    if DESCRIBE in loaded.signatures:
        told = description(loaded)
        return SavedModel(loaded, BYTES, Facts(name, told.labels, told.temperature, version), "0..1")
    if FLOATS not in loaded.signatures:
        raise JudgementError(f"{directory} has no signature {FLOATS}: export the model with one.")
    if not labels:
        raise JudgementError(f"{directory} does not tell its labels: name a file of them, a name a line.")
    return SavedModel(loaded, FLOATS, Facts(name, labels, version=version), input_range)


def description(loaded: Any) -> Description:
    """What a loaded version of ours says of itself."""
    (text,) = loaded.signatures[DESCRIBE](tf.constant([b""])).values()
    return Description.model_validate_json(text.numpy()[0])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
