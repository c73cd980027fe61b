"""The network: a MobileNetV2 body, global average pooling, one dense layer of logits.

Only this file knows how pixels are scaled. All other code has uint8 pixels 0..255 or, for the float signature, these
divided by 255; the scaling to -1..1 that the body expects is inside the graph.
"""

import hashlib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.errors import TrainingError

SIDE_PX = 224
"""Side of the served model's square input, in pixels. Training may use smaller multiples of 32."""

PUBLISHED = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
"""Widths with published ImageNet weights."""
BATCH_NORM_MOMENTUM = 0.9
"""Keras' default 0.999 needs thousands of steps until the running statistics fit; our runs have hundreds."""


def build(
    classes: int,
    *,
    alpha: float = 1.0,
    weights: str | Path | None = None,
    side_px: int | None = SIDE_PX,
    look_px: int | None = None,
    dropout: float = 0.0,
    seed: int = 0,
    precision: str = "float32",
) -> Any:
    """A Keras model: float32 [N,side,side,3] in 0..1 to float32 [N,classes] logits.

    Args:
        classes: number of outputs.
        alpha: width of the body; 1.0 is the published network, 0.35 has 0.4 million weights, 0.1 is a toy.
        weights: of the body: None (random, from `seed`), "imagenet" (downloaded by Keras) or a local
            file: Keras' `.h5` or `.weights.h5` of MobileNetV2 without its top, or the `model.keras` of an earlier run.
        side_px: of the input; None accepts any multiple of 32.
        look_px: picture size for the body, a whole fraction of `side_px`; the graph shrinks pictures to it by means
            over blocks. `side_px` itself where None.
        dropout: share of the pooled features dropped while training.
        seed: of Keras' and NumPy's global generators, which this function sets.
        precision: of the body's computation: float32, mixed_float16 or mixed_bfloat16. Weights and logits are float32.

    Raises:
        TrainingError: the weights cannot be loaded, or belong to another network.
    """
    keras.utils.set_random_seed(seed)
    with _computing_in(precision):
        image = keras.Input((side_px, side_px, 3), name="image", dtype="float32")
        block = side_px // look_px if side_px and look_px else 1
        seen = keras.layers.AveragePooling2D(block, name="shrunk")(image) if block > 1 else image
        centred = keras.layers.Rescaling(2.0, offset=-1.0, name="centred")(seen)
        features = _body(alpha, weights, side_px if block == 1 else None)(centred)
        pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(features)
        kept = keras.layers.Dropout(dropout, name="kept", seed=seed)(pooled)
        logits = keras.layers.Dense(classes, name="logits", dtype="float32")(kept)
        return keras.Model(image, logits, name="specimen")


def set_trainable(model: Any, *, frozen: bool, norms_learn: bool) -> None:
    """Choose what a phase trains: only the head with `frozen`; batch norm only with `norms_learn`.

    A batch norm that is not trained computes as at inference, also while the layers around it are trained.
    """
    body = model.get_layer("body")
    body.trainable = not frozen
    if not (frozen or norms_learn):
        for layer in _norms(body):
            layer.trainable = False


def weights_digest(model: Any) -> str:
    """`sha256:` of the body's weights."""
    digest = hashlib.sha256()
    for array in model.get_layer("body").get_weights():
        digest.update(np.ascontiguousarray(array, "<f4").data)
    return f"sha256:{digest.hexdigest()}"


def unit(pixels: Any) -> Any:
    """uint8 0..255 of any shape to float32 0..1, the model's input."""
    return tf.cast(pixels, tf.float32) / np.float32(255)


def inference(model: Any) -> Any:
    """The model in inference mode, traced once: uint8 pixels [N,side,side,3] to float32 logits [N,classes]."""
    return tf.function(lambda pixels: model(unit(pixels), training=False), reduce_retracing=True)


def calibrated(model: Any, temperature: float) -> Any:
    """The same network with probabilities as its output: softmax of logits / `temperature`."""
    cooled = keras.layers.Rescaling(1.0 / temperature, name="cooled")(model.output)
    return keras.Model(model.input, keras.layers.Softmax(name="probabilities")(cooled), name="calibrated")


def reestimate_norms(model: Any, batches: Iterable[Any]) -> None:
    """Set the batch norms' running statistics to the means over `batches` (float32 [N,side,side,3] in 0..1).

    After a change of picture size, or with random weights, the running statistics are far off.
    """
    norms = _norms(model.get_layer("body"))
    for norm in norms:
        norm.moving_mean.assign(tf.zeros_like(norm.moving_mean))
        norm.moving_variance.assign(tf.zeros_like(norm.moving_variance))
    for seen, batch in enumerate(batches):
        for norm in norms:
            norm.momentum = seen / (seen + 1)
        model(batch, training=True)
    for norm in norms:
        norm.momentum = BATCH_NORM_MOMENTUM


def _norms(body: Any) -> list[Any]:
    return [layer for layer in body.layers if isinstance(layer, keras.layers.BatchNormalization)]


@contextmanager
def _computing_in(precision: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _body(alpha: float, weights: str | Path | None, side_px: int | None) -> Any:
    """For a fixed size, Keras pads depending on whether deeper sizes are odd; for None, always the same way."""
    body = keras.applications.MobileNetV2(
        input_shape=(side_px, side_px, 3), alpha=alpha, include_top=False, weights=None, name="body"
    )
    for layer in _norms(body):
        layer.momentum = BATCH_NORM_MOMENTUM
    if weights == "imagenet":
        body.set_weights(_imagenet(alpha))
    elif weights is not None:
        _load(body, Path(weights))
    return body


def _imagenet(alpha: float) -> list[Any]:
    """The published weights; Keras downloads them once into its own cache."""
    if alpha not in PUBLISHED:
        widths = ", ".join(map(str, PUBLISHED))
        raise TrainingError(
            f"ImageNet weights are published for the widths {widths}: choose one, or give --weights none."
        )
    try:
        published = keras.applications.MobileNetV2(
            input_shape=(SIDE_PX, SIDE_PX, 3), alpha=alpha, include_top=False, weights="imagenet"
        )
    except Exception as cause:
        raise TrainingError(
            "The ImageNet weights cannot be downloaded: "
            "give a local file with --weights FILE, or start from random weights with --weights none."
        ) from cause
    return list(published.get_weights())


def _load(body: Any, file: Path) -> None:
    if not file.is_file():
        raise TrainingError(
            f"There is no weights file {file}: give a MobileNetV2 .h5 without its top, 'imagenet' or 'none'."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns about layers that it does not load
            if file.suffix == ".keras":
                body.set_weights(keras.saving.load_model(file, compile=False).get_layer("body").get_weights())
            else:
                body.load_weights(file)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        first = str(error).strip().partition("\n")[0]
        raise TrainingError(f"{file} does not hold the weights of a MobileNetV2 of this width: {first}") from error
