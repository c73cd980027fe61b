"""Every road to a model: files, folders, a replica and a gateway that run."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from benchmarks.line import running
from tests import drawings
from tests import pictures as drawn
from tests.line.conftest import client_of
from tests.training import data_sets
from tests.training.conftest import LABELS, Exported
from training.errors import JudgementError
from training.judge import examples
from training.judge.examples import Picture
from training.judge.sources import Foreign, opened

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras"),  # when it saves
]


@pytest.fixture(scope="module")
def uploads() -> list[Picture]:
    return [examples.decoded(drawings.encoded(k, 7_000_000), f"drawing {k}") for k in (0, 30, 60)]


@pytest.fixture(scope="module")
def label_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("labels") / "labels.txt"
    file.write_text("\n".join(LABELS))
    return file


@pytest.fixture(scope="module")
def roads(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Names of the same model, wherever it is."""
    keras_file = tmp_path_factory.mktemp("keras") / "toy.keras"
    exported.model.save(keras_file)
    base = exported.path.parent
    with running(base.parent, drawn.jpeg(), model_name=base.name, embedded_replicas="1") as line:
        with client_of(line) as client:
            address, _, _ = client.get("/v1/models").json()["replicas"][0]["address"].partition("/")  # of REST
        yield {
            "file": str(keras_file),
            "version": str(exported.path),
            "served folder": str(base),
            "gateway": f"http://127.0.0.1:{line.port}",
            "replica": f"http://{address}/v1/models/{base.name}",
        }


def test_every_road_to_one_model_gives_the_same_answers(
    roads: dict[str, str], uploads: list[Picture], label_map: Path
) -> None:
    rows: dict[str, Any] = {}
    for name, road in roads.items():
        with opened(road, Foreign(label_map, temperature=1.7)) as source:
            assert source.facts.labels == LABELS
            rows[name] = source.ask(uploads).rows
    for name, answers in rows.items():
        assert np.abs(answers - rows["file"]).max() < 1e-5, name
    assert np.ptp(rows["file"], axis=0).max() > 1e-3


def test_the_version_that_answers_is_known(roads: dict[str, str], exported: Exported) -> None:
    for name in ("version", "served folder", "gateway", "replica"):
        with opened(roads[name]) as source:
            assert source.facts.version == exported.path.name


def test_nothing_there_is_told_in_a_sentence(roads: dict[str, str], tmp_path: Path, label_map: Path) -> None:
    def refused(named: str | Path, sentence: str, labels: Path | None = label_map) -> None:
        with pytest.raises(JudgementError, match=sentence), opened(named, Foreign(labels)):
            pass

    broken, noise = tmp_path / "broken.keras", tmp_path / "noise.h5"
    broken.write_bytes(b"PK no")
    noise.write_bytes(b"noise")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/saved_model.pb").write_bytes(b"noise")
    refused(tmp_path / "gone.keras", "no model file")
    refused(roads["file"], "does not describe its labels", None)
    refused(broken, "cannot be read as a Keras model")
    refused(noise, "cannot be read as a Keras model")
    refused(tmp_path / "saved", "cannot be read as a SavedModel")
    refused(tmp_path, "holds neither a run nor a SavedModel")
    refused("photo.jpg", "is not a model")
    refused("http://127.0.0.1:1", "cannot be asked")
    refused("http://127.0.0.1:1/v1/models/toy", "cannot be asked: no connection")
    refused("ftp://somewhere", "is not an address")
    refused(roads["replica"].replace("/toy", "/other"), "cannot be asked")
    refused(roads["replica"].split("/v1")[0], "give a gateway as http://HOST:PORT and a replica as")
    two = tmp_path / "two.txt"
    two.write_text("crab\npen")
    refused(roads["file"], "5 outputs for 2 labels", two)


# --- SavedModels of others ----------------------------------------------------------------------------------------


