from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training import toys
from training.errors import TrainingError

pytestmark = pytest.mark.slow  # TensorFlow takes four seconds to import


def fitting(folder: Path, *, precision: str = "float32", phase: Any = None, **more: Any) -> Any:
    from training.learn.phase import PhaseTraining, strategy

    options = toys.chosen(precision=precision, **more)
    pictures = toys.blobs(folder, 48)
    return PhaseTraining(toys.network(precision), phase or toys.phase(), options, strategy("none"), pictures)


def learn(phase: Any, epoch: int = 0, kept: list[Any] | None = None, step: int = 0) -> tuple[float, float]:
    from training.learn.phase import TrainingPosition

    keep = (lambda due: None) if kept is None else kept.append
    found: tuple[float, float] = phase.train_epoch(TrainingPosition(epoch, step), [0], keep, lambda done, total: None)
    return found


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_tiny_phase_learns(tmp_path: Path, precision: str) -> None:
    phase = fitting(tmp_path, precision=precision)
    for epoch in range(phase.epochs):
        learn(phase, epoch)
    phase.finish(phase.pictures)
    _, accuracy = phase.evaluate(toys.blobs(tmp_path, 30, seed=1))
    assert accuracy > 0.9


def test_the_best_weights_are_kept_and_not_the_last(tmp_path: Path) -> None:
    phase = fitting(tmp_path, phase=toys.phase(norms_learn=False))
    phase.remember()
    before = phase.model.get_weights()
    learn(phase)
    assert not all(np.array_equal(a, b) for a, b in zip(phase.model.get_weights(), before, strict=True))
    phase.finish(phase.pictures)
    assert all(np.array_equal(a, b) for a, b in zip(phase.model.get_weights(), before, strict=True))


def test_statistics_of_batch_norm_are_measured_on_all_classes_and_kept_only_where_they_help(tmp_path: Path) -> None:
    """Pictures lie class by class; a batch of one class has too narrow statistics."""
    phase = fitting(tmp_path, phase=toys.phase(epochs=2.0))
    order = np.argsort(phase.pictures.truth, kind="stable")
    phase.pictures = phase.pictures.chosen(order)
    for epoch in range(phase.epochs):
        learn(phase, epoch)
    unseen = toys.blobs(tmp_path, 30, seed=1)
    before, _ = phase.evaluate(unseen)
    phase.finish(unseen)
    after, _ = phase.evaluate(unseen)
    assert after <= before
    weights = phase.model.get_weights()
    phase._reestimate_norms()
    settled = dict(zip((w.path for w in phase.model.weights), phase.model.get_weights(), strict=True))
    (variance,) = [values for path, values in settled.items() if path.endswith("moving_variance")]
    assert variance.mean() > 0.5 * whole_variance(phase, weights)


def whole_variance(phase: Any, weights: list[Any]) -> float:
    """Mean variance of the body's first layer over all pictures at once."""
    from training.learn import dataset
    from training.learn import model as network

    phase.model.set_weights(weights)
    ((pixels, *_),) = dataset.plain(phase.pictures, phase.phase.side_px, len(phase.pictures))
    convolution = phase.model.get_layer("body").layers[0]
    return float(np.asarray(convolution(network.unit(pixels))).var(axis=(0, 1, 2)).mean())


def test_half_an_epoch_is_half_the_steps(tmp_path: Path) -> None:
    phase = fitting(tmp_path, phase=toys.phase(epochs=1.5))
    assert (phase.per_epoch, phase.steps, phase.epochs) == (4, 6, 2)


def test_checkpoints_are_due_within_an_epoch_and_not_at_its_end(tmp_path: Path) -> None:
    kept: list[Any] = []
    learn(fitting(tmp_path, checkpoint_steps=1), kept=kept)
    assert [place.step for place in kept] == [1, 2, 3]


def test_what_is_restored_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, broken, resumed = (fitting(tmp_path, checkpoint_steps=2) for _ in range(3))
    wanted = learn(whole)
    kept: list[Any] = []

    def keep(place: Any) -> None:
        kept.append((place, broken.checkpoint({})))

    from training.learn.phase import TrainingPosition

    broken.train_epoch(TrainingPosition(), [0], keep, lambda done, total: None)
    ((place, checkpoint),) = kept
    resumed.restore(checkpoint)
    assert resumed.train_epoch(place, [0], lambda due: None, lambda done, total: None) == pytest.approx(
        wanted, rel=1e-3
    )
    for one, other in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        assert np.allclose(one, other, atol=1e-3)


def test_a_loss_that_is_no_number_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    phase = fitting(tmp_path, phase=toys.phase(norms_learn=False))
    kernel, bias = phase.model.get_layer("logits").get_weights()
    phase.model.get_layer("logits").set_weights([kernel * np.nan, bias])
    with pytest.raises(TrainingError, match="The loss became NaN or infinite in phase 1: lower its rate"):
        learn(phase)


def test_a_frozen_phase_changes_the_head_alone(tmp_path: Path) -> None:
    phase = fitting(tmp_path, phase=toys.phase(frozen=True, norms_learn=False))
    body, head = (phase.model.get_layer(name).get_weights() for name in ("body", "logits"))
    learn(phase)
    assert all(np.array_equal(a, b) for a, b in zip(phase.model.get_layer("body").get_weights(), body, strict=True))
    assert not np.array_equal(phase.model.get_layer("logits").get_weights()[0], head[0])


def test_heavy_pictures_have_more_say(tmp_path: Path) -> None:
    """Twice the weight is twice the loss."""
    phase, heavier = fitting(tmp_path), fitting(tmp_path)
    heavier.pictures = replace(heavier.pictures, weights=heavier.pictures.weights * 2)
    from training.learn.phase import TrainingPosition

    first = [next(iter(phase_losses(found, TrainingPosition()))) for found in (phase, heavier)]
    assert first[1] == pytest.approx(2 * first[0], rel=1e-5)


def phase_losses(phase: Any, place: Any) -> list[float]:
    """Sums of the losses after each step of an epoch but the last."""
    found: list[float] = []
    phase.options = phase.options.model_copy(update={"checkpoint_steps": 1})
    phase.train_epoch(place, [0], lambda due: found.append(due.loss), lambda done, total: None)
    return found
