"""The run that makes the committed weights: draw, train, calibrate, measure, write down."""

import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import PIL
import tensorflow as tf

from gateway.imaging import fingerprint
from training import drawings, evaluate, train
from training import model as network
from training.demo import record as records
from training.demo import weights
from training.demo.pictures import Pictures, Seeds, drawn
from training.demo.provide import Say


class Recipe(NamedTuple):
    """All that decides a run."""

    seed: int
    alpha: float
    dropout: float
    stages: list[train.Stage]
    training: Seeds
    validation: Seeds
    test: Seeds


RECIPE = Recipe(
    seed=20261123,
    alpha=0.35,
    dropout=0.1,
    stages=[train.Stage(56, 20, 3e-3), train.Stage(112, 4, 1.5e-3), train.Stage(224, 0.5, 5e-4, 32)],
    training=Seeds(0, 80),
    validation=Seeds(1_000_000, 10),
    test=Seeds(2_000_000, 20),
)
"""40 minutes on two cores, three quarters of an hour of CPU; `docs/training-log.md` says how it went."""


def retrain(recipe: Recipe = RECIPE, *, directory: Path = weights.FILE.parent, say: Say) -> records.Record:
    """Make the weights and the record of making them, in `directory`."""
    started, wall, cpu = datetime.now(UTC), time.monotonic(), _cpu_s()
    code = _code_version()
    sets = _draw(recipe, say)
    model = network.build(
        len(drawings.specimens()), alpha=recipe.alpha, side_px=None, dropout=recipe.dropout, seed=recipe.seed
    )
    lesson = sets["training"]
    history = train.fit(
        model, lesson.pixels, lesson.truth, recipe.stages, seed=recipe.seed, report=lambda p: say(_line(p))
    )
    weights.rounded(model)
    say("Calibrating and measuring")
    temperature = evaluate.fit_temperature(*_answers(model, sets["validation"]))
    metrics = evaluate.report(*_answers(model, sets["test"]), temperature)
    say(", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    record = records.Record(
        date=started.isoformat(timespec="seconds"),
        command="python -m training demo --retrain",
        code_version=code,
        seed=recipe.seed,
        alpha=recipe.alpha,
        stages=[records.as_numbers(stage) for stage in recipe.stages],
        pictures={name: _facts(recipe, name, pictures) for name, pictures in sets.items()},
        fingerprint=fingerprint(),
        versions=_versions(),
        temperature=round(temperature, 4),
        metrics={name: round(value, 5) for name, value in metrics.items()},
        wall_s=round(time.monotonic() - wall),
        cpu_s=round(_cpu_s() - cpu),
        history=[records.as_numbers(progress) for progress in history],
        weights=weights.save(model, directory / weights.FILE.name),
    )
    records.save(record, directory / records.FILE.name)
    return record


def _draw(recipe: Recipe, say: Say) -> dict[str, Pictures]:
    sets = {}
    for name, seeds in (("training", recipe.training), ("validation", recipe.validation), ("test", recipe.test)):
        say(f"Drawing the {name} set: {seeds.per_class} pictures of each class")
        sets[name] = drawn(seeds)
    return sets


def _answers(model: object, pictures: Pictures) -> tuple[np.ndarray, np.ndarray]:
    return train.logits(model, pictures.pixels), pictures.truth


def _facts(recipe: Recipe, name: str, pictures: Pictures) -> dict[str, int | str]:
    seeds: Seeds = getattr(recipe, name)
    return {**seeds._asdict(), "count": len(pictures.truth), "digest": pictures.digest}


def _line(progress: train.Progress) -> str:
    return (
        f"{progress.side_px} px, step {progress.step}: loss {progress.loss:.3f}, "
        f"accuracy {progress.accuracy:.3f}, {progress.seconds:.0f} s"
    )


def _cpu_s() -> float:
    """Of this process and of the ones that drew."""
    return sum(os.times()[:4])


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "machine": platform.machine(),
    }


def _code_version() -> str:
    """The commit; "-dirty" where training/ differs from it; "unknown" outside a checkout."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return commit + ("-dirty" if _git("status", "--porcelain", "--", "training") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    root = Path(__file__).parents[2]
    return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607