def foreign(folder: Path, *, side: int = 224, outputs: int = 1, document: str | None = None) -> Path:
    """A SavedModel of another project: floats to `outputs` outputs; `document` is what its `describe` returns."""
    import tensorflow as tf

    class Foreign(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
        @tf.function(input_signature=[tf.TensorSpec((None, side, side, 3), tf.float32, "image")])  # type: ignore[untyped-decorator]
        def serve(self, image: Any) -> dict[str, Any]:
            bright = tf.clip_by_value(tf.reduce_mean(image, axis=(1, 2, 3)), 0.0, 1.0)
            return {f"out{at}": tf.stack([bright, 1 - bright], axis=1) for at in range(outputs)}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "ignored")])  # type: ignore[untyped-decorator]
        def describe(self, ignored: Any) -> dict[str, Any]:
            with tf.control_dependencies([ignored]):
                return {"text": tf.constant([document or ""])}

    model = Foreign()
    signatures = {"serving_default": model.serve} | ({"describe": model.describe} if document is not None else {})
    tf.saved_model.save(model, str(folder), signatures=signatures)
    return folder


@pytest.fixture
def two_labels(tmp_path: Path) -> Path:
    (tmp_path / "two.txt").write_text("bright\ndark")
    return tmp_path / "two.txt"


@pytest.mark.parametrize(("input_range", "bright"), [("0..1", 0.5), ("-1..1", 0.0), ("0..255", 1.0)])
def test_a_foreign_saved_model_gets_its_input_range(
    tmp_path: Path, two_labels: Path, input_range: str, bright: float
) -> None:
    grey = Picture(b"", np.full((224, 224, 3), 127, np.uint8))
    with opened(foreign(tmp_path / "1"), Foreign(two_labels, input_range)) as source:
        assert source.ask([grey]).rows == pytest.approx(np.array([[bright, 1 - bright]]), abs=0.01)
        assert source.facts.version == "1"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"document": "hello"}, "its signature describe returns another document than training writes"),
        ({"side": 160}, r"serving_default takes \[-1, 160, 160, 3\], not \[-1, 224, 224, 3\]"),
        ({"outputs": 2}, "serving_default must have one float output"),
    ],
)
def test_a_saved_model_that_no_gateway_would_serve_is_refused_in_one_line(
    tmp_path: Path, two_labels: Path, options: dict[str, Any], sentence: str
) -> None:
    foreign(tmp_path / "1", **options)
    photos = data_sets.clean(tmp_path / "photos")
    words = ["evaluate", tmp_path / "1", photos, "--labels", two_labels, "--report", tmp_path / "report"]
    command = [sys.executable, "-m", "training", *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.search(f"training: {tmp_path / '1'} cannot be asked: {sentence}", ended.stderr.splitlines()[-1])
    assert "Traceback" not in ended.stderr


def test_a_gateway_that_changes_its_version_meanwhile_is_noticed(uploads: list[Picture]) -> None:
    from training.judge.sources.served import Gateway

    def wire(request: httpx.Request) -> httpx.Response:
        version = "1" if request.url.path == "/v1/labels" else "2"
        ranked = [{"label": "crab", "confidence": 1.0, "index": 0}]
        return httpx.Response(200, json={"labels": ["crab"], "model": {"version": version}, "predictions": ranked})

    gateway = Gateway("http://gateway", transport=httpx.MockTransport(wire))
    with pytest.raises(JudgementError, match="changed its version"):
        gateway.ask(uploads)


def test_a_gateway_with_keys_gets_the_one_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from training.judge.sources.served import Gateway, check_gateway

    def wire(request: httpx.Request) -> httpx.Response:
        if request.headers.get("X-API-Key") != "secret":
            return httpx.Response(401, json={"detail": "Send your API key"})
        return httpx.Response(200, json={"labels": ["crab"], "model": {"version": "1"}, "replicas": []})

    with pytest.raises(JudgementError, match="requires an API key: put it into SPECIMEN_API_KEY"):
        Gateway("http://gateway", transport=httpx.MockTransport(wire))
    monkeypatch.setenv("SPECIMEN_API_KEY", "secret")
    assert Gateway("http://gateway", transport=httpx.MockTransport(wire)).facts.labels == ("crab",)
    check_gateway("http://gateway", transport=httpx.MockTransport(wire))


def test_a_gateway_that_is_full_is_asked_again() -> None:
    from training.judge.sources.served import Gateway

    full = [httpx.Response(503, headers={"Retry-After": "0"}), httpx.Response(503, headers={"Retry-After": "0"})]

    def wire(request: httpx.Request) -> httpx.Response:
        return full.pop() if full else httpx.Response(200, json={"labels": ["crab"], "model": {"version": "1"}})

    assert Gateway("http://gateway", transport=httpx.MockTransport(wire)).facts.version == "1"
    assert full == []


def test_waiting_for_a_version_ends_when_every_replica_serves_it() -> None:
    from training.judge.sources.served import await_version

    looks = iter((["1", "1"], ["2", "1"], ["2", "2"]))

    def wire(request: httpx.Request) -> httpx.Response:
        told = [{"address": "a", "serving": serving, "reason": ""} for serving in next(looks)]
        return httpx.Response(200, json={"replicas": told})

    await_version("http://gateway", 2, within_s=60, transport=httpx.MockTransport(wire))
    assert list(looks) == []


def test_a_version_that_the_gateway_refuses_is_told_with_its_reason() -> None:
    from training.judge.sources.served import await_version

    refusal = [{"address": "a:1", "serving": "1", "reason": "version 2 is refused: it has 3 labels for 4 outputs"}]
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"replicas": refusal}))
    with pytest.raises(JudgementError, match="version 2 is refused: it has 3 labels"):
        await_version("http://gateway", 2, within_s=0.1, transport=transport)


