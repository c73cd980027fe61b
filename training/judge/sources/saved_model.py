"""SavedModels in a folder: our versions, which describe themselves, and other models with one float signature."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from pydantic import ValidationError
from tensorflow.core.framework.types_pb2 import DataType

from gateway.errors import ContractError
from gateway.imaging import fingerprint
from gateway.labels import Description, LabelMap
from gateway.tfserving.contract import DESCRIBE, FLOATS, ServedModel, Signature, Tensor, Terms, accept
from training.errors import JudgementError
from training.judge.examples import Picture
from training.judge.sources.source import Facts, Outputs, checked, facts_of


class SavedModel:
    """A version read as a replica reads it: signatures and tensors, none of the model's own Python code."""

    def __init__(self, loaded: Any, served: ServedModel, facts: Facts) -> None:
        self._loaded = loaded  # TensorFlow frees the signatures with it
        self._served = served
        self.facts = facts

    def ask(self, pictures: Sequence[Picture]) -> Outputs:
        function = self._loaded.signatures[self._served.signature]
        outputs = function(**{self._served.input: tf.constant(self._input(pictures))})
        familiarity = outputs[self._served.familiarity] if self._served.familiarity else None
        return checked(outputs[self._served.output], self.facts, len(pictures), familiarity)

    def close(self) -> None:
        self._loaded = None

    def _input(self, pictures: Sequence[Picture]) -> Any:
        if self._served.encoding == "bytes":
            return [picture.pixels.tobytes() for picture in pictures]
        low, high = self._served.input_range
        pixels = np.stack([picture.pixels for picture in pictures])
        return (low + pixels.astype(np.float32) / np.float32(255) * (high - low)).astype(np.float32)


def opened(
    directory: Path, label_map: LabelMap | None = None, *, input_range: str = "0..1", name: str = ""
) -> SavedModel:
    """The SavedModel in a version's folder.

    Args:
        label_map: of a model that does not describe itself, in the order of its output.
        input_range: that a colour channel spans in the input of such a model.
        name: for reports; the folder's where empty.

    Raises:
        JudgementError: it is no SavedModel, or one that the gateway would not serve.
    """
    try:
        loaded = tf.saved_model.load(str(directory))
    except (OSError, ValueError, tf.errors.OpError) as cause:
        raise JudgementError(f"{directory} cannot be read as a SavedModel: {_first_line(cause)}") from cause
    if label_map is None and DESCRIBE not in loaded.signatures and FLOATS in loaded.signatures:
        raise JudgementError(f"{directory} does not describe its labels: give a file of them with --labels.")
    name, version = name or str(directory), directory.name if directory.name.isdigit() else ""
    served = _accepted(loaded, label_map, input_range, name, version)
    return SavedModel(loaded, served, facts_of(served, name))


def _accepted(loaded: Any, label_map: LabelMap | None, input_range: str, name: str, version: str) -> ServedModel:
    """The model by the gateway's rules, but for the fingerprint: a model of older preprocessing may be compared."""
    described = _description(loaded, name) if DESCRIBE in loaded.signatures else None
    wanted = described.preprocessing.fingerprint if described else fingerprint()
    try:
        return accept(version, _signatures(loaded), described, Terms(name, wanted, label_map, input_range))
    except ContractError as cause:
        raise JudgementError(f"{name} cannot be asked: {cause}.") from cause


def _description(loaded: Any, name: str) -> Description:
    try:
        (text,) = loaded.signatures[DESCRIBE](tf.constant([b""])).values()
        return Description.model_validate_json(text.numpy()[0])
    except (ValidationError, ValueError, TypeError, IndexError, tf.errors.OpError) as cause:
        raise JudgementError(
            f"{name} cannot be asked: its signature {DESCRIBE} returns another document than training writes. "
            f"Export the model without that signature and give its labels with --labels."
        ) from cause


def _signatures(loaded: Any) -> Mapping[str, Signature]:
    """As TensorFlow Serving's metadata describes them."""
    return {
        name: Signature(_tensors(function.structured_input_signature[1]), _tensors(function.structured_outputs))
        for name, function in loaded.signatures.items()
    }


def _tensors(specs: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: Tensor(DataType.Name(spec.dtype.as_datatype_enum), _shape(spec)) for name, spec in specs.items()}


def _shape(spec: Any) -> tuple[int, ...] | None:
    return None if spec.shape.rank is None else tuple(-1 if size is None else size for size in spec.shape)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
