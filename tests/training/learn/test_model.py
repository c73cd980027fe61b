from typing import Any

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,  # TensorFlow takes four seconds to import
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras"),  # its save_weights
]


def test_weights_of_another_width_are_refused_in_a_sentence(tmp_path: Any) -> None:
    from training.errors import TrainingError
    from training.learn import model

    narrow = model.build(3, alpha=0.1).get_layer("body")
    narrow.save_weights(tmp_path / "narrow.weights.h5")
    with pytest.raises(TrainingError, match="does not hold the weights"):
        model.build(3, alpha=0.35, weights=tmp_path / "narrow.weights.h5")
    with pytest.raises(TrainingError, match="no weights file"):
        model.build(3, weights=tmp_path / "missing.h5")


def test_weights_of_the_body_load_from_a_local_file(tmp_path: Any) -> None:
    from training.learn import model

    saved = model.build(3, alpha=0.1, seed=1).get_layer("body")
    saved.save_weights(tmp_path / "body.weights.h5")
    loaded = model.build(5, alpha=0.1, seed=2, weights=tmp_path / "body.weights.h5").get_layer("body")
    assert all(np.array_equal(a, b) for a, b in zip(saved.get_weights(), loaded.get_weights(), strict=True))


def test_the_body_of_a_former_run_is_taken_from_its_model(tmp_path: Any) -> None:
    from training.learn import model

    former = model.build(3, alpha=0.1, seed=1)
    former.save(tmp_path / "model.keras")
    loaded = model.build(5, alpha=0.1, seed=2, weights=tmp_path / "model.keras")
    assert (
        model.weights_digest(loaded) == model.weights_digest(former) != model.weights_digest(model.build(3, alpha=0.1))
    )


def test_weights_that_cannot_be_downloaded_are_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from training.errors import TrainingError
    from training.learn import model

    with pytest.raises(TrainingError, match=r"published for the widths 0\.35, 0\.5"):
        model.build(3, alpha=0.1, weights="imagenet")

    def no_network(*args: Any, **options: Any) -> Any:
        raise Exception("URL fetch failure")

    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", no_network)
    with pytest.raises(TrainingError, match="give a local file with --weights FILE"):
        model.build(3, alpha=0.35, weights="imagenet")


def test_published_weights_are_what_keras_hands_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """The download is at the wire: the rest is Keras' own way from its file to the layers."""
    import keras

    from training.learn import model

    source = keras.applications.MobileNetV2(input_shape=(224, 224, 3), alpha=0.35, include_top=False, weights=None)
    source.save_weights(tmp_path / "published.weights.h5")
    monkeypatch.setattr(
        "keras.src.applications.mobilenet_v2.file_utils.get_file",
        lambda *args, **options: str(tmp_path / "published.weights.h5"),
    )
    loaded = model.build(3, alpha=0.35, weights="imagenet", side_px=None).get_layer("body").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(loaded, source.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("frozen", "norms_learn", "body", "norms"), [(True, False, 0, 0), (False, False, 52, 0), (False, True, 156, 104)]
)
def test_a_phase_says_what_may_learn(frozen: bool, norms_learn: bool, body: int, norms: int) -> None:
    from training.learn import model

    network = model.build(3, alpha=0.1)
    model.set_trainable(network, frozen=frozen, norms_learn=norms_learn)
    learning = [weight.path for weight in network.get_layer("body").trainable_variables]
    assert len(learning) == body
    assert sum("gamma" in path or "beta" in path for path in learning) == norms
    assert len(network.get_layer("logits").trainable_variables) == 2


def test_batch_norm_computes_as_at_inference_while_the_layers_around_it_learn() -> None:
    from training.demo import untrained
    from training.learn import model

    network = untrained.build(3, alpha=0.1)
    model.set_trainable(network, frozen=False, norms_learn=False)
    pixels = model.unit(untrained.noise(2, seed=1))
    assert np.allclose(network(pixels, training=True), network(pixels, training=False), atol=1e-5)


def test_mixed_precision_computes_in_halves_and_answers_in_floats() -> None:
    import keras

    from training.learn import model

    network = model.build(3, alpha=0.1, precision="mixed_float16")
    assert network.get_layer("body").output.dtype == "float16"
    assert network.output.dtype == "float32"
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("look_px", [32, 56, 112, 224])
def test_a_network_that_learnt_small_pictures_answers_alike_to_whole_ones(look_px: int) -> None:
    """In training the body takes any size; served, the graph shrinks to the size that it learnt."""
    from training.demo import untrained
    from training.learn import model

    served = model.build(3, alpha=0.1, seed=4, look_px=look_px)
    learning = model.build(3, alpha=0.1, seed=5, side_px=None)
    learning.set_weights(served.get_weights())
    pixels = untrained.noise(2, seed=1)
    block = 224 // look_px
    small = pixels.reshape(2, look_px, block, look_px, block, 3).mean(axis=(2, 4)) / 255
    assert np.allclose(served(model.unit(pixels)), learning(small.astype(np.float32)), atol=1e-5)
