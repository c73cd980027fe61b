"""Whether the input pipeline of training keeps up with the network. Arguments: width, side. Prints JSON.

It measures pictures per second read from the warm cache, and pictures per second trained on. The two alternate in one
process on all cores, with the same pictures and the standard augmentation.
"""

import json
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from training.data.pictures import SHAPE
from training.learn import dataset
from training.learn import model as network
from training.learn.dataset import LabelledSet
from training.learn.options import options
from training.learn.phase import PhaseTraining, TrainingPosition, strategy

PICTURES = 1024
BATCH = 32
ROUNDS = 3
STEPS = 6
"""Training steps per round; the input pipeline delivers all pictures in each round."""


def rates(width: float, side_px: int) -> tuple[float, float]:
    """Pictures per second delivered and trained on; medians over the rounds."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = _noise(Path(folder))
        fitting = _fitting(width, side_px, pictures)
        _learnt(fitting, 1)  # traces the graph
        _delivered(pictures, side_px)  # also fills the page cache
        turns = [(_delivered(pictures, side_px), _learnt(fitting, STEPS)) for _ in range(ROUNDS)]
    return median(turn[0] for turn in turns), median(turn[1] for turn in turns)


def _noise(folder: Path) -> LabelledSet:
    chance = np.random.default_rng(0)
    paths = [folder / f"{at}.rgb" for at in range(PICTURES)]
    for path in paths:
        path.write_bytes(chance.integers(0, 256, SHAPE, np.uint8).tobytes())
    return dataset.labelled_set(paths, [at % 10 for at in range(PICTURES)])


def _fitting(width: float, side_px: int, pictures: LabelledSet) -> PhaseTraining:
    chosen = options(
        data=Path("photos"), weights="none", width=width, sizes=(side_px,), epochs=(1000,), rates=(1e-4,), batch=BATCH
    )
    model = network.build(10, alpha=width, side_px=None)
    return PhaseTraining(model, chosen.phases[0], chosen, strategy("none"), pictures)


def _delivered(pictures: LabelledSet, side_px: int) -> float:
    began, seen = time.perf_counter(), 0
    for pixels, *_ in dataset.epoch(pictures, side_px, BATCH, augment="standard", chance=np.random.default_rng(0)):
        seen += len(pixels)
    return seen / (time.perf_counter() - began)


def _learnt(fitting: PhaseTraining, steps: int) -> float:
    """Speed of the network alone: the batches are ready before the clock starts."""
    found: Any = dataset.epoch(
        fitting.pictures, fitting.phase.side_px, BATCH, augment="standard", chance=np.random.default_rng(0)
    )
    batches = list(islice(found, steps))
    fitting.optimizer.learning_rate.assign(fitting.rate(TrainingPosition()))
    began = time.perf_counter()
    for batch in batches:
        fitting.step(batch)
    return steps * BATCH / (time.perf_counter() - began)


if __name__ == "__main__":
    json.dump(rates(float(sys.argv[1]), int(sys.argv[2])), sys.stdout)
