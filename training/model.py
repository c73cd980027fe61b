"""The network: MobileNetV2 body, global average pooling, one dense layer of logits.

The only file that knows how pixels are scaled. Outside travel uint8 pixels 0..255 or, in the float signature,
their 255th part; what the body wants (-1..1) is made inside the graph.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.errors import TrainingError

SIDE_PX = 224
"""Side of the served model's square input, in pixels. Training may use smaller multiples of 32."""

BATCH_NORM_MOMENTUM = 0.9
"""Keras' own 0.999 needs thousands of steps before its running statistics fit; our runs have hundreds."""


def build(
    classes: int,
    *,
    alpha: float = 1.0,
    weights: str | Path | None = None,
    side_px: int | None = SIDE_PX,
    dropout: float = 0.0,
    seed: int = 0,
) -> Any:
    """A Keras model: float32 [N,side,side,3] in 0..1 to float32 [N,classes] logits.

    Args:
        classes: width of the answer.
        alpha: width of the body; 1.0 is the published network, 0.35 has 0.4 million weights, 0.1 is a toy.
        weights: of the body: None (random, from `seed`), "imagenet" (downloaded by Keras) or a local
            Keras `.h5` or `.weights.h5` file of MobileNetV2 without its top.
        side_px: None takes any multiple of 32.
        dropout: share of the pooled features dropped while training.
        seed: of Keras' and NumPy's global generators, which this sets.
    """
    keras.utils.set_random_seed(seed)
    image = keras.Input((side_px, side_px, 3), name="image")
    centred = keras.layers.Rescaling(2.0, offset=-1.0, name="centred")(image)
    features = _body(alpha, weights, side_px)(centred)
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(features)
    kept = keras.layers.Dropout(dropout, name="kept")(pooled)
    logits = keras.layers.Dense(classes, name="logits")(kept)
    return keras.Model(image, logits, name="specimen")


def unit(pixels: Any) -> Any:
    """Pixels, uint8 0..255 of any shape, to the float32 0..1 that the model takes."""
    return tf.cast(pixels, tf.float32) / np.float32(255)


def calibrated(model: Any, temperature: float) -> Any:
    """The same network with probabilities for an answer: softmax of logits / `temperature`."""
    cooled = keras.layers.Rescaling(1.0 / temperature, name="cooled")(model.output)
    return keras.Model(model.input, keras.layers.Softmax(name="probabilities")(cooled), name="calibrated")


def settle(model: Any, batches: Iterable[Any]) -> None:
    """Set the batch norms' running statistics to the mean over `batches` (float32 [N,side,side,3] in 0..1).

    After a change of picture size, or with random weights, the running ones are far off.
    """
    norms = [layer for layer in model.get_layer("body").layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.moving_mean.assign(tf.zeros_like(norm.moving_mean))
        norm.moving_variance.assign(tf.zeros_like(norm.moving_variance))
    for seen, batch in enumerate(batches):
        for norm in norms:
            norm.momentum = seen / (seen + 1)
        model(batch, training=True)
    for norm in norms:
        norm.momentum = BATCH_NORM_MOMENTUM


def _body(alpha: float, weights: str | Path | None, side_px: int | None) -> Any:
    known = weights if weights in (None, "imagenet") else None
    body = keras.applications.MobileNetV2(
        input_shape=(side_px, side_px, 3), alpha=alpha, include_top=False, weights=known, name="body"
    )
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    if weights is not None and known is None:
        _load(body, Path(weights))
    return body


def _load(body: Any, file: Path) -> None:
    if not file.is_file():
        raise TrainingError(f"no weights file at {file}: give a MobileNetV2 .h5 without its top, 'imagenet' or none")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns of layers that it leaves as they were
            body.load_weights(file)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise TrainingError(f"{file} does not hold the weights of a MobileNetV2 of this width: {error}") from error
