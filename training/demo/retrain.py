"""The run that makes the committed weights: draw a data set, train, round, calibrate, measure, record."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training import metrics
from training.console import NewBar, Notify, no_bar
from training.data.manifest import Part
from training.data.pictures import digest_of_bytes
from training.demo import record as records
from training.demo import weights
from training.demo.pictures import Seeds, write
from training.learn import runs
from training.learn.loop import logits, train
from training.learn.options import Options, options
from training.learn.runs import RunRecord


class Recipe(NamedTuple):
    """Everything that decides a run."""

    seed: int
    alpha: float
    sizes: tuple[int, ...]
    epochs: tuple[float, ...]
    rates: tuple[float, ...]
    batch: int
    training: Seeds
    validation: Seeds
    test: Seeds


RECIPE = Recipe(
    seed=20261123,
    alpha=0.35,
    sizes=(56, 112, 224),
    epochs=(20, 4, 0.5),
    rates=(3e-3, 1.5e-3, 5e-4),
    batch=64,
    training=Seeds(0, 80),
    validation=Seeds(1_000_000, 10),
    test=Seeds(2_000_000, 20),
)
"""40 minutes on two cores, three quarters of an hour of CPU; `docs/training-log.md` says how it went."""


def retrain(
    recipe: Recipe = RECIPE,
    *,
    folder: Path = Path("runs/demo"),
    directory: Path = weights.FILE.parent,
    notify: Notify,
    bar: NewBar = no_bar,
) -> records.Record:
    """Make the weights and their record in `directory`; the pictures and the run are in `folder`.

    It is resumed when it is started again after a kill. At the end it deletes `folder`.
    """
    photos, run = folder / "pictures", folder / "run"
    parts: dict[str, tuple[Part, Seeds]] = {
        "training": ("train", recipe.training),
        "validation": ("val", recipe.validation),
        "test": ("test", recipe.test),
    }
    for name, (part, seeds) in parts.items():
        write(photos, part, seeds, progress=bar(f"Drawing the {name} set"))
    chosen = _options(recipe, photos, folder / "cache")
    if not _finished(run):
        train(chosen, run, notify=notify, bar=bar)
    model, ran = runs.model(run), runs.load(run)
    weights.rounded(model)
    notify("Calibrating and measuring the rounded weights")
    temperature = metrics.fit_temperature(*_answers(model, run, "val"))
    figures = metrics.report(*_answers(model, run, "test"), temperature)
    notify(", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    record = records.Record(
        date=ran.created,
        command="python -m training demo --retrain",
        code_version=ran.code_commit,
        seed=recipe.seed,
        alpha=recipe.alpha,
        stages=[{**phase.model_dump(include=STAGE), "batch": recipe.batch} for phase in chosen.phases],
        pictures={name: {**seeds._asdict(), **_facts(run, part)} for name, (part, seeds) in parts.items()},
        fingerprint=ran.fingerprint,
        versions=ran.versions,
        temperature=round(temperature, 4),
        metrics={name: round(value, 5) for name, value in figures.items()},
        wall_s=round(ran.seconds),
        cpu_s=round(ran.cpu_seconds),
        history=_history(ran),
        weights=weights.save(model, directory / weights.FILE.name),
    )
    records.save(record, directory / records.FILE.name)
    shutil.rmtree(folder)
    return record


STAGE = {"side_px", "epochs", "rate"}


def _options(recipe: Recipe, photos: Path, cache: Path) -> Options:
    return options(
        data=photos,
        cache=cache,
        weights="none",
        width=recipe.alpha,
        sizes=recipe.sizes,
        epochs=recipe.epochs,
        rates=recipe.rates,
        batch=recipe.batch,
        dropout=0.1,
        label_smoothing=0.05,
        augment="mirror",
        class_weights="none",
        seed=recipe.seed,
    )


def _finished(run: Path) -> bool:
    return (run / runs.RECORD).exists() and runs.load(run).finished


def _answers(model: Any, run: Path, part: Part) -> tuple[Any, Any]:
    found = [(logits(model, pixels), truth) for pixels, truth in runs.batches(run, part)]
    return np.concatenate([rows for rows, _ in found]), np.concatenate([truth for _, truth in found])


def _facts(run: Path, part: Part) -> dict[str, int | str]:
    """How many pictures, and `sha256:` of the digests of their files, in the order of pictures.csv."""
    digests = [picture.sha256 for picture in runs.pictures(run, part)]
    return {"count": len(digests), "digest": digest_of_bytes("\n".join(digests).encode())}


def _history(ran: RunRecord) -> list[dict[str, float]]:
    phases = [phase.name for phase in ran.options.phases]
    return [{"stage": float(phases.index(epoch.phase)), **epoch.model_dump(exclude={"phase"})} for epoch in ran.history]
