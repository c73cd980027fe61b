"""What the network below the head sees: computed once per picture, so that fitting a head costs seconds."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.console import Progress
from training.learn import dataset
from training.learn import model as network
from training.learn.dataset import LabelledSet

BATCH = 8
"""Pictures at once: in larger batches the CPU's caches hold less of them (25 ms of CPU per picture, 37 at 32)."""


class Eye(NamedTuple):
    """A network below its head, traced once."""

    infer: Any
    """uint8 [N,side,side,3] to float32 [N,features]."""
    side_px: int
    width: int
    """Number of features."""


def eye_of(model: Any, side_px: int) -> Eye:
    """Of a model that `learn.model.build` made, for pictures of a side that it takes."""
    return Eye(network.inference(network.without_head(model)), side_px, model.get_layer("pooled").output.shape[-1])


def features_of(
    pictures: LabelledSet, eye: Eye, *, file: Path | None = None, progress: Progress
) -> NDArray[np.float32]:
    """The pooled features of pictures: float32, shape (N, features).

    Args:
        file: keeps the features, so that after a kill only the missing ones are computed; for the same pictures only.
    """
    kept = _rows(file, eye.width)[: len(pictures)]
    rest = pictures.chosen(np.arange(len(kept), len(pictures)))
    found = [kept]
    with file.open("r+b") if file else nullcontext() as out:
        if out:
            out.seek(kept.nbytes)
        for pixels, *_ in dataset.plain(rest, eye.side_px, BATCH) if len(rest) else ():
            found.append(np.asarray(eye.infer(pixels), np.float32))
            if out:
                out.write(found[-1].tobytes())
            progress(sum(map(len, found)), len(pictures))
    return np.concatenate(found)


def _rows(file: Path | None, width: int) -> NDArray[np.float32]:
    """The whole rows in a file, which is made if it is missing; what follows them was cut off by a kill."""
    if not file:
        return np.empty((0, width), np.float32)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    values = np.fromfile(file, np.float32)
    return values[: len(values) // width * width].reshape(-1, width)
