"""The drawn pictures of the demo model, written as a data set: files in train, val and test.

No TensorFlow here, so that the drawing processes start fast.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from training import drawings
from training.console import Progress
from training.data.manifest import Part
from training.data.pictures import Workers


class Seeds(NamedTuple):
    """A set of drawings: `per_class` of each class, from `first` on. Sets with disjoint seeds share no picture."""

    first: int
    per_class: int


def write(folder: Path, part: Part, seeds: Seeds, *, progress: Progress) -> None:
    """Draw a part of the data set, on every core; about 25 ms of CPU per picture. Existing files are kept."""
    for specimen in drawings.specimens():
        (folder / part / specimen.label).mkdir(parents=True, exist_ok=True)
    jobs = [
        f"{class_index} {seed}"
        for seed in range(seeds.first, seeds.first + seeds.per_class)
        for class_index in range(len(drawings.specimens()))
    ]
    for _ in Workers().map(partial(_draw, folder / part), jobs, progress):
        pass


def _draw(folder: Path, job: str) -> None:
    class_index, seed = map(int, job.split())
    path = folder / drawings.specimens()[class_index].label / f"{seed}.jpg"
    if not path.exists():
        aside = path.with_suffix(".partial")
        aside.write_bytes(drawings.encoded(class_index, seed))
        aside.replace(path)
