import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.imaging import fingerprint
from gateway.labels import Description
from tests.training.conftest import LABELS, Exported

pytestmark = pytest.mark.slow  # TensorFlow takes four seconds to import


@pytest.fixture(scope="module")
def loaded(exported: Exported) -> Any:
    import tensorflow as tf

    return tf.saved_model.load(str(exported.path))


@pytest.fixture(scope="module")
def ask(exported: Exported) -> Any:
    from training.release.graph import load

    return load(exported.path)


@pytest.fixture(scope="module")
def session(exported: Exported) -> Any:
    """As the C++ server asks: a session, tensors by the names in the signature. Fetches by signature and feeds."""
    import tensorflow as tf

    opened = tf.compat.v1.Session(graph=tf.Graph())
    with opened.graph.as_default():
        found = tf.compat.v1.saved_model.load(opened, ["serve"], str(exported.path)).signature_def

    def ask(signature: str, value: Any) -> Any:
        ((_, given),), ((_, wanted),) = found[signature].inputs.items(), found[signature].outputs.items()
        return opened.run(wanted.name, {given.name: value})

    return ask


@pytest.fixture(scope="module")
def pictures() -> Any:
    from training.demo.untrained import noise

    return noise(3, seed=9)


def wanted(exported: Exported, pictures: Any) -> Any:
    """Keras' own answer, calibrated by hand."""
    from training.learn.loop import logits
    from training.metrics import softmax

    return softmax(logits(exported.model, pictures), 1.7)


def test_signatures_are_the_contract(exported: Exported) -> None:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    def told(tensors: Any) -> dict[str, tuple[int, list[int]]]:
        return {name: (tensor.dtype, [dim.size for dim in tensor.tensor_shape.dim]) for name, tensor in tensors.items()}

    (graph,) = SavedModel.FromString((exported.path / "saved_model.pb").read_bytes()).meta_graphs
    floats, strings = 1, 7  # DT_FLOAT, DT_STRING
    probabilities = {"probabilities": (floats, [-1, 5])}
    assert {name: (told(one.inputs), told(one.outputs)) for name, one in graph.signature_def.items()} == {
        "serving_default": ({"image": (floats, [-1, 224, 224, 3])}, probabilities),
        "serving_bytes": ({"image": (strings, [-1])}, probabilities),
        "describe": ({"ignored": (strings, [-1])}, {"description": (strings, [1])}),
    }


def test_floats_and_bytes_answer_as_keras_does(ask: Any, exported: Exported, pictures: Any) -> None:
    floats = ask("serving_default", {"image": pictures.astype(np.float32) / 255})["probabilities"]
    raw = [picture.tobytes() for picture in pictures]
    through_bytes = ask("serving_bytes", {"image": raw})["probabilities"]
    assert np.abs(floats - wanted(exported, pictures)).max() < 1e-5
    assert np.array_equal(through_bytes, floats)


def test_a_plain_session_answers_alike(session: Any, exported: Exported, pictures: Any) -> None:
    raw = [picture.tobytes() for picture in pictures]
    assert np.abs(session("serving_bytes", raw) - wanted(exported, pictures)).max() < 1e-5
    assert np.array_equal(session("serving_default", pictures / 255), session("serving_bytes", raw))
    assert Description.model_validate_json(session("describe", [b""])[0]).labels == LABELS


def test_an_untrained_model_still_tells_pictures_apart(exported: Exported, pictures: Any) -> None:
    assert np.ptp(wanted(exported, pictures), axis=0).max() > 0.01


@pytest.mark.parametrize("ignored", [[b""], [b"a", b"b"]])
def test_describe_ignores_what_it_is_asked(ask: Any, ignored: list[bytes]) -> None:
    answer = ask("describe", {"ignored": ignored})["description"]
    description = Description.model_validate_json(answer[0])
    assert answer.shape == (1,)
    assert description.labels == LABELS
    assert description.temperature == 1.7
    assert description.preprocessing.fingerprint == fingerprint()


def test_wrong_length_is_said_in_the_error(ask: Any) -> None:
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError, match="must be 150528 bytes"):
        ask("serving_bytes", {"image": [b"short"]})


@pytest.mark.parametrize("shape", [(), (3,), (1, 0), (1, 3), (2, 2, 3), (1, 100, 100, 3), (1, 224, 224, 1), (0, 7)])
def test_floats_of_another_shape_are_an_error_of_the_request_and_not_the_end_of_the_server(
    session: Any, shape: tuple[int, ...]
) -> None:
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible with expected shape"):
        session("serving_default", np.zeros(shape, np.float32))


