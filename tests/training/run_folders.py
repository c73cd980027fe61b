"""Runs as `train` leaves them, with a network of one's own instead of a training."""

from pathlib import Path
from typing import Any

from gateway.imaging import fingerprint
from training.data import manifest
from training.data.manifest import Part, Picture
from training.learn import runs
from training.learn.options import options
from training.learn.runs import Data, RunRecord, Splits, Weights


def write(folder: Path, photos: Path, network: Any, **more: Any) -> Path:
    """A finished run: every third picture of each class taught, chose or tests.

    Args:
        folder: of the run; made here.
        photos: a folder a class.
        network: Keras model of as many outputs as there are classes.
        more: of the record.
    """
    data = manifest.read(photos)
    parts: tuple[Part, ...] = ("train", "val", "test")
    counted: dict[str, int] = {}
    chosen = []
    for entry in data.entries:
        at = counted[entry.label] = counted.get(entry.label, -1) + 1
        chosen.append(Picture(entry.file, entry.label, parts[at % 3], entry.digest))
    folder.mkdir(parents=True)
    digest = runs.save_pictures(folder, chosen)
    sizes = {part: sum(picture.split == part for picture in chosen) for part in parts}
    facts = {
        "name": folder.name,
        "created": "2026-11-23T06:00:00+00:00",
        "seed": 7,
        "code_commit": "abc123",
        "options": options(data=photos, cache=folder.parent / ".cache", weights="none"),
        "data": Data(source=str(photos), digest=data.digest, pictures=len(chosen), classes=len(data.labels)),
        "splits": Splits(**sizes, digest=digest),
        "labels": data.labels,
        "fingerprint": fingerprint(),
        "weights": Weights(source="none"),
        "temperature": 1.5,
        "training_accuracy": 0.9,
        "validation_accuracy": 0.85,
        "finished": True,
        **more,
    }
    runs.save(folder, RunRecord(**facts))
    network.save(folder / runs.MODEL)
    return folder
