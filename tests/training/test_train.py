from typing import Any

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,  # TensorFlow takes four seconds to import
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras"),  # its save_weights
]


def blobs(count: int, seed: int) -> tuple[Any, Any]:
    """Three classes that differ in their colour: uint8 [count,64,64,3], int64 [count]."""
    chance = np.random.default_rng(seed)
    truth = np.arange(count) % 3
    pixels = chance.integers(0, 120, (count, 64, 64, 3), np.uint8)
    pixels[np.arange(count), :, :, truth] += 100
    return pixels, truth


def small(classes: int) -> Any:
    """Built like `training.model`, with a body of one layer: MobileNetV2 takes a minute to trace."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    body = keras.Sequential([layers.Conv2D(8, 3, strides=2), layers.BatchNormalization(), layers.ReLU()], name="body")
    image = keras.Input((None, None, 3))
    return keras.Model(image, layers.Dense(classes)(layers.GlobalAveragePooling2D()(body(image))))


def test_a_tiny_run_learns() -> None:
    from training import evaluate, train

    pixels, truth = blobs(240, seed=0)
    network = small(3)
    stages = [train.Stage(32, 6, 1e-2, 24), train.Stage(64, 1, 1e-3, 24)]
    said: list[train.Progress] = []
    history = train.fit(network, pixels, truth, stages, seed=0, report=said.append)
    unseen, answers = blobs(60, seed=1)
    assert evaluate.top_k_share(evaluate.softmax(train.logits(network, unseen)), answers, 1) > 0.9
    assert history == said
    assert {progress.side_px for progress in history} == {32, 64}


def test_reduced_pictures_are_the_means_of_blocks() -> None:
    from training.train import reduced

    block = np.array([[0, 10], [20, 31]], np.uint8)
    pixels = np.tile(block[None, :, :, None], (1, 2, 2, 3))
    assert (reduced(pixels, 2) == 15).all()
    assert reduced(pixels, 4) is pixels


def test_an_epoch_shows_every_picture_once_and_the_seed_decides_the_order() -> None:
    from training import train

    pixels = np.zeros((8, 4, 4, 3), np.uint8)
    stage = train.Stage(4, 1, 1e-3, 4)

    def order(seed: int) -> list[int]:
        shown = train.batches(pixels, np.arange(8), stage, np.random.default_rng(seed))
        return [int(k) for _, truth in shown for k in truth]

    assert sorted(order(0)) == list(range(8))
    assert order(0) == order(0) != order(1)


def test_mirroring_leaves_the_source_as_it_was() -> None:
    from training import train

    pixels = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), np.uint8)
    before = pixels.copy()
    list(train.batches(pixels, np.arange(8), train.Stage(4, 3, 1e-3, 4), np.random.default_rng(0)))
    assert np.array_equal(pixels, before)


def test_weights_of_another_width_are_refused_in_a_sentence(tmp_path: Any) -> None:
    from training import model
    from training.errors import TrainingError

    narrow = model.build(3, alpha=0.1).get_layer("body")
    narrow.save_weights(tmp_path / "narrow.weights.h5")
    with pytest.raises(TrainingError, match="does not hold the weights"):
        model.build(3, alpha=0.35, weights=tmp_path / "narrow.weights.h5")
    with pytest.raises(TrainingError, match="no weights file"):
        model.build(3, weights=tmp_path / "missing.h5")


def test_weights_of_the_body_load_from_a_local_file(tmp_path: Any) -> None:
    from training import model

    saved = model.build(3, alpha=0.1, seed=1).get_layer("body")
    saved.save_weights(tmp_path / "body.weights.h5")
    loaded = model.build(5, alpha=0.1, seed=2, weights=tmp_path / "body.weights.h5").get_layer("body")
    assert all(np.array_equal(a, b) for a, b in zip(saved.get_weights(), loaded.get_weights(), strict=True))
