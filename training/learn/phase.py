"""One phase of a training: an optimizer, a step, epochs of steps, and the best weights that were seen.

Knows nothing of folders: where it stands comes in and goes out as a `Checkpoint`.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training import metrics
from training.errors import TrainingError
from training.learn import dataset, schedule
from training.learn import model as network
from training.learn.checkpoints import Checkpoint
from training.learn.dataset import Lesson
from training.learn.distribution import spread
from training.learn.options import Options, Phase

SETTLING = 12
"""Batches over which batch norm's statistics are measured after a phase."""


class Place(NamedTuple):
    """How far a phase has come."""

    epoch: int = 0
    """That is going on, from 0."""
    step: int = 0
    """Batches of it that were learnt."""
    loss: float = 0.0
    hits: float = 0.0
    """Sums over them."""


Keep = Callable[[Place], None]
"""Takes the place of a checkpoint that is due."""
Watch = Callable[[int, int], None]
"""Takes the steps done in an epoch and those there are."""


class Fitting:
    """A model in one phase. Made anew for each, in the order of the phases."""

    def __init__(self, model: Any, phase: Phase, options: Options, strategy: Any, pictures: Lesson) -> None:
        self.model, self.phase, self.options, self.strategy, self.pictures = model, phase, options, strategy, pictures
        self.batch = min(options.batch, len(pictures))
        self.per_epoch = len(pictures) // self.batch
        self.steps = max(round(self.per_epoch * phase.epochs), 1)
        self.best: list[Any] = []
        network.teach(model, frozen=phase.frozen, norms_learn=phase.norms_learn)
        with strategy.scope():
            self.optimizer = _optimizer(options, strategy.num_replicas_in_sync)
            self.optimizer.build(model.trainable_variables)
        self.step: Callable[[Any], tuple[Any, Any]] = _step(model, self.optimizer, strategy, options, self.batch)
        self._ask = network.asker(model)

    @property
    def epochs(self) -> int:
        """The last one may be a part."""
        return -(-self.steps // self.per_epoch)

    def learn(self, place: Place, seed: list[int], keep: Keep, watch: Watch) -> tuple[float, float]:
        """The rest of an epoch; its mean loss and accuracy.

        Args:
            place: where it begins.
            seed: of the epoch's order and changes; the same again after a kill.
        """
        chance = np.random.default_rng([*seed, place.epoch])
        batches = dataset.epoch(
            self.pictures, self.phase.side_px, self.batch, augment=self.options.augment, chance=chance, skip=place.step
        )
        last = min(self.per_epoch, self.steps - place.epoch * self.per_epoch)
        for batch in _first(spread(self.strategy, batches), last - place.step):
            self.optimizer.learning_rate.assign(self.rate(place))
            loss, hits = self.step(batch)
            place = place._replace(step=place.step + 1, loss=place.loss + float(loss), hits=place.hits + float(hits))
            watch(place.step, last)
            if place.step % self.options.checkpoint_steps == 0 and place.step < last:
                keep(place)
        if not np.isfinite(place.loss):
            raise TrainingError(f"The loss is no number any more in phase {self.phase.name}: lower its rate (--rates).")
        return place.loss / last, place.hits / (last * self.batch)

    def rate(self, place: Place) -> float:
        """Of the step that comes next."""
        return schedule.rate_at(place.epoch * self.per_epoch + place.step, self.steps, self.phase.rate)

    def judged(self, pictures: Lesson) -> tuple[float, float]:
        """Loss (nats) and accuracy of the network as it is, at the size of the phase."""
        rows = metrics.softmax(logits(self._ask, pictures, self.phase.side_px))
        return metrics.negative_log_likelihood(rows, pictures.truth), metrics.top_k_share(rows, pictures.truth, 1)

    def remember(self) -> None:
        """The weights as they are now are the best so far."""
        self.best = self.model.get_weights()

    def finish(self, validation: Lesson) -> None:
        """Back to the best weights; batch norm, where it learnt, gets statistics to fit them, if that helps."""
        if self.best:
            self.model.set_weights(self.best)
        if not self.phase.norms_learn:
            return
        running, (before, _) = self.model.get_weights(), self.judged(validation)
        self._settle()
        if self.judged(validation)[0] > before:
            self.model.set_weights(running)

    def _settle(self) -> None:
        """On batches of all classes: those of one class vary less, and less than what is to come."""
        chance = np.random.default_rng(self.options.seed)
        some = self.pictures.chosen(chance.permutation(len(self.pictures))[: SETTLING * self.batch])
        batches = dataset.plain(some, self.phase.side_px, self.batch)
        network.settle(self.model, (network.unit(pixels) for pixels, *_ in batches))

    def checkpoint(self, state: dict[str, Any]) -> Checkpoint:
        return Checkpoint(state, _values(self.model.variables), _values(self.optimizer.variables), self.best)

    def over(self, state: dict[str, Any]) -> Checkpoint:
        """The phase is over: the next one begins with these weights, and with an optimizer of its own."""
        return Checkpoint(state, _values(self.model.variables), (), ())

    def restore(self, checkpoint: Checkpoint) -> None:
        """Into a fitting of the same phase."""
        _assign(self.model.variables, checkpoint.model)
        if checkpoint.optimizer:
            _assign(self.optimizer.variables, checkpoint.optimizer)
        self.best = list(checkpoint.best)


def logits(ask: Any, pictures: Lesson, side_px: int, *, batch: int = 32) -> NDArray[np.float32]:
    """Answers to pictures as they are: float32, shape (N, classes)."""
    return np.concatenate([np.asarray(ask(pixels)) for pixels, *_ in dataset.plain(pictures, side_px, batch)])


def _optimizer(options: Options, replicas: int) -> Any:
    """Each replica clips its share of a gradient, the sum of which is applied."""
    adam = keras.optimizers.Adam(1e-3, clipnorm=1.0 / replicas)
    return keras.optimizers.LossScaleOptimizer(adam) if options.precision == "mixed_float16" else adam


def _step(model: Any, optimizer: Any, strategy: Any, options: Options, batch: int) -> Callable[[Any], tuple[Any, Any]]:
    """One batch of all replicas learnt: its mean loss and its number of hits."""
    criterion = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=options.label_smoothing, reduction="none"
    )
    classes = model.output_shape[-1]

    def on_replica(pixels: Any, light: Any, truth: Any, weights: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            answer = model(dataset.network_input(pixels, light, augment=options.augment), training=True)
            loss = tf.reduce_sum(criterion(tf.one_hot(truth, classes), answer) * weights) / batch
            scaled = optimizer.scale_loss(loss)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(scaled, variables), variables, strict=True))
        return loss, tf.reduce_sum(tf.cast(tf.equal(tf.argmax(answer, axis=1), truth), tf.float32))

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def on_all(shares: Any) -> tuple[Any, Any]:
        losses, hits = strategy.run(on_replica, args=shares)
        total = tf.distribute.ReduceOp.SUM
        return strategy.reduce(total, losses, axis=None), strategy.reduce(total, hits, axis=None)

    return lambda shares: on_all(shares)


def _first(batches: Any, count: int) -> Iterator[Any]:
    for _, batch in zip(range(count), batches, strict=False):
        yield batch


def _values(variables: Any) -> list[Any]:
    return [tf.convert_to_tensor(variable.value).numpy() for variable in variables]


def _assign(variables: Any, values: Any) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
