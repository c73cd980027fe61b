import contextlib
import json
import zipfile
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from gateway.imaging import preprocess

pytestmark = [
    pytest.mark.slow,  # TensorFlow takes four seconds to import
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras"),  # its save_weights
]

BOTH = pytest.mark.parametrize(
    "small",
    [{"backbone": "mobilenet_v2", "alpha": 0.1}, {"backbone": "efficientnet_lite0"}],
    ids=["mobilenet_v2", "efficientnet_lite0"],
)


def test_weights_of_another_width_are_refused_in_a_sentence(tmp_path: Any) -> None:
    from training.errors import TrainingError
    from training.learn import model

    narrow = model.build(3, alpha=0.1).get_layer("body")
    narrow.save_weights(tmp_path / "narrow.weights.h5")
    with pytest.raises(TrainingError, match="does not hold the weights"):
        model.build(3, alpha=0.35, weights=tmp_path / "narrow.weights.h5")
    with pytest.raises(TrainingError, match="no weights file"):
        model.build(3, weights=tmp_path / "missing.h5")


@BOTH
def test_weights_of_the_body_load_from_a_local_file(small: dict[str, Any], tmp_path: Any) -> None:
    from training.learn import model

    saved = model.build(3, **small, seed=1).get_layer("body")
    saved.save_weights(tmp_path / "body.weights.h5")
    loaded = model.build(5, **small, seed=2, weights=tmp_path / "body.weights.h5").get_layer("body")
    assert all(np.array_equal(a, b) for a, b in zip(saved.get_weights(), loaded.get_weights(), strict=True))


@BOTH
def test_the_body_of_a_former_run_is_taken_from_its_model(small: dict[str, Any], tmp_path: Any) -> None:
    from training.learn import model

    former = model.build(3, **small, seed=1)
    former.save(tmp_path / "model.keras")
    loaded = model.build(5, **small, seed=2, weights=tmp_path / "model.keras")
    assert model.weights_digest(loaded) == model.weights_digest(former) != model.weights_digest(model.build(3, **small))


def test_a_file_of_another_backbone_is_refused_with_the_option_that_chooses_it(tmp_path: Any) -> None:
    from training.errors import TrainingError
    from training.learn import model

    model.build(3, alpha=0.1).save(tmp_path / "model.keras")
    with pytest.raises(TrainingError, match=r"weights of EfficientNet-Lite0: .* \(--backbone and --width choose"):
        model.build(3, backbone="efficientnet_lite0", weights=tmp_path / "model.keras")


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.weights.h5"])
@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + bytes(100)], ids=["empty", "zip", "hdf5"]
)
def test_a_damaged_file_is_refused_in_a_sentence(name: str, content: bytes, tmp_path: Any) -> None:
    from training.errors import TrainingError
    from training.learn import model

    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingError, match="does not hold the weights of MobileNetV2"):
        model.build(3, alpha=0.1, weights=tmp_path / name)


def test_code_in_the_model_of_a_former_run_is_not_executed(tmp_path: Any) -> None:
    import keras

    from training.errors import TrainingError
    from training.learn import model

    trace = tmp_path / "trace"
    program = eval(f"lambda x: (__import__('os').makedirs({str(trace)!r}, exist_ok=True), x)[1]")
    image = keras.Input((4,))
    keras.Model(image, keras.layers.Lambda(program, name="body")(image)).save(tmp_path / "model.keras")
    trace.rmdir()  # made while the model was built
    with pytest.raises(TrainingError, match="does not hold the weights"):
        model.build(3, alpha=0.1, weights=tmp_path / "model.keras")
    assert not trace.exists()


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


