"""From a data set to lessons: labels in order, every picture in its split and in the cache, classes weighed.

All that can be wrong with the data is said here, before anything is learnt or written but the cache.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.console import NewBar
from training.data.decoding import Cache
from training.data.label_map import mismatches, read_label_map
from training.data.likeness import copies
from training.data.manifest import Manifest, read
from training.data.split import named_groups, split
from training.errors import DataSetError
from training.learn.options import Options
from training.learn.run import Part, Picture

if TYPE_CHECKING:
    from training.learn.dataset import Lesson

HEAVIEST = 10.0
"""Most that a picture of a small class weighs, as a multiple of an average one."""


class Prepared(NamedTuple):
    """A data set, ready to learn from."""

    manifest: Manifest
    labels: tuple[str, ...]
    """In the order of the outputs."""
    pictures: tuple[Picture, ...]
    cache: Cache

    def lesson(self, part: Part, class_weights: NDArray[np.float32] | None = None) -> "Lesson":
        """The pictures of a part; imports TensorFlow."""
        from training.learn.dataset import lesson

        index = {label: at for at, label in enumerate(self.labels)}
        chosen = [picture for picture in self.pictures if picture.split == part]
        paths = [self.cache.path(picture.sha256) for picture in chosen]
        return lesson(paths, [index[picture.label] for picture in chosen], class_weights)

    def count(self, part: Part) -> int:
        return sum(picture.split == part for picture in self.pictures)


def prepare(options: Options, *, bar: NewBar) -> Prepared:
    """Read, decode what the cache lacks, find copies, split.

    Raises:
        DataSetError: there is nothing to learn from; the sentence says why and what to do.
    """
    label_map = read_label_map(options.labels) if options.labels else None
    manifest = read(options.data, progress=bar("Reading files"))
    labels = _labels(manifest, label_map)
    _check_entries(manifest)
    groups = named_groups(manifest, options.groups)
    cache = Cache(options.cache)
    files = {entry.digest: entry.file for entry in manifest.entries}
    cache.fill(manifest.root, files, workers=options.workers, progress=bar("Decoding pictures"))
    paths = [cache.path(entry.digest) for entry in manifest.entries]
    groups += copies(paths, workers=options.workers, progress=bar("Looking for copies"))
    parts = split(
        manifest.entries, groups, val_share=options.val_share, test_share=options.test_share, seed=options.seed
    )
    pictures = tuple(
        Picture(entry.file, entry.label, part, entry.digest)
        for entry, part in zip(manifest.entries, parts, strict=True)
    )
    return Prepared(manifest, labels, pictures, cache)


def balanced(truth: Sequence[int], classes: int) -> NDArray[np.float32]:
    """A weight for each class, so that all have the same say, within reason; one on average over the pictures."""
    counts = Counter(truth)
    fair = np.array([len(truth) / (classes * counts[k]) if counts[k] else 0.0 for k in range(classes)])
    capped = np.minimum(fair, HEAVIEST)
    mean = sum(capped[k] * n for k, n in counts.items()) / len(truth)
    weights: NDArray[np.float32] = (capped / mean).astype(np.float32)
    return weights


def _labels(manifest: Manifest, label_map: tuple[str, ...] | None) -> tuple[str, ...]:
    if label_map is None:
        return manifest.labels
    finding = next(mismatches(manifest.labels, label_map), None)
    if finding:
        raise DataSetError(f"The label map does not fit the data: {finding.sentence}")
    return label_map


def _check_entries(manifest: Manifest) -> None:
    for entry in manifest.entries:
        if not entry.digest:
            raise DataSetError(f"{manifest.root / Path(entry.file)} cannot be read: take it out, or mend it.")
        if not entry.label:
            raise DataSetError(f"{entry.file} has no label: give it one, or take its row out.")
