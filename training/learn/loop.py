"""Train a network on a folder of labelled photos: `train`. Everything it makes is in the folder of the run.

On a pre-trained network, a head is fitted on the features of the training pictures first (`head`). Then a run has
phases of epochs (`options.Phase`), a quick one none. The best epoch of each phase is kept, by the loss on the
validation pictures; then the temperature and the thresholds of answers are fitted on them (`calibration`), and the
model is written. A run that was killed resumes from its last checkpoint; a finished quick run goes on with the phases.
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
from training.data.manifest import Part
from training.data.prepare import Prepared, prepare
from training.learn import calibration, checkpoints, runs
from training.learn import model as network
from training.learn import phase as phases
from training.learn.calibration import HeldBack
from training.learn.checkpoints import Checkpoint
from training.learn.dataset import LabelledSet, part_of
from training.learn.features import Eye, eye_of, features_of
from training.learn.head import fit_head
from training.learn.options import Options, Phase, out_of_patience
from training.learn.phase import PhaseTraining, TrainingPosition
from training.learn.runs import Epoch, RunRecord, Weights


def train(options: Options, folder: Path, *, notify: Notify = silent, bar: NewBar = no_bar) -> Path:
    """Make the run in `folder` (`runs/NAME`), or resume it; returns `folder`.

    Raises:
        DataSetError: the data cannot be used for training.
        RunError: the folder holds another run, a finished one or a damaged checkpoint, or is in use.
        TrainingError: the weights cannot be loaded, or the loss became NaN or infinite.
    """
    runs.check(folder, options)
    strategy = phases.strategy(options.distribute)
    kept = checkpoints.load(folder) if (folder / runs.RECORD).exists() else None
    prepared = _prepare(options, bar)
    notify(_summary(prepared))
    if not kept:
        notify(_beginning(options))
    with strategy.scope():
        model = _model(options, len(prepared.labels), resumed=kept is not None)
    training = _Training(options, folder, prepared, strategy, model, notify, bar)
    if phases.leads(strategy):
        with runs.locked(folder):
            training.record = _begin(options, folder, prepared, model)
            if kept:
                notify(f"Resuming {folder} from its last checkpoint")
            training.train(kept)
            training.finish()
    else:
        training.train(kept)
    phases.meet(strategy)
    return folder


def logits(model: Any, pixels: NDArray[np.uint8], *, batch: int = 32) -> NDArray[np.float32]:
    """The logits of a model in inference mode: float32, shape (N, classes)."""
    infer = network.inference(model)
    return np.concatenate(
        [np.asarray(infer(tf.constant(pixels[at : at + batch]))) for at in range(0, len(pixels), batch)]
    )


@dataclass
class _Training:
    """A run between its beginning and its end."""

    options: Options
    folder: Path
    prepared: Prepared
    strategy: Any
    model: Any
    notify: Notify
    bar: NewBar
    record: RunRecord | None = None
    """None in a worker that does not write."""
    eye: Eye | None = None
    """Of the network whose features are used."""
    history: list[Epoch] = field(default_factory=list)
    seconds: tuple[float, float] = (0.0, 0.0)
    """Wall and CPU time of the starts before this one."""
    since: tuple[float, float] = field(default_factory=lambda: (time.monotonic(), time.process_time()))

    def train(self, kept: Checkpoint | None) -> None:
        """All phases, or those from the checkpoint on."""
        pictures = part_of(self.prepared, "train", balanced=self.options.class_weights == "balanced")
        validation = part_of(self.prepared, "val")
        at, position = self._resumed(kept) if kept else (0, TrainingPosition())
        if not kept and self.options.fits_head:
            self._fit_head()
        for number, phase in enumerate(self.options.phases[at:], start=at):
            training = PhaseTraining(self.model, phase, self.options, self.strategy, pictures)
            if kept:
                training.restore(kept)
            self._phase(training, number, position, validation)
            training.finish(validation)
            kept, position = None, TrainingPosition()
            self._keep(training.final_checkpoint(self._state(number + 1, position)))

    def finish(self) -> None:
        """Fit temperature and thresholds, measure, write the model; then record that the run is finished."""
        assert self.record, "a helping process does not finish a run"
        self.notify("Calibrating and measuring at the served size")
        served = self.model if self.options.quick else self._served_model()
        if not (self.options.quick and self.eye):
            self.eye = eye_of(served, network.SIDE_PX)
        head, pictures, validation = network.head_of(served), self._sample(), part_of(self.prepared, "val")
        on_training, on_validation = self._features(pictures, "train"), self._features(validation, "val")
        taught = calibration.kept(on_training, pictures.truth)
        held_back = calibration.seen(on_validation, validation.truth, head, taught)
        if self.options.quick:
            held_back = calibration.together([held_back, self._cross_fitted(on_training)])
        fitted = calibration.calibrate(held_back, self.prepared.label_map)
        runs.save_taught(self.folder, taught)
        self._write_model(served)
        wall, cpu = self._spent()
        self._record(
            **fitted._asdict(),
            validation_accuracy=_accuracy(held_back.logits, held_back.truth),
            training_accuracy=self._training_accuracy(head.logits(on_training), pictures.truth),
            seconds=round(wall, 1),
            cpu_seconds=round(cpu, 1),
            finished=True,
        )
        checkpoints.delete(self.folder)
        self.notify(f"{self.folder} is finished. {calibration.in_words(fitted, held_back, self.prepared.label_map)}")

    # --- Fits on features ---------------------------------------------------------------------------------------

    def _fit_head(self) -> None:
        """Begin with the best head for the features of the network as it is."""
        self.eye = eye_of(self.model, network.SIDE_PX if self.options.quick else self.options.look_px)
        pictures = self._balanced()
        features = self._features(pictures, "train", keep=True)
        head = fit_head(features, pictures.truth, pictures.weights, len(self.prepared.labels))
        self.model.get_layer("logits").set_weights(list(head))
        self.notify(f"Head fitted on the features of {len(pictures):,} pictures")

    def _cross_fitted(self, features: NDArray[np.float32]) -> HeldBack:
        """The training pictures of a quick run, each as a head sees it that was not taught it."""
        folds = self.prepared.folds("train", calibration.FOLDS, self.options.seed)
        return calibration.cross_fitted(features, self._balanced(), folds, len(self.prepared.labels))

    def _balanced(self) -> LabelledSet:
        return part_of(self.prepared, "train", balanced=self.options.class_weights == "balanced")

    def _sample(self) -> LabelledSet:
        """The training pictures, all of a quick run; else at most as many as are kept, evenly of all classes."""
        pictures = part_of(self.prepared, "train")
        return pictures if self.options.quick else pictures.chosen(calibration.evenly(pictures.truth))

    def _features(self, pictures: LabelledSet, part: Part, *, keep: bool = False) -> NDArray[np.float32]:
        """Those of the pre-trained network are kept for another start; in a quick run, all are of it."""
        assert self.eye
        file = self.folder / runs.CHECKPOINTS / f"{part}.f32" if keep or self.options.quick else None
        progress = self.bar(f"{_USES[part].capitalize()} pictures through the network")
        return features_of(pictures, self.eye, file=file, progress=progress)

    def _training_accuracy(self, logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
        """Of all training pictures, by a sample that has other shares of the classes."""
        classes = logits.shape[1]
        all_of, sampled = (np.bincount(k, minlength=classes) for k in (part_of(self.prepared, "train").truth, truth))
        weights = (all_of / np.maximum(sampled, 1))[truth]
        return round(float(np.average(logits.argmax(axis=1) == truth, weights=weights)), 4)

    def _resumed(self, kept: Checkpoint) -> tuple[int, TrainingPosition]:
        self.history = [Epoch.model_validate(epoch) for epoch in kept.state["history"]]
        self.seconds = tuple(kept.state["seconds"])
        return kept.state["phase"], TrainingPosition(*kept.state["place"])

    def _phase(self, training: PhaseTraining, number: int, position: TrainingPosition, validation: LabelledSet) -> None:
        phase, seed = training.phase, [self.options.seed, number]
        while position.epoch < training.epochs:
            began = time.monotonic()
            progress = self.bar(f"Phase {phase.name}, epoch {position.epoch + 1} of {training.epochs}")
            loss, accuracy = training.train_epoch(
                position, seed, lambda due: self._keep(training.checkpoint(self._state(number, due))), progress
            )
            val_loss, val_accuracy = training.evaluate(validation)
            rate = training.rate(TrainingPosition(position.epoch + 1))
            figures = (loss, accuracy, val_loss, val_accuracy, rate, time.monotonic() - began)
            self._epoch_over(_epoch(phase, position.epoch + 1, figures))
            losses = [epoch.val_loss for epoch in self.history if epoch.phase == phase.name]
            if losses[-1] == min(losses):
                training.remember()
            if out_of_patience(losses, self.options.patience):
                self.notify(f"No better epoch in {self.options.patience}: phase {phase.name} ends")
                return
            position = TrainingPosition(position.epoch + 1)
            self._keep(training.checkpoint(self._state(number, position)))

    def _epoch_over(self, epoch: Epoch) -> None:
        self.history.append(epoch)
        self.notify(
            f"Phase {epoch.phase}, epoch {epoch.epoch}: loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.3f}; "
            f"validation {epoch.val_loss:.3f}, {epoch.val_accuracy:.3f}; {epoch.seconds:.0f} s"
        )
        if self.record:
            self._record(history=tuple(self.history))
            _to_tensorboard(self.folder / runs.TENSORBOARD, len(self.history), epoch)

    def _state(self, phase: int, position: TrainingPosition) -> dict[str, Any]:
        return {
            "phase": phase,
            "place": list(position),
            "history": [epoch.model_dump() for epoch in self.history],
            "seconds": self._spent(),
        }

    def _keep(self, checkpoint: Checkpoint) -> None:
        if self.record:
            checkpoints.save(self.folder, checkpoint)

    def _record(self, **changes: Any) -> None:
        assert self.record
        self.record = self.record.model_copy(update=changes)
        runs.save(self.folder, self.record)

    def _spent(self) -> tuple[float, float]:
        wall, cpu = self.seconds
        return wall + time.monotonic() - self.since[0], cpu + time.process_time() - self.since[1]

    def _served_model(self) -> Any:
        served = network.build(
            len(self.prepared.labels),
            backbone=self.options.backbone,
            alpha=self.options.width,
            look_px=self.options.look_px,
            dropout=self.options.dropout,
            seed=self.options.seed,
        )
        served.set_weights(self.model.get_weights())
        return served

    def _write_model(self, served: Any) -> None:
        partial = self.folder / f"partial-{runs.MODEL}"
        served.save(partial)
        partial.replace(self.folder / runs.MODEL)


def _prepare(options: Options, bar: NewBar) -> Prepared:
    return prepare(
        options.data,
        also=options.also,
        labels=options.labels,
        groups=options.groups,
        val_share=options.val_share,
        test_share=options.test_share,
        seed=options.seed,
        cache=options.cache,
        workers=options.workers,
        bar=bar,
    )


def _begin(options: Options, folder: Path, prepared: Prepared, model: Any) -> RunRecord:
    data = runs.Data(
        source=str(options.data.resolve()),
        digest=prepared.manifest.digest,
        pictures=len(prepared.pictures),
        classes=len(prepared.labels),
    )
    weights = Weights(source=options.weights, digest="" if options.weights == "none" else network.weights_digest(model))
    chosen, label_map = prepared.pictures, prepared.label_map
    return runs.begin(folder, options, data=data, pictures=chosen, label_map=label_map, weights=weights)


def _model(options: Options, classes: int, *, resumed: bool) -> Any:
    """The initial network, for pictures of any size; in a quick run the one that will be served.

    A checkpoint has its own weights.
    """
    weights = None if resumed or options.weights == "none" else options.weights
    return network.build(
        classes,
        backbone=options.backbone,
        alpha=options.width,
        weights=weights,
        side_px=network.SIDE_PX if options.quick else None,
        look_px=options.look_px if options.quick else None,
        dropout=options.dropout,
        seed=options.seed,
        precision=options.precision,
    )


def _accuracy(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    return round(metrics.top_k_share(metrics.softmax(logits), truth, 1), 4)


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


def _summary(prepared: Prepared) -> str:
    counts = ", ".join(f"{len(prepared.part(part)):,} for {use}" for part, use in _USES.items())
    return f"{len(prepared.pictures):,} pictures of {len(prepared.labels):,} classes: {counts}"


def _beginning(options: Options) -> str:
    backbone = network.BACKBONES[options.backbone]
    width = f" of width {options.width:g}" if options.backbone == "mobilenet_v2" else ""
    known = {"none": "random weights", "imagenet": f"ImageNet weights from {backbone.source()}"}
    return f"{backbone.title}{width} with {known.get(options.weights) or f'the weights in {options.weights}'}"


_USES: dict[Part, str] = {"train": "training", "val": "validation", "test": "testing"}
