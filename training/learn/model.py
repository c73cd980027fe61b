"""The network: a backbone of the table below as its body, global average pooling, one dense layer of logits.

Only this file knows how pixels are scaled. All other code has uint8 pixels 0..255 or, for the float signature, these
divided by 255; the scaling that a backbone expects is inside the graph.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.learn import weights as sources
from training.learn.weights import Published

SIDE_PX = 224
"""Side of the served model's square input, in pixels. Training may use smaller multiples of 32."""

BATCH_NORM_MOMENTUM = 0.9
"""Keras' default 0.999 needs thousands of steps until the running statistics fit; our runs have hundreds."""


class Head(NamedTuple):
    """The last layer: logits are features @ kernel + bias."""

    kernel: NDArray[np.float32]
    """Shape (features, classes)."""
    bias: NDArray[np.float32]
    """Shape (classes,)."""

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Float32, shape (N, classes), of features (N, features)."""
        return features @ self.kernel + self.bias


# --- Backbones --------------------------------------------------------------------------------------------------


class Backbone(NamedTuple):
    """A network without its head. One entry of `BACKBONES`, named in `options.BackboneName`, adds another."""

    title: str
    factor: float
    offset: float
    """Its input is pixels / 255 * factor + offset."""
    body: Callable[[int | None, float], Any]
    """(picture side or None, width) -> a Keras model named "body", with random weights; each convolution is followed by
    its batch norm."""
    imagenet: Callable[[float], Published]
    """width -> the weights that were trained on ImageNet."""
    source: Callable[[], str]
    """Where these come from, for people."""


def _mobilenet_v2(side_px: int | None, width: float) -> Any:
    """For a fixed size, Keras pads depending on whether deeper sizes are odd; for None, always the same way."""
    return keras.applications.MobileNetV2(
        input_shape=(side_px, side_px, 3), alpha=width, include_top=False, weights=None, name="body"
    )


LITE0_BLOCKS = (
    # channels, repeats, kernel, stride of the first, expansion
    (16, 1, 3, 1, 1),
    (24, 2, 3, 2, 6),
    (40, 2, 5, 2, 6),
    (80, 3, 3, 2, 6),
    (112, 3, 5, 1, 6),
    (192, 4, 5, 2, 6),
    (320, 1, 3, 1, 6),
)


def _efficientnet_lite0(side_px: int | None, width: float) -> Any:
    """EfficientNet-B0 without squeeze-and-excitation, with ReLU6, padded as TensorFlow pads; `width` is always 1.

    Source: table 1 of Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019);
    `efficientnet/lite/README.md` of TensorFlow's repository `tpu`.
    """
    image = keras.Input((side_px, side_px, 3))
    features = _normed(keras.layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="stem"), image)
    for stage, (channels, repeats, kernel, stride, expansion) in enumerate(LITE0_BLOCKS, 1):
        for at in range(repeats):
            features = _inverted(
                features, f"block{stage}{'abcd'[at]}", channels, kernel, stride if at == 0 else 1, expansion
            )
    top = _normed(keras.layers.Conv2D(1280, 1, use_bias=False, name="top"), features)
    return keras.Model(image, top, name="body")


def _inverted(features: Any, name: str, channels: int, kernel: int, stride: int, expansion: int) -> Any:
    """An inverted residual block: widen, convolve each channel, narrow; added to its input where the shape stays."""
    before, wide = features, features
    narrow = before.shape[-1]
    if expansion > 1:
        wide = _normed(keras.layers.Conv2D(narrow * expansion, 1, use_bias=False, name=f"{name}_expand"), wide)
    depthwise = keras.layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise")
    project = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")
    after = _normed(project, _normed(depthwise, wide), active=False)
    return keras.layers.Add(name=f"{name}_add")([before, after]) if stride == 1 and narrow == channels else after


def _normed(convolution: Any, features: Any, *, active: bool = True) -> Any:
    name = convolution.name
    normed = keras.layers.BatchNormalization(epsilon=1e-3, name=f"{name}_norm")(convolution(features))
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(normed) if active else normed


BACKBONES = {
    "efficientnet_lite0": Backbone(
        "EfficientNet-Lite0",
        255 / 128,
        -127 / 128,
        _efficientnet_lite0,
        lambda width: sources.efficientnet_lite0(),
        sources.source,
    ),
    "mobilenet_v2": Backbone(
        "MobileNetV2", 2.0, -1.0, _mobilenet_v2, sources.mobilenet_v2, lambda: "Keras (a download)"
    ),
}

# --- The whole network ------------------------------------------------------------------------------------------


def build(
    classes: int,
    *,
    backbone: str = "mobilenet_v2",
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
        backbone: a key of `BACKBONES`.
        alpha: width of a MobileNetV2; 1.0 is the published network, 0.35 has 0.4 million weights, 0.1 is a toy.
        weights: of the body: None (random, from `seed`), "imagenet" (as the table says) or a local file: Keras' `.h5`
            or `.weights.h5` of the backbone without its top, or the `model.keras` of an earlier run.
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
    chosen = BACKBONES[backbone]
    with _computing_in(precision):
        image = keras.Input((side_px, side_px, 3), name="image", dtype="float32")
        block = side_px // look_px if side_px and look_px else 1
        seen = keras.layers.AveragePooling2D(block, name="shrunk")(image) if block > 1 else image
        centred = keras.layers.Rescaling(chosen.factor, offset=chosen.offset, name="centred")(seen)
        features = _body(chosen, alpha, weights, side_px if block == 1 else None)(centred)
        pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(features)
        kept = keras.layers.Dropout(dropout, name="kept", seed=seed)(pooled)
        logits = keras.layers.Dense(classes, name="logits", dtype="float32")(kept)
        return keras.Model(image, logits, name="specimen")


def imagenet_classifier() -> Any:
    """EfficientNet-Lite0 as published: float32 [N,224,224,3] in 0..1 to float32 [N,1000] logits.

    The outputs have the order of `weights.imagenet_names`.

    Raises:
        TrainingError: the weights are not installed, or are damaged.
    """
    body, head = sources.efficientnet_lite0()
    model = build(head[-1].size, backbone="efficientnet_lite0")
    model.get_layer("body").set_weights(body)
    model.get_layer("logits").set_weights(head)
    return model


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
    pixels = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
    return tf.function(lambda pixels: model(unit(pixels), training=False), input_signature=[pixels])


def without_head(model: Any) -> Any:
    """The same network up to its pooled features: float32 [N,side,side,3] in 0..1 to float32 [N,features]."""
    return keras.Model(model.input, model.get_layer("pooled").output, name="features")


def head_of(model: Any) -> Head:
    """Of a model that `build` made."""
    return Head(*model.get_layer("logits").get_weights())


NEAREST = 5
"""Taught pictures that the familiarity of a picture is measured by."""


def familiarity(pooled: Any, taught: Any) -> Any:
    """How much pictures resemble what was taught: float [N], 0..1; tensors or arrays.

    The mean of a picture's `NEAREST` largest cosines with taught pictures. The features are after a ReLU, so no cosine
    is below 0.

    Args:
        pooled: features of the pictures, float [N,features], 0 or more.
        taught: features of taught pictures, each of length 1: float [M,features].
    """
    cosines = keras.ops.matmul(keras.ops.normalize(pooled, axis=-1), keras.ops.transpose(taught))
    nearest, _ = keras.ops.top_k(cosines, min(NEAREST, len(taught)))
    return keras.ops.minimum(keras.ops.mean(nearest, axis=-1), 1.0)


def calibrated(model: Any, temperature: float, shares: NDArray[np.float32] | None = None) -> Any:
    """The same network with probabilities as its output: softmax of logits / `temperature`.

    Args:
        shares: float32 [classes,labels], what of each class's probability every label gets: the output becomes
            probabilities @ shares, float32 [N,labels]. The classes themselves where None.
    """
    cooled = keras.layers.Rescaling(1.0 / temperature, name="cooled")(model.output)
    output = keras.layers.Softmax(name="probabilities")(cooled)
    if shares is None:
        return keras.Model(model.input, output, name="calibrated")
    carry = keras.layers.Dense(shares.shape[1], use_bias=False, name="carried")
    carried = keras.Model(model.input, carry(output), name="calibrated")
    carry.set_weights([shares])
    return carried


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


def _body(backbone: Backbone, alpha: float, weights: str | Path | None, side_px: int | None) -> Any:
    body = backbone.body(side_px, alpha)
    for layer in _norms(body):
        layer.momentum = BATCH_NORM_MOMENTUM
    if weights == "imagenet":
        body.set_weights(backbone.imagenet(alpha).body)
    elif weights is not None:
        sources.load(body, Path(weights), backbone.title)
    return body