@pytest.mark.parametrize(("module", "called"), [("os", "system"), ("builtins", "eval"), ("subprocess", "Popen")])
def test_a_model_that_names_a_function_to_call_is_refused_and_calls_nothing(
    module: str, called: str, tmp_path: Path
) -> None:
    from training.errors import TrainingError
    from training.learn import model

    model.build(3, alpha=0.1).save(tmp_path / "model.keras")
    program = {"os": "touch trace", "builtins": "open('trace', 'w')", "subprocess": {"args": ["touch", "trace"]}}

    def changed(config: dict[str, Any]) -> None:
        config["config"]["layers"][1].update(module=module, class_name=called, config=program[module])

    rewritten(tmp_path / "model.keras", changed)
    with contextlib.chdir(tmp_path), pytest.raises(TrainingError, match="does not hold the weights"):
        model.build(3, alpha=0.1, weights=tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def rewritten(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Replace the description of the layers in a `.keras` file."""
    with zipfile.ZipFile(file) as kept:
        parts = {name: kept.read(name) for name in kept.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    with zipfile.ZipFile(file, "w") as new:
        for name, data in (parts | {"config.json": json.dumps(config).encode()}).items():
            new.writestr(name, data)


# --- Backbones --------------------------------------------------------------------------------------------------


def test_the_table_has_the_backbones_of_the_option() -> None:
    from training.learn import model, options

    assert {"auto", *model.BACKBONES} == set(get_args(options.BackboneName))


def test_pixels_reach_each_backbone_in_the_range_that_it_expects() -> None:
    """MobileNetV2: -1..1. EfficientNet-Lite: (pixels - 127) / 128."""
    import keras

    from training.learn import model

    ends = np.array([0, 127, 255], np.uint8).repeat(224 * 224 * 3).reshape(3, 224, 224, 3)
    seen = {}
    for backbone in model.BACKBONES:
        network = model.build(3, backbone=backbone)
        centred = keras.Model(network.input, network.get_layer("centred").output)
        seen[backbone] = np.asarray(centred(model.unit(ends)))[:, 0, 0, 0].tolist()
    assert seen["mobilenet_v2"] == pytest.approx([-1, -1 / 255, 1], abs=1e-6)
    assert seen["efficientnet_lite0"] == pytest.approx([-127 / 128, 0, 1], abs=1e-6)


@pytest.mark.parametrize("photo", ["chelsea.png", "coffee.png", "camera.png", "motorcycle_left.png"])
def test_the_published_network_names_what_a_photo_shows(photo: str) -> None:
    found = named(skimage_photo(photo))
    shown = {
        "chelsea.png": ("Egyptian cat", 0.79),
        "coffee.png": ("espresso", 0.90),
        "camera.png": ("tripod", 0.94),
        "motorcycle_left.png": ("moped", 0.49),
    }
    name, probability = shown[photo]
    assert found[0] == name
    assert found[1] == pytest.approx(probability, abs=0.02)


@pytest.mark.parametrize(("photo", "name", "probability"), [("LF57OR8", "king crab", 0.89), ("CUON7H9", "conch", 0.89)])
def test_the_published_network_names_what_a_trawl_caught(photo: str, name: str, probability: float) -> None:
    file = Path(__file__).parents[4] / "shared/data/photos" / f"{photo}.jpeg"
    if not file.is_file():
        pytest.skip(f"needs the photo {photo}.jpeg in ../shared/data/photos")
    found = named(file)
    assert found[0] == name
    assert found[1] == pytest.approx(probability, abs=0.02)


@lru_cache
def published() -> Any:
    from training.learn import model, weights

    if not (weights.installed() and weights.installed(weights.SYNSETS)):
        pytest.skip("needs the extra 'pretrained': make setup")
    return model.calibrated(model.imagenet_classifier(), 1.0)


def skimage_photo(name: str) -> Path:
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the photos of scikit-image")
    return Path(spec.submodule_search_locations[0]) / "data" / name


def named(photo: Path) -> tuple[str, float]:
    """The most probable name and its probability, for the pixels that the gateway would send."""
    from training.learn import model, weights

    (row,) = np.asarray(published()(model.unit(preprocess(photo.read_bytes())[None]), training=False))
    return weights.imagenet_names()[row.argmax()], float(row.max())


def test_the_body_of_the_pretrained_backbone_is_that_of_the_published_network() -> None:
    from training.learn import model

    classifier = published()
    built = model.build(3, backbone="efficientnet_lite0", weights="imagenet")
    assert model.weights_digest(built) == model.weights_digest(classifier)
    assert built.get_layer("logits").get_weights()[0].shape == (1280, 3)


@pytest.mark.parametrize("side_px", [32, 56, 112, 224])
def test_the_pretrained_backbone_takes_all_sizes_of_training(side_px: int) -> None:
    from training.learn import model

    network = model.build(3, backbone="efficientnet_lite0", side_px=None)
    assert network(np.zeros((2, side_px, side_px, 3), np.float32)).shape == (2, 3)


# --- Phases, precision, sizes -----------------------------------------------------------------------------------


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


@BOTH
def test_batch_norm_computes_as_at_inference_while_the_layers_around_it_learn(small: dict[str, Any]) -> None:
    from training.demo import untrained
    from training.learn import model

    network = model.build(3, **small)
    model.reestimate_norms(network, [model.unit(untrained.noise(2, seed=0))])
    model.set_trainable(network, frozen=False, norms_learn=False)
    pixels = model.unit(untrained.noise(2, seed=1))
    assert np.allclose(network(pixels, training=True), network(pixels, training=False), atol=1e-5)


@BOTH
def test_mixed_precision_computes_in_halves_and_answers_in_floats(small: dict[str, Any]) -> None:
    import keras

    from training.learn import model

    network = model.build(3, **small, precision="mixed_float16")
    assert network.get_layer("body").output.dtype == "float16"
    assert network.output.dtype == "float32"
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


@BOTH
@pytest.mark.parametrize("look_px", [32, 56, 112, 224])
def test_a_network_that_learnt_small_pictures_answers_alike_to_whole_ones(look_px: int, small: dict[str, Any]) -> None:
    """In training the body takes any size; served, the graph shrinks to the size that it learnt."""
    from training.demo import untrained
    from training.learn import model

    served = model.build(3, **small, seed=4, look_px=look_px)
    learning = model.build(3, **small, seed=5, side_px=None)
    learning.set_weights(served.get_weights())
    pixels = untrained.noise(2, seed=1)
    block = 224 // look_px
    shrunk = pixels.reshape(2, look_px, block, look_px, block, 3).mean(axis=(2, 4)) / 255
    assert np.allclose(served(model.unit(pixels)), learning(shrunk.astype(np.float32)), atol=1e-5)
