"""Pictures from the cache to the network: read, shrunk and augmented beside the training, by tf.data.

Nothing here decodes or resizes a file: the pixels are those of `gateway.imaging`, by way of `data.pictures`. Smaller
sizes are means over whole blocks of them. Augmentation comes after preprocessing, never instead of it. The changes of
an epoch are drawn from the seed before it begins, so that a resumed epoch continues with the same pictures in the same
order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gateway.imaging import SIDE_PX
from training.data.manifest import Part
from training.data.prepare import Prepared, class_weights
from training.learn.model import unit
from training.learn.options import Augment

TURN = np.deg2rad(15)
ZOOM = 0.15
SHIFT = 0.1
"""Of the picture's side."""
LIGHT = 0.15
CONTRAST = 0.2


@dataclass(frozen=True)
class LabelledSet:
    """Pictures with their classes and weights."""

    paths: tuple[str, ...]
    """Of their pixels in the cache."""
    truth: NDArray[np.int64]
    weights: NDArray[np.float32]
    """Factors of their losses."""

    def __len__(self) -> int:
        return len(self.paths)

    def chosen(self, positions: NDArray[np.int64]) -> "LabelledSet":
        """Some of them, in this order."""
        return LabelledSet(tuple(self.paths[at] for at in positions), self.truth[positions], self.weights[positions])


def labelled_set(
    paths: Sequence[Path], truth: Sequence[int], weights: NDArray[np.float32] | None = None
) -> LabelledSet:
    """Pictures in the cache with their classes.

    Args:
        weights: by class, shape (classes,); 1 for all where None.
    """
    classes = np.array(truth, np.int64)
    factors = np.ones(len(classes), np.float32) if weights is None else weights[classes]
    return LabelledSet(tuple(map(str, paths)), classes, factors)


def part_of(prepared: Prepared, part: Part, *, balanced: bool = False) -> LabelledSet:
    """One split of a prepared data set.

    Args:
        balanced: weight the pictures by their classes, see `data.prepare.class_weights`.
    """
    index = {label: at for at, label in enumerate(prepared.labels)}
    pictures = prepared.part(part)
    truth = [index[picture.label] for picture in pictures]
    weights = class_weights(truth, len(prepared.labels)) if balanced else None
    return labelled_set([prepared.cache.path(picture.sha256) for picture in pictures], truth, weights)


# --- Batches ----------------------------------------------------------------------------------------------------


def epoch(
    pictures: LabelledSet, side_px: int, batch: int, *, augment: Augment, chance: np.random.Generator, skip: int = 0
) -> Any:
    """All pictures once in random order, as a tf.data.Dataset of whole batches; the remainder is left out.

    Elements are (pixels uint8 [batch,side,side,3], light float32 [batch,2], truth int64 [batch], weights float32
    [batch]); `light` is for `network_input`.

    Args:
        skip: batches to leave out at the beginning: those that were trained on before a kill.
    """
    order = chance.permutation(len(pictures))
    changes = draw_changes(len(pictures), side_px, augment, chance)
    shown = pictures.chosen(order[skip * batch :])
    rest = Changes(changes.transforms[skip * batch :], changes.light[skip * batch :])
    return _batches(shown, rest, side_px, batch, changed=augment != "none", whole=True)


def plain(pictures: LabelledSet, side_px: int, batch: int) -> Any:
    """All pictures once, in order and unchanged: elements as of `epoch`; the last one may be smaller."""
    unchanged = draw_changes(len(pictures), side_px, "none", np.random.default_rng(0))
    return _batches(pictures, unchanged, side_px, batch, changed=False, whole=False)


def network_input(pixels: Any, light: Any, *, augment: Augment) -> Any:
    """float32 [N,side,side,3] in 0..1, with the contrast and light drawn for each picture, [N,2]."""
    image = unit(pixels)
    if augment != "standard":
        return image
    contrast, more = light[:, 0, None, None, None], light[:, 1, None, None, None]
    return tf.clip_by_value((image - 0.5) * contrast + 0.5 + more, 0.0, 1.0)


def _batches(pictures: LabelledSet, changes: "Changes", side_px: int, batch: int, *, changed: bool, whole: bool) -> Any:
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


# --- Augmentation -----------------------------------------------------------------------------------------------


class Changes(NamedTuple):
    """For each of N pictures."""

    transforms: NDArray[np.float32]
    """Shape (N, 8): where each pixel of the result comes from, as TensorFlow's projective transform."""
    light: NDArray[np.float32]
    """Shape (N, 2): contrast, a factor of the difference from middle grey, and an offset of values in 0..1."""


def draw_changes(count: int, side_px: int, how: Augment, chance: np.random.Generator) -> Changes:
    """Changes for an epoch, drawn evenly within their bounds. "none" changes nothing, "mirror" only mirrors."""
    mirrored = chance.random(count) < (0 if how == "none" else 0.5)
    strength = 1.0 if how == "standard" else 0.0
    turn, zoom, right, down, contrast, light = strength * chance.uniform(-1, 1, (6, count))
    scale = 1 + ZOOM * zoom
    cosine, sine = np.cos(TURN * turn) * scale, np.sin(TURN * turn) * scale
    sign = np.where(mirrored, -1.0, 1.0)
    middle = (side_px - 1) / 2
    across = middle - sign * cosine * middle + sine * middle + SHIFT * side_px * right
    along = middle - sign * sine * middle - cosine * middle + SHIFT * side_px * down
    nothing = np.zeros(count)
    rows = (sign * cosine, -sine, across, sign * sine, cosine, along, nothing, nothing)
    return Changes(
        np.stack(rows, axis=1).astype(np.float32),
        np.stack((1 + CONTRAST * contrast, LIGHT * light), axis=1).astype(np.float32),
    )


def _moved(pixels: Any, transforms: Any, side_px: int) -> Any:
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=transforms,
        output_shape=tf.constant((side_px, side_px), tf.int32),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
