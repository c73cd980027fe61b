"""Teach a network what a folder of labelled photos shows: `run`. All that it does is in the folder of the run.

Phases of epochs (`training.learn.options`); the best epoch of each is kept, by the loss on validation pictures; then
temperature is fitted on them, and the model is written. A run that was killed goes on where its last checkpoint is.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training import metrics
from training.console import NewBar, Notify, no_bar, silent
from training.learn import begin as ground
from training.learn import checkpoints, distribution, schedule
from training.learn import model as network
from training.learn import run as runs
from training.learn.dataset import Lesson
from training.learn.options import Options, Phase
from training.learn.phase import Fitting, Place
from training.learn.phase import logits as answers
from training.learn.prepare import Prepared, balanced, prepare
from training.learn.run import Epoch, RunRecord, Weights

SAMPLE = 1000
"""Training pictures that the kept model is asked about at the end, to see how much it merely remembers."""


def run(options: Options, folder: Path, *, notify: Notify = silent, bar: NewBar = no_bar) -> Path:
    """Train, or go on training, into `folder` (`runs/NAME`); where the finished run is.

    Raises:
        DataSetError: the data cannot be learnt from.
        RunError: the folder holds another run, a finished one or a damaged checkpoint, or is in use.
        TrainingError: the weights cannot be had, or the loss has become no number.
    """
    ground.check(folder, options)
    strategy = distribution.strategy(options.distribute)
    kept = checkpoints.load(folder / runs.CHECKPOINTS) if (folder / runs.RECORD).exists() else None
    prepared = prepare(options, bar=bar)
    notify(_told(prepared))
    with strategy.scope():
        model = _model(options, len(prepared.labels), resumed=kept is not None)
    weights = Weights(source=options.weights, digest="" if options.weights == "none" else network.weights_digest(model))
    if not distribution.leads(strategy):
        _Training(options, folder, prepared, strategy, model, None, notify, bar).learn(kept)
        distribution.meet(strategy)
        return folder
    with ground.locked(folder):
        record = ground.begun(folder, options, prepared, weights)
        if kept:
            notify(f"Going on where {folder} was left")
        training = _Training(options, folder, prepared, strategy, model, record, notify, bar)
        training.learn(kept)
        training.finish()
    distribution.meet(strategy)
    return folder


def logits(model: Any, pixels: NDArray[np.uint8], *, batch: int = 32) -> NDArray[np.float32]:
    """Answers of a model in inference mode: float32, shape (N, classes)."""
    ask = network.asker(model)
    return np.concatenate(
        [np.asarray(ask(tf.constant(pixels[at : at + batch]))) for at in range(0, len(pixels), batch)]
    )


@dataclass
class _Training:
    """A run between its beginning and its end."""

    options: Options
    folder: Path
    prepared: Prepared
    strategy: Any
    model: Any
    record: RunRecord | None
    """None in a process that only helps: another one writes."""
    notify: Notify
    bar: NewBar
    history: list[Epoch] = field(default_factory=list)
    seconds: tuple[float, float] = (0.0, 0.0)
    """Wall and CPU time of the starts before this one."""
    since: tuple[float, float] = field(default_factory=lambda: (time.monotonic(), time.process_time()))

    def learn(self, kept: checkpoints.Checkpoint | None) -> None:
        """Every phase, from the checkpoint on where there is one."""
        lesson, validation = self._lesson(), self.prepared.lesson("val")
        at, place = 0, Place()
        if kept:
            at, place = kept.state["phase"], Place(*kept.state["place"])
            self.history = [Epoch.model_validate(epoch) for epoch in kept.state["history"]]
            self.seconds = tuple(kept.state["seconds"])
        for number, phase in enumerate(self.options.phases[at:], start=at):
            fitting = Fitting(self.model, phase, self.options, self.strategy, lesson)
            if kept:
                fitting.restore(kept)
            self._phase(fitting, number, place, validation)
            fitting.finish(validation)
            kept, place = None, Place()
            self._keep(fitting.over(self._state(number + 1, place)))

    def finish(self) -> None:
        """Fit the temperature, measure, write the model; then the record says that the run is finished."""
        assert self.record, "a helping process does not finish a run"
        self.notify("Calibrating and measuring at the served size")
        served = network.build(
            len(self.prepared.labels),
            alpha=self.options.width,
            look_px=self.options.look_px,
            dropout=self.options.dropout,
            seed=self.options.seed,
        )
        served.set_weights(self.model.get_weights())
        ask, validation, taught = network.asker(served), self.prepared.lesson("val"), self._sample()
        chosen = answers(ask, validation, network.SIDE_PX)
        remembered = answers(ask, taught, network.SIDE_PX)
        self._write_model(served)
        wall, cpu = self._spent()
        self._record(
            temperature=round(metrics.fit_temperature(chosen, validation.truth), 4),
            validation_accuracy=_accuracy(chosen, validation),
            training_accuracy=_accuracy(remembered, taught),
            seconds=round(wall, 1),
            cpu_seconds=round(cpu, 1),
            finished=True,
        )
        (self.folder / runs.CHECKPOINTS / checkpoints.NAME).unlink(missing_ok=True)
        (self.folder / runs.CHECKPOINTS).rmdir()
        self.notify(
            f"{self.folder} is finished: accuracy {self.record.validation_accuracy:.3f} on validation pictures, "
            f"{self.record.training_accuracy:.3f} on training pictures"
        )

    def _phase(self, fitting: Fitting, number: int, place: Place, validation: Lesson) -> None:
        phase, seed = fitting.phase, [self.options.seed, number]
        while place.epoch < fitting.epochs:
            began = time.monotonic()
            watch = self.bar(f"Phase {phase.name}, epoch {place.epoch + 1} of {fitting.epochs}")
            loss, accuracy = fitting.learn(
                place, seed, lambda due: self._keep(fitting.checkpoint(self._state(number, due))), watch
            )
            val_loss, val_accuracy = fitting.judged(validation)
            rate = fitting.rate(Place(place.epoch + 1))
            figures = (loss, accuracy, val_loss, val_accuracy, rate, time.monotonic() - began)
            self._epoch_over(_epoch(phase, place.epoch + 1, figures))
            losses = [epoch.val_loss for epoch in self.history if epoch.phase == phase.name]
            if losses[-1] == min(losses):
                fitting.remember()
            if schedule.out_of_patience(losses, self.options.patience):
                self.notify(f"No better epoch for {self.options.patience}: phase {phase.name} ends")
                return
            place = Place(place.epoch + 1)
            self._keep(fitting.checkpoint(self._state(number, place)))

    def _epoch_over(self, epoch: Epoch) -> None:
        self.history.append(epoch)
        self.notify(
            f"Phase {epoch.phase}, epoch {epoch.epoch}: loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.3f}; "
            f"validation {epoch.val_loss:.3f}, {epoch.val_accuracy:.3f}; {epoch.seconds:.0f} s"
        )
        if self.record:
            self._record(history=tuple(self.history))
            _to_tensorboard(self.folder / runs.TENSORBOARD, len(self.history), epoch)

    def _state(self, phase: int, place: Place) -> dict[str, Any]:
        return {
            "phase": phase,
            "place": list(place),
            "history": [epoch.model_dump() for epoch in self.history],
            "seconds": self._spent(),
        }

    def _keep(self, checkpoint: checkpoints.Checkpoint) -> None:
        if self.record:
            checkpoints.save(self.folder / runs.CHECKPOINTS, checkpoint)

    def _record(self, **news: Any) -> None:
        assert self.record
        self.record = self.record.model_copy(update=news)
        runs.save(self.folder, self.record)

    def _spent(self) -> tuple[float, float]:
        wall, cpu = self.seconds
        return wall + time.monotonic() - self.since[0], cpu + time.process_time() - self.since[1]

    def _lesson(self) -> Lesson:
        lesson = self.prepared.lesson("train")
        if self.options.class_weights == "none":
            return lesson
        return self.prepared.lesson("train", balanced(lesson.truth.tolist(), len(self.prepared.labels)))

    def _sample(self) -> Lesson:
        lesson = self.prepared.lesson("train")
        chance = np.random.default_rng(self.options.seed)
        return lesson.chosen(np.sort(chance.permutation(len(lesson))[:SAMPLE]))

    def _write_model(self, served: Any) -> None:
        aside = self.folder / f"partial-{runs.MODEL}"
        served.save(aside)
        aside.replace(self.folder / runs.MODEL)


def _model(options: Options, classes: int, *, resumed: bool) -> Any:
    """As it begins; a checkpoint brings its own weights."""
    weights = None if resumed or options.weights == "none" else options.weights
    return network.build(
        classes,
        alpha=options.width,
        weights=weights,
        side_px=None,
        dropout=options.dropout,
        seed=options.seed,
        precision=options.precision,
    )


def _accuracy(logits: NDArray[np.float32], pictures: Lesson) -> float:
    return round(metrics.top_k_share(metrics.softmax(logits), pictures.truth, 1), 4)


def _epoch(phase: Phase, number: int, figures: tuple[float, ...]) -> Epoch:
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "rate", "seconds")
    rounded = {name: float(f"{figure:.6g}") for name, figure in zip(names, figures, strict=True)}
    return Epoch(phase=phase.name, epoch=number, **rounded)


def _to_tensorboard(folder: Path, step: int, epoch: Epoch) -> None:
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default(step=step):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy", "rate"):
            tf.summary.scalar(name, getattr(epoch, name))
    writer.close()


def _told(prepared: Prepared) -> str:
    counts = ", ".join(f"{prepared.count(part):,} to {what}" for part, what in _USES.items())
    return f"{len(prepared.pictures):,} pictures of {len(prepared.labels):,} classes: {counts}"


_USES: dict[runs.Part, str] = {"train": "learn from", "val": "choose by", "test": "test with"}
