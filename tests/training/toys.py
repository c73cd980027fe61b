"""A network and pictures so small that a phase of training takes a second; run as a program, on two devices."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from training.data.pictures import PICTURE_BYTES
from training.learn.options import Options, Phase, options


def blobs(folder: Path, count: int, seed: int = 0) -> Any:
    """Pictures of three classes that differ in their colour, in a folder like the cache's."""
    from training.learn import dataset

    chance = np.random.default_rng(seed)
    paths, truth = [], [at % 3 for at in range(count)]
    for at, colour in enumerate(truth):
        pixels = np.full((224, 224, 3), chance.integers(0, 120), np.uint8)
        pixels[:, :, colour] += 100
        path = folder / f"{seed}-{at}.rgb"
        path.write_bytes(pixels.tobytes())
        assert path.stat().st_size == PICTURE_BYTES
        paths.append(path)
    return dataset.labelled_set(paths, truth)


def network(precision: str = "float32") -> Any:
    """Built like `training.learn.model`, with a body of one layer."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    body = keras.Sequential(
        [layers.Conv2D(8, 3, strides=2, dtype=precision), layers.BatchNormalization(momentum=0.9), layers.ReLU()],
        name="body",
    )
    image = keras.Input((None, None, 3))
    features = layers.GlobalAveragePooling2D()(body(image))
    return keras.Model(image, layers.Dense(3, dtype="float32", name="logits")(features))


def chosen(**more: Any) -> Options:
    return options(**{"data": Path("photos"), "weights": "none", "batch": 12, "augment": "none", **more})


def phase(**more: Any) -> Phase:
    facts = {"name": "1", "side_px": 32, "epochs": 6.0, "rate": 1e-2, "norms_learn": True}
    return Phase.model_validate(facts | more)


def losses(folder: Path, distribute: str) -> tuple[int, list[float]]:
    """Of three epochs with batch norm at inference, so that it does not matter how a batch is cut; and on how many."""
    from training.learn.phase import PhaseTraining, TrainingPosition, strategy

    on = strategy("mirrored" if distribute == "mirrored" else "none")
    with on.scope():
        model = network()
    pictures = blobs(folder, 48)
    light = replace(
        pictures, weights=pictures.weights / 100
    )  # each device clips its own gradients: let none be so large
    fitting = PhaseTraining(model, phase(norms_learn=False, rate=1e-3), chosen(), on, light)
    found = [
        fitting.train_epoch(TrainingPosition(epoch), [0], lambda due: None, lambda done, total: None)[0]
        for epoch in range(3)
    ]
    return on.num_replicas_in_sync, found


def main() -> None:
    """Two devices on one processor: TensorFlow must be told so before anything else."""
    import tensorflow as tf

    (processor,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    json.dump({how: losses(Path(sys.argv[1]), how) for how in ("none", "mirrored")}, sys.stdout)


if __name__ == "__main__":
    main()
