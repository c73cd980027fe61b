"""Keras models from files, of this and other projects: `.keras`, and the `.h5` of Keras 2."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from gateway.labels import LabelMap
from gateway.tfserving.contract import INPUT_RANGES
from training.errors import JudgementError
from training.judge.examples import Picture
from training.judge.sources.source import Facts, Outputs, checked
from training.learn import model as network
from training.learn import runs

SUFFIXES = (".keras", ".h5", ".hdf5")
TINY = 1e-30
"""Smallest probability whose logarithm is taken."""


class KerasFile:
    """A model in this process, called as in training."""

    def __init__(self, network_: Any, facts: Facts, taught: NDArray[np.float32] | None = None) -> None:
        self.network = network_
        """float32 [N,224,224,3] in 0..1 to logits."""
        self.facts = facts
        self.taught = taught
        """Features of taught pictures, each of length 1: shape (M, features); None where the model has none."""
        served = network.calibrated(network_, facts.temperature)
        outputs = {"probabilities": served.output}
        if taught is not None:
            outputs["features"] = network_.get_layer("pooled").output
        self._ask = network.inference(keras.Model(served.input, outputs))

    def ask(self, pictures: Sequence[Picture]) -> Outputs:
        outputs = self._ask(np.stack([picture.pixels for picture in pictures]))
        familiarity = None if self.taught is None else network.familiarity(outputs["features"], self.taught)
        return checked(outputs["probabilities"], self.facts, len(pictures), familiarity)

    def close(self) -> None:
        self._ask = None


def opened(file: Path, labels: LabelMap, *, temperature: float = 1.0, input_range: str = "0..1") -> KerasFile:
    """A model file.

    Args:
        labels: in the order of its output.
        temperature: to divide its logits by.
        input_range: what a colour channel spans in the model's input, as in `GATEWAY_INPUT_RANGE`.

    Raises:
        JudgementError: it cannot be loaded, or does not classify 224 x 224 pictures into that many classes.
    """
    loaded = load(file)
    own = _of_classes(as_network(loaded, str(file), input_range), len(labels.labels), file)
    return KerasFile(own, Facts(str(file), labels.labels, temperature, digest=digest_of(file), label_map=labels))


def _of_classes(model: Any, labels: int, file: Path) -> Any:
    if model.output_shape[-1] != labels:
        raise JudgementError(f"{file} has {model.output_shape[-1]} outputs for {labels} labels: fix the label file.")
    return model


def of_run(folder: Path) -> KerasFile:
    """The model of a finished run.

    Raises:
        JudgementError, RunError: it is not finished, or cannot be loaded.
    """
    record, file = runs.load(folder), folder / runs.MODEL
    if not record.finished:
        raise JudgementError(f"{folder} is not finished: repeat the same `train` command to resume it.")
    model = _of_classes(as_network(load(file), str(file)), len(record.labels), file)
    facts = Facts(
        str(folder),
        record.labels,
        record.temperature,
        digest=digest_of(file),
        label_map=record.label_map,
        sure_at=record.sure_at,
        familiar_at=record.familiar_at,
    )
    return KerasFile(model, facts, runs.taught(folder))


def load(file: Path) -> Any:
    """The model as it was saved, for inference.

    Raises:
        JudgementError: there is no such file, or Keras cannot read it.
    """
    if not file.is_file():
        raise JudgementError(f"There is no model file {file}.")
    older = {"DepthwiseConv2D": _DepthwiseConv2D} if file.suffix != ".keras" else None
    try:
        model = keras.saving.load_model(file, custom_objects=older, compile=False)
        return keras.Model(model.inputs[0], model.outputs[0]) if older and _is_plain(model) else model
    except (ValueError, TypeError, KeyError, OSError, AttributeError) as cause:
        reason = str(cause).strip().splitlines()[0][:200] if str(cause).strip() else type(cause).__name__
        raise JudgementError(f"{file} cannot be read as a Keras model: {reason}") from cause


def as_network(model: Any, name: str, input_range: str = "0..1") -> Any:
    """The model as `release.graph` expects it: float32 [N,224,224,3] in 0..1 to logits.

    Where it ends in a softmax, the logarithms of its probabilities replace the logits: their softmax is the same.

    Raises:
        JudgementError: its input or output has another shape, or its last activation is unsuitable.
    """
    _check_shapes(model, name)
    probabilities = _ends_in_softmax(model, name)
    if not probabilities and input_range == "0..1":
        return model
    side, (low, high) = network.SIDE_PX, INPUT_RANGES[input_range]
    image = keras.Input((side, side, 3), name="image")
    answer = model(keras.layers.Rescaling(high - low, offset=low, name="spanned")(image))
    if probabilities:
        answer = keras.ops.log(keras.ops.maximum(answer, TINY))
    return keras.Model(image, answer, name="adopted")


def digest_of(file: Path) -> str:
    """`sha256:` of its bytes."""
    with file.open("rb") as data:
        return f"sha256:{hashlib.file_digest(data, 'sha256').hexdigest()}"


class _DepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]  # Keras has no types
    """Keras 2 saved an option that Keras 3 does not know and that has no effect on this layer."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return keras.layers.DepthwiseConv2D.from_config({k: v for k, v in config.items() if k != "groups"})


def _is_plain(model: Any) -> bool:
    """One input and one output; Keras 3 wraps the output of an older model in a list."""
    return len(model.inputs or ()) == len(model.outputs or ()) == 1


def _check_shapes(model: Any, name: str) -> None:
    side = network.SIDE_PX
    takes: Any = getattr(model, "input_shape", None)
    gives: Any = getattr(model, "output_shape", None)
    picture = isinstance(takes, tuple) and len(takes) == 4
    if not picture or any(size not in (None, want) for size, want in zip(takes[1:], (side, side, 3), strict=True)):
        raise JudgementError(f"{name} takes input of shape {takes}; replicas send [N, {side}, {side}, 3].")
    if not (isinstance(gives, tuple) and len(gives) == 2 and gives[1]):
        raise JudgementError(f"{name} has output of shape {gives}; a classifier has [N, classes].")


def _ends_in_softmax(model: Any, name: str) -> bool:
    last = model.layers[-1]
    if isinstance(last, keras.Model):
        return _ends_in_softmax(last, name)
    activation = getattr(last, "activation", None)
    if isinstance(last, keras.layers.Softmax) or activation is keras.activations.softmax:
        return True
    if activation not in (None, keras.activations.linear):
        raise JudgementError(f"{name} ends in {activation.__name__}; a classifier must end in a softmax or in logits.")
    return False
