"""Export the demo model to where replicas watch. TensorFlow is imported only when there is something to export."""

from pathlib import Path

import numpy as np

from gateway.imaging import Pixels, fingerprint, preprocess
from gateway.labels import Description, Preprocessing
from training import drawings, versions
from training.console import Notify
from training.demo import record as records

TITLE = "Specimen demo (drawn pictures)"
WARNING = "This is a demo: it was trained on drawn pictures, and on real photos its labels mean nothing."


def provide(base: Path, *, force: bool = False, notify: Notify) -> Path | None:
    """Export the committed weights as a new version under `base` (`models/NAME`), unless it has one already."""
    found = versions.present(base)
    if found and not force:
        notify(f"{base} already holds version {found[-1]}: nothing to do. --force adds the demo model as a newer one.")
        return None
    notify("Starting TensorFlow")
    from training.demo import weights
    from training.learn import model as network
    from training.release.graph import write_version

    record = records.load()
    notify("Loading the committed weights")
    if record.fingerprint != fingerprint():
        notify("Preprocessing has changed since these weights were made; `demo --retrain` makes them fit again.")
    model = network.build(len(drawings.specimens()), alpha=record.alpha)
    weights.load(model)
    notify("Writing the version, then comparing its answers with Keras on drawn pictures")
    path = write_version(model, description(record), base, pictures=_examples())
    notify(f"{path} is ready: top-1 {record.metrics['top1']:.3f} on unseen drawings. {WARNING}")
    return path


def description(record: records.Record) -> Description:
    """The description of the demo model, for clients and for the gateway."""
    kept = ("top1", "top5", "ece")
    training = record.pictures["training"]
    return Description(
        title=TITLE,
        summary=f"{WARNING} It distinguishes {len(drawings.specimens())} procedurally drawn specimens "
        f"and classifies {record.metrics['top1']:.1%} of unseen drawings correctly.",
        demo=True,
        labels=tuple(specimen.label for specimen in drawings.specimens()),
        preprocessing=Preprocessing(fingerprint=fingerprint()),
        temperature=record.temperature,
        metrics={name: round(record.metrics[name], 4) for name in kept},
        training_data={
            "kind": "drawn",
            "pictures": training["count"],
            "classes": len(drawings.specimens()),
            "digest": training["digest"],
            "tested_on": record.pictures["test"]["count"],
        },
        code_version=record.code_version,
    )


def _examples() -> Pixels:
    """Drawings of several classes, none of them used in training: uint8 [4,224,224,3]."""
    pixels = [preprocess(drawings.encoded(k, 3_000_000)) for k in (0, 45, 90, 135)]
    return np.stack(pixels)
