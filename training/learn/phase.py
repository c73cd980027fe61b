"""One phase of a training: an optimizer, a step, epochs of steps, the best weights; on one device or on several.

Knows nothing of folders: its state comes in and goes out as a `Checkpoint`.
"""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training import metrics
from training.console import Progress
from training.errors import RunError, TrainingError
from training.learn import dataset
from training.learn import model as network
from training.learn.checkpoints import Checkpoint
from training.learn.dataset import LabelledSet
from training.learn.options import Distribution, Options, Phase

NORM_BATCHES = 12
"""Batches over which batch norm's statistics are measured after a phase."""


class TrainingPosition(NamedTuple):
    """How far a phase has come."""

    epoch: int = 0
    """The current one, from 0."""
    step: int = 0
    """Batches of it that are done."""
    loss: float = 0.0
    hits: float = 0.0
    """Sums over these batches."""


Keep = Callable[[TrainingPosition], None]
"""Saves a checkpoint at this position."""


class PhaseTraining:
    """A model in one phase. A new one is made for each phase, in order."""

    def __init__(self, model: Any, phase: Phase, options: Options, strategy: Any, pictures: LabelledSet) -> None:
        self.model, self.phase, self.options, self.strategy, self.pictures = model, phase, options, strategy, pictures
        self.batch = min(options.batch, len(pictures))
        self.per_epoch = len(pictures) // self.batch
        self.steps = max(round(self.per_epoch * phase.epochs), 1)
        self.best: list[Any] = []
        network.set_trainable(model, frozen=phase.frozen, norms_learn=phase.norms_learn)
        with strategy.scope():
            self.optimizer = _optimizer(options, strategy.num_replicas_in_sync)
            self.optimizer.build(model.trainable_variables)
        self.step: Callable[[Any], tuple[Any, Any]] = _step(model, self.optimizer, strategy, options, self.batch)
        self._infer = network.inference(model)

    @property
    def epochs(self) -> int:
        """The last one may be a part."""
        return -(-self.steps // self.per_epoch)

    def train_epoch(
        self, position: TrainingPosition, seed: list[int], keep: Keep, progress: Progress
    ) -> tuple[float, float]:
        """Train to the end of an epoch; returns its mean loss and accuracy.

        Args:
            position: where it begins.
            seed: of the epoch's order and augmentation; the same again when a run is resumed.
        """
        chance = np.random.default_rng([*seed, position.epoch])
        batches = dataset.epoch(
            self.pictures,
            self.phase.side_px,
            self.batch,
            augment=self.options.augment,
            chance=chance,
            skip=position.step,
        )
        last = min(self.per_epoch, self.steps - position.epoch * self.per_epoch)
        for batch in _first(spread(self.strategy, batches), last - position.step):
            self.optimizer.learning_rate.assign(self.rate(position))
            position = _after(position, *self.step(batch))
            progress(position.step, last)
            if position.step % self.options.checkpoint_steps == 0 and position.step < last:
                keep(position)
        if not np.isfinite(position.loss):
            raise TrainingError(
                f"The loss became NaN or infinite in phase {self.phase.name}: lower its rate (--rates)."
            )
        return position.loss / last, position.hits / (last * self.batch)

    def rate(self, position: TrainingPosition) -> float:
        """The learning rate of the next step."""
        return self.phase.rate_at(position.epoch * self.per_epoch + position.step, self.steps)

    def evaluate(self, pictures: LabelledSet) -> tuple[float, float]:
        """Loss (nats) and accuracy of the current weights, at the picture size of the phase."""
        rows = metrics.softmax(logits(self._infer, pictures, self.phase.side_px))
        return metrics.negative_log_likelihood(rows, pictures.truth), metrics.top_k_share(rows, pictures.truth, 1)

    def remember(self) -> None:
        """Keep the current weights as the best so far."""
        self.best = self.model.get_weights()

    def finish(self, validation: LabelledSet) -> None:
        """Restore the best weights. Re-estimate trained batch norms, and keep that if the validation loss falls."""
        if self.best:
            self.model.set_weights(self.best)
        if not self.phase.norms_learn:
            return
        running, (before, _) = self.model.get_weights(), self.evaluate(validation)
        self._reestimate_norms()
        if self.evaluate(validation)[0] > before:
            self.model.set_weights(running)

    def _reestimate_norms(self) -> None:
        """On pictures of all classes: those of a single class vary less than the pictures to come."""
        chance = np.random.default_rng(self.options.seed)
        some = self.pictures.chosen(chance.permutation(len(self.pictures))[: NORM_BATCHES * self.batch])
        batches = dataset.plain(some, self.phase.side_px, self.batch)
        network.reestimate_norms(self.model, (network.unit(pixels) for pixels, *_ in batches))

    def checkpoint(self, state: dict[str, Any]) -> Checkpoint:
        """The state within the phase."""
        return Checkpoint(state, _values(self.model.variables), _values(self.optimizer.variables), self.best)

    def final_checkpoint(self, state: dict[str, Any]) -> Checkpoint:
        """The state after the phase: the next one begins with these weights and an optimizer of its own."""
        return Checkpoint(state, _values(self.model.variables), (), ())

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of the same phase."""
        _assign(self.model.variables, checkpoint.model)
        if checkpoint.optimizer:
            _assign(self.optimizer.variables, checkpoint.optimizer)
        self.best = list(checkpoint.best)


def logits(infer: Any, pictures: LabelledSet, side_px: int, *, batch: int = 32) -> NDArray[np.float32]:
    """Logits for unchanged pictures: float32, shape (N, classes)."""
    return np.concatenate([np.asarray(infer(pixels)) for pixels, *_ in dataset.plain(pictures, side_px, batch)])


def _after(position: TrainingPosition, loss: Any, hits: Any) -> TrainingPosition:
    return position._replace(step=position.step + 1, loss=position.loss + float(loss), hits=position.hits + float(hits))


def _optimizer(options: Options, replicas: int) -> Any:
    """Each device clips its share of a gradient; the sum of the shares is applied."""
    adam = keras.optimizers.Adam(1e-3, clipnorm=1.0 / replicas)
    return keras.optimizers.LossScaleOptimizer(adam) if options.precision == "mixed_float16" else adam


def _step(model: Any, optimizer: Any, strategy: Any, options: Options, batch: int) -> Callable[[Any], tuple[Any, Any]]:
    """A function that trains on one batch over all devices and returns its mean loss and number of hits."""
    criterion = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=options.label_smoothing, reduction="none"
    )
    classes = model.output_shape[-1]

    def on_device(pixels: Any, light: Any, truth: Any, weights: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            answer = model(dataset.network_input(pixels, light, augment=options.augment), training=True)
            loss = tf.reduce_sum(criterion(tf.one_hot(truth, classes), answer) * weights) / batch
            scaled = optimizer.scale_loss(loss)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(scaled, variables), variables, strict=True))
        return loss, tf.reduce_sum(tf.cast(tf.equal(tf.argmax(answer, axis=1), truth), tf.float32))

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def on_all(shares: Any) -> tuple[Any, Any]:
        losses, hits = strategy.run(on_device, args=shares)
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


# --- Devices ----------------------------------------------------------------------------------------------------


def strategy(distribute: Distribution) -> Any:
    """How TensorFlow distributes the steps.

    Args:
        distribute: "none": one device, a GPU where TensorFlow finds one; "mirrored": all GPUs of this machine;
            "workers": all machines of TF_CONFIG, each of which runs the same command.

    Raises:
        RunError: TF_CONFIG is missing or invalid.
    """
    if distribute == "mirrored":
        return tf.distribute.MirroredStrategy()
    if distribute == "workers":
        _check_workers()
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def leads(strategy: Any) -> bool:
    """Whether this process writes: it is the only one, or the first of several workers."""
    resolver = strategy.cluster_resolver
    return resolver is None or resolver.task_id == 0


def spread(strategy: Any, batches: Any) -> Any:
    """Batches cut into one part per device."""
    if strategy.num_replicas_in_sync == 1 and strategy.cluster_resolver is None:
        return batches
    how = tf.data.Options()
    how.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return strategy.experimental_distribute_dataset(batches.with_options(how))


def meet(strategy: Any) -> None:
    """Wait for all workers: one that exits early looks crashed to the others."""
    if strategy.cluster_resolver is None:
        return

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def together() -> Any:
        return strategy.run(_one_from_each)

    together()


def _one_from_each() -> Any:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(1.0))


def _check_workers() -> None:
    try:
        found = json.loads(os.environ.get("TF_CONFIG", ""))
        found["cluster"]["worker"], found["task"]["index"]
    except (ValueError, KeyError, TypeError) as cause:
        raise RunError(
            "--distribute workers needs TF_CONFIG, the JSON that names all machines: docs/training.md shows one."
        ) from cause
