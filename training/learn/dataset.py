"""Pictures from the cache to the network, read, shrunk and changed beside the training: tf.data.

Nothing here decodes or resizes by itself: the pixels are `gateway.imaging`'s, by way of `data.decoding`. Smaller
sizes are means of whole blocks of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gateway.imaging import SIDE_PX
from training.learn import augmentation
from training.learn.augmentation import Augment, Changes
from training.learn.model import unit


@dataclass(frozen=True)
class Lesson:
    """Pictures with their classes and their say."""

    paths: tuple[str, ...]
    """Of their pixels in the cache."""
    truth: NDArray[np.int64]
    weights: NDArray[np.float32]
    """What their loss is multiplied by."""

    def __len__(self) -> int:
        return len(self.paths)

    def chosen(self, positions: NDArray[np.int64]) -> "Lesson":
        """Some of them, in this order."""
        return Lesson(tuple(self.paths[at] for at in positions), self.truth[positions], self.weights[positions])


def lesson(paths: Sequence[Path], truth: Sequence[int], class_weights: NDArray[np.float32] | None = None) -> Lesson:
    """Pictures in the cache and their classes; each weighs as its class does."""
    classes = np.array(truth, np.int64)
    weights = np.ones(len(classes), np.float32) if class_weights is None else class_weights[classes]
    return Lesson(tuple(map(str, paths)), classes, weights)


def epoch(
    pictures: Lesson, side_px: int, batch: int, *, augment: Augment, chance: np.random.Generator, skip: int = 0
) -> Any:
    """All pictures once in an order of chance, as a tf.data.Dataset of whole batches; what is left over stays out.

    Elements are (pixels uint8 [batch,side,side,3], light float32 [batch,2], truth int64 [batch], weights float32
    [batch]); `light` is for `network_input`.

    Args:
        skip: batches to leave out at the beginning: those that were learnt before a kill.
    """
    order = chance.permutation(len(pictures))
    changes = augmentation.draw(len(pictures), side_px, augment, chance)
    shown = pictures.chosen(order[skip * batch :])
    rest = Changes(changes.transforms[skip * batch :], changes.light[skip * batch :])
    return _batches(shown, rest, side_px, batch, changed=augment != "none", whole=True)


def plain(pictures: Lesson, side_px: int, batch: int) -> Any:
    """All pictures once, in their order and as they are: elements as of `epoch`, the last one perhaps smaller."""
    same = augmentation.draw(len(pictures), side_px, "none", np.random.default_rng(0))
    return _batches(pictures, same, side_px, batch, changed=False, whole=False)


def network_input(pixels: Any, light: Any, *, augment: Augment) -> Any:
    """What the network sees: float32 [N,side,side,3] in 0..1, in the contrast and light drawn for each, [N,2]."""
    image = unit(pixels)
    if augment != "standard":
        return image
    contrast, more = light[:, 0, None, None, None], light[:, 1, None, None, None]
    return tf.clip_by_value((image - 0.5) * contrast + 0.5 + more, 0.0, 1.0)


def _batches(pictures: Lesson, changes: Changes, side_px: int, batch: int, *, changed: bool, whole: bool) -> Any:
    columns = (list(pictures.paths), changes.transforms, changes.light, pictures.truth, pictures.weights)
    read = tf.data.Dataset.from_tensor_slices(columns).map(_read, num_parallel_calls=tf.data.AUTOTUNE)

    def prepared(pixels: Any, transforms: Any, light: Any, truth: Any, weights: Any) -> Any:
        small = _reduced(pixels, side_px)
        return _moved(small, transforms, side_px) if changed else small, light, truth, weights

    batches = read.batch(batch, drop_remainder=whole)
    return batches.map(prepared, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def _read(path: Any, *rest: Any) -> Any:
    pixels = tf.io.decode_raw(tf.io.read_file(path), tf.uint8)
    return tf.reshape(pixels, (SIDE_PX, SIDE_PX, 3)), *rest


def _reduced(pixels: Any, side_px: int) -> Any:
    """uint8 [N,224,224,3] to [N,side,side,3]: the mean of each block, rounded half up."""
    block = SIDE_PX // side_px
    if block == 1:
        return pixels
    means = tf.nn.avg_pool2d(tf.cast(pixels, tf.float32), block, block, "VALID")
    return tf.cast(tf.floor(means + 0.5), tf.uint8)


def _moved(pixels: Any, transforms: Any, side_px: int) -> Any:
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=transforms,
        output_shape=tf.constant((side_px, side_px), tf.int32),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