def test_the_graph_is_frozen_and_holds_the_network_once(loaded: Any, exported: Exported) -> None:
    operations = loaded.signatures["serving_bytes"].graph.get_operations()
    kinds = {operation.type for operation in operations}
    assert not kinds & {"VarHandleOp", "ReadVariableOp", "VariableV2", "PartitionedCall", "StatefulPartitionedCall"}
    assert not kinds & {"Rsqrt", "FusedBatchNormV3"}
    assert not list((exported.path / "variables").iterdir())
    assert (exported.path / "saved_model.pb").stat().st_size < 2 * 4 * exported.model.count_params()


def test_warm_up_requests_are_ones_that_the_version_answers(ask: Any, exported: Exported) -> None:
    import tensorflow as tf

    from tests.training.prediction_log import parse
    from training.release import warmup

    records = list(tf.compat.v1.io.tf_record_iterator(str(exported.path / warmup.FILE)))
    asked = [parse(record) for record in records]
    for signature, inputs in asked:
        ask(signature, {name: tf.make_ndarray(tensor) for name, tensor in inputs.items()})
    assert {signature for signature, _ in asked} == {"serving_default", "serving_bytes", "describe"}


def test_a_warm_up_record_is_these_bytes() -> None:
    from training.release import warmup

    tensor = "0807 1204 12020801 4201 78"  # 1: DT_STRING, 2: the shape [1], 8: "x"
    entry = "1212 0a03 696e70 120b" + tensor  # 2: an entry of 18 bytes; 1: its key "inp", 2: its value
    request = "0a03 1a0173" + entry  # 1: a model_spec of 3 bytes; 3: "s"
    log = "0a19" + request  # 1: the request, 25 bytes
    found = warmup.prediction_log("s", {"inp": warmup.tensor(b"x", [1])})
    assert found == bytes.fromhex("321b" + log)  # 6: predict_log, 27 bytes


def test_labels_must_be_as_many_as_outputs(exported: Exported, tmp_path: Path) -> None:
    from training.demo import untrained
    from training.errors import ExportError
    from training.release.graph import write_version

    with pytest.raises(ExportError, match="5 outputs for 4 labels"):
        write_version(exported.model, untrained.description(LABELS[:4]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_answers_otherwise_than_keras_never_appears(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.demo import untrained
    from training.errors import ExportError
    from training.release import graph

    monkeypatch.setattr(graph, "TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="nothing was exported"):
        graph.write_version(exported.model, untrained.description(LABELS), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_builds_the_same_model() -> None:
    from training.demo import untrained

    first, second = (untrained.build(3, alpha=0.1, seed=5).get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_descriptions_keep_what_newer_code_adds(ask: Any) -> None:
    answer = ask("describe", {"ignored": [b""]})["description"]
    assert json.loads(answer[0])["demo"] is True


def nodes(version: Path) -> list[Any]:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    (graph,) = SavedModel.FromString((version / "saved_model.pb").read_bytes()).meta_graphs
    return list(graph.graph_def.node)


@pytest.mark.parametrize("look_px", [56, 224])
def test_the_other_backbone_is_exported_without_its_batch_norms(look_px: int, tmp_path: Path) -> None:
    """Export compares with Keras by itself."""
    from training.demo import untrained
    from training.learn import model, weights
    from training.release.graph import write_version

    network = model.build(
        5, backbone="efficientnet_lite0", look_px=look_px, weights="imagenet" if weights.installed() else None
    )
    version = write_version(network, untrained.description(LABELS), tmp_path)
    operations = {node.op for node in nodes(version)}
    assert not operations & {"Rsqrt", "FusedBatchNormV3"}


def test_the_published_network_is_exported_with_its_thousand_names(tmp_path: Path) -> None:
    from training.demo import untrained
    from training.learn import model, weights
    from training.release.graph import load, write_version

    if not (weights.installed() and weights.installed(weights.SYNSETS)):
        pytest.skip("needs the extra 'pretrained': make setup")
    network, names = model.imagenet_classifier(), weights.imagenet_names()
    version = write_version(network, untrained.description(names), tmp_path)
    pixels = untrained.noise(3, seed=1)
    answer = load(version)("serving_bytes", {"image": [row.tobytes() for row in pixels]})["probabilities"]
    assert np.abs(answer - np.asarray(model.calibrated(network, 1.0)(model.unit(pixels)))).max() < 1e-5


def test_a_network_that_looks_at_small_pictures_is_exported_whole(tmp_path: Path) -> None:
    """Export compares with Keras by itself."""
    from training.demo import untrained
    from training.learn import model
    from training.release.graph import write_version

    small = model.build(5, alpha=0.1, look_px=56)
    assert write_version(small, untrained.description(LABELS), tmp_path).is_dir()
