"""Run as a script: write a whole model as Keras 2 did, `.h5`, and what it answers. Two arguments: where, which."""

import json
import sys
from pathlib import Path

import numpy as np
import tf_keras
from tf_keras import layers


def classifier(activation: str, side_px: int = 224) -> tf_keras.Model:
    """A depthwise convolution, batch norm and a head of three: what the bodies of old models are made of."""
    tf_keras.utils.set_random_seed(4)
    image = layers.Input((side_px, side_px, 3))
    features = layers.DepthwiseConv2D(5, strides=4, activation="relu")(image)
    features = layers.BatchNormalization()(features)
    return tf_keras.Model(image, layers.Dense(3, activation=activation)(layers.GlobalAveragePooling2D()(features)))


def main(folder: Path) -> None:
    model = classifier("softmax")
    model.compile("adam", "categorical_crossentropy")  # as it was saved after training
    model.save(folder / "old.h5")
    ramp = np.linspace(0, 1, 2 * 224 * 224 * 3, dtype=np.float32).reshape(2, 224, 224, 3)
    (folder / "old.json").write_text(json.dumps(np.asarray(model(ramp)).tolist()), encoding="utf-8")
    classifier("sigmoid").save(folder / "sigmoid.h5")
    classifier("softmax", side_px=160).save(folder / "small.h5")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
