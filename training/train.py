"""Teach a network: uint8 pixels and their classes in, weights and a history out.

In stages of growing picture size. Most is learnt small, where a step costs a fifteenth; the last stage, at the
served size, fits filters and batch norm statistics to what a replica will see.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training import model as network

Pixels = NDArray[np.uint8]
"""uint8, shape (N, side, side, 3)."""
Classes = NDArray[np.int64]
"""int64, shape (N,)."""

LABEL_SMOOTHING = 0.05


class Stage(NamedTuple):
    """Some epochs at one picture size; the rate rises over the first tenth, then falls to nothing as a cosine."""

    side_px: int
    epochs: float
    """May be a part: 0.5 sees every second picture."""
    rate: float
    """Highest learning rate, of Adam."""
    batch: int = 64


class Progress(NamedTuple):
    """What is known after an epoch or a part of one."""

    side_px: int
    step: int
    loss: float
    accuracy: float
    """On the batches since the last report, as they were learnt."""
    seconds: float


Report = Callable[[Progress], None]


def fit(
    model: Any, pixels: Pixels, truth: Classes, stages: list[Stage], *, seed: int, report: Report
) -> list[Progress]:
    """Train `model` (built with side_px=None) in place, stage by stage; everything said to `report` comes back.

    Args:
        pixels: at the served size; stages see them reduced by averaging whole blocks.
        seed: decides the order of the pictures and which are mirrored.
    """
    history: list[Progress] = []
    chance = np.random.default_rng(seed)
    for stage in stages:
        small = reduced(pixels, stage.side_px)
        step = _step(model, len(_starts(len(truth), stage)), stage)
        for progress in _run(step, batches(small, truth, stage, chance), stage.side_px):
            history.append(progress)
            report(progress)
        network.settle(model, _some(small, 12, stage.batch))
    return history


def reduced(pixels: Pixels, side_px: int) -> Pixels:
    """Pictures of a whole fraction of the size: each pixel the mean of a block, rounded."""
    block = pixels.shape[1] // side_px
    if block == 1:
        return pixels
    small = np.empty((len(pixels), side_px, side_px, 3), np.uint8)
    for at in range(0, len(pixels), 256):
        part = pixels[at : at + 256].reshape(-1, side_px, block, side_px, block, 3)
        small[at : at + 256] = (part.sum(axis=(2, 4), dtype=np.uint32) + block * block // 2) // (block * block)
    return small


def batches(
    pixels: Pixels, truth: Classes, stage: Stage, chance: np.random.Generator
) -> Iterator[tuple[Pixels, Classes]]:
    """Shuffled, every second picture mirrored: uint8 [batch,side,side,3] and their classes."""
    order = _order(len(truth), stage.epochs, chance)
    for at in _starts(len(truth), stage):
        chosen = order[at : at + stage.batch]
        picked = pixels[np.sort(chosen)]
        mirrored = chance.random(len(chosen)) < 0.5
        picked[mirrored] = picked[mirrored, :, ::-1]
        yield picked, truth[np.sort(chosen)]


def logits(model: Any, pixels: Pixels, *, batch: int = 32) -> NDArray[np.float32]:
    """Answers of a model in inference mode: float32, shape (N, classes)."""
    ask = tf.function(lambda part: model(network.unit(part), training=False), reduce_retracing=True)
    parts = [np.asarray(ask(tf.constant(pixels[at : at + batch]))) for at in range(0, len(pixels), batch)]
    return np.concatenate(parts)


def _order(count: int, epochs: float, chance: np.random.Generator) -> NDArray[np.int64]:
    whole = [chance.permutation(count) for _ in range(int(np.ceil(epochs)))]
    return np.concatenate(whole)


def _starts(count: int, stage: Stage) -> range:
    """Where each batch begins in the order; the last, incomplete one is left out: batch norm dislikes it."""
    return range(0, int(count * stage.epochs) - stage.batch + 1, stage.batch)


def _some(pixels: Pixels, count: int, batch: int) -> Iterator[Any]:
    """Batches from all over the pictures, to measure batch norm statistics on."""
    spread = np.linspace(0, len(pixels) - 1, min(count * batch, len(pixels))).astype(int)
    for at in range(0, len(spread), batch):
        yield network.unit(pixels[spread[at : at + batch]])


Step = Callable[[Pixels, Classes], tuple[Any, Any]]
"""One batch learnt: its loss and its share of hits."""


def _step(model: Any, steps: int, stage: Stage) -> Step:
    warm = max(steps // 10, 1)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(steps - warm, 1), warmup_target=stage.rate, warmup_steps=warm, alpha=0.01
    )
    optimizer = keras.optimizers.Adam(rate, clipnorm=1.0)
    optimizer.build(model.trainable_variables)
    criterion = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=LABEL_SMOOTHING)
    classes = model.output_shape[-1]
    shape = (None, stage.side_px, stage.side_px, 3)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8), tf.TensorSpec((None,), tf.int64)])  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def learn(pixels: Any, truth: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            answer = model(network.unit(pixels), training=True)
            loss = criterion(tf.one_hot(truth, classes), answer)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        hits = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(answer, axis=1), truth), tf.float32))
        return loss, hits

    return lambda pixels, truth: learn(tf.constant(pixels), tf.constant(truth))


def _run(step: Step, data: Iterator[tuple[Pixels, Classes]], side_px: int) -> Iterator[Progress]:
    """Learn every batch; a report each hundredth."""
    since, learnt = time.monotonic(), list[tuple[float, float]]()
    for number, (pixels, truth) in enumerate(data, start=1):
        loss, hits = step(pixels, truth)
        learnt.append((float(loss), float(hits)))
        if number % 100 == 0:
            yield _progress(side_px, number, learnt, since)
            learnt.clear()
    if learnt:
        yield _progress(side_px, number, learnt, since)


def _progress(side_px: int, step: int, learnt: list[tuple[float, float]], since: float) -> Progress:
    loss, hits = np.mean(learnt, axis=0)
    return Progress(side_px, step, round(float(loss), 4), round(float(hits), 4), round(time.monotonic() - since, 1))