# --- Keras 2 ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    (folder / "labels.txt").write_text("crab\npen\nstar")
    script = Path(__file__).parents[1] / "old_keras.py"
    subprocess.run([sys.executable, script, folder], check=True, capture_output=True, timeout=300)
    return folder


def test_a_model_saved_by_keras_2_answers_as_it_did(old_files: Path) -> None:
    from training.judge.sources.keras_file import load

    ramp = np.linspace(0, 1, 2 * 224 * 224 * 3, dtype=np.float32).reshape(2, 224, 224, 3)
    told = json.loads((old_files / "old.json").read_text())
    assert np.abs(np.asarray(load(old_files / "old.h5")(ramp)) - told).max() < 1e-6


@pytest.mark.parametrize("input_range", ["0..1", "-1..1", "0..255"])
def test_its_probabilities_are_kept_and_its_range_is_what_one_says(
    old_files: Path, uploads: list[Picture], input_range: str
) -> None:
    from gateway.tfserving.contract import INPUT_RANGES
    from training.judge.sources.keras_file import load

    low, high = INPUT_RANGES[input_range]
    pixels = np.stack([picture.pixels for picture in uploads]).astype(np.float32)
    with opened(old_files / "old.h5", Foreign(old_files / "labels.txt", input_range)) as source:
        wanted = np.asarray(load(old_files / "old.h5")(low + pixels / 255 * (high - low)))
        assert np.abs(source.ask(uploads).rows - wanted).max() < 1e-5


@pytest.mark.parametrize(
    ("file", "sentence"),
    [("sigmoid.h5", "ends in sigmoid"), ("small.h5", r"takes input of shape \(None, 160, 160, 3\)")],
)
def test_what_is_no_classifier_of_such_pictures_is_refused(old_files: Path, file: str, sentence: str) -> None:
    with pytest.raises(JudgementError, match=sentence), opened(old_files / file, Foreign(old_files / "labels.txt")):
        pass
