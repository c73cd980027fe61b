"""Run as a script: write SavedModels as other people's code writes them, and what they answer. One argument: where."""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tf_keras

LABELS = ("tulip", "rose", "daisy")
RGB = (200, 120, 40)


def small_network(layers: Any, models: Any) -> Any:
    """Any network with names of its own: [N,224,224,3] in -1..1 to three probabilities."""
    pixels = layers.Input((224, 224, 3), name="what_the_camera_saw")
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 5, strides=4, activation="relu")(pixels))
    return models.Model(pixels, layers.Dense(3, activation="softmax", name="verdict")(pooled))


def note(folder: Path, name: str, model: Any) -> None:
    """What the model says of a flat picture of `RGB`."""
    flat = np.broadcast_to(np.array(RGB, np.float32) / 127.5 - 1, (1, 224, 224, 3))
    answer = dict(zip(LABELS, np.asarray(model(flat))[0].tolist(), strict=True))
    (folder / f"{name}.json").write_text(json.dumps({"rgb": RGB, "answer": answer}), encoding="utf-8")


def main(folder: Path) -> None:
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    new = small_network(keras.layers, keras.models)
    new.export(str(folder / "exported_by_keras_3/1"), verbose=False)
    note(folder, "exported_by_keras_3", new)
    old = small_network(tf_keras.layers, tf_keras.models)
    old.save(str(folder / "saved_by_tf_keras/7"), save_format="tf")
    note(folder, "saved_by_tf_keras", old)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
