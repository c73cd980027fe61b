"""The answers are the model's: for every signature, every kind of request, and foreign models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.line import Line, running
from gateway.imaging import preprocess
from tests import pictures
from tests.line.conftest import client_of
from tests.serving.servers import wait_until

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5


def confidences(client: httpx.Client, picture: bytes) -> NDArray[np.float64]:
    """By class index, every one of them."""
    response = client.post("/v1/classify?top_k=1000", files={"image": ("a", picture)})
    assert response.status_code == 200, response.text
    ranked = response.json()["predictions"]
    return np.array([line["confidence"] for line in sorted(ranked, key=lambda line: int(line["index"]))])


@pytest.fixture(scope="module")
def keras_answers(uploads: dict[str, bytes]) -> dict[str, NDArray[np.float32]]:
    """Keras itself, in this process, on what `preprocess` makes of each file."""
    from training.demo import provide
    from training.learn import model as network

    calibrated = network.calibrated(network.imagenet_classifier(), 1.0, provide.demo().shares)
    batch = np.stack([preprocess(data) for data in uploads.values()])
    answers = calibrated(network.unit(batch), training=False).numpy()
    return dict(zip(uploads, answers, strict=True))


@pytest.mark.parametrize("transport", ["rest", "grpc"])
@pytest.mark.parametrize("signature", ["serving_bytes", "serving_default"])
def test_every_confidence_is_what_keras_says(
    demo_models: Path,
    uploads: dict[str, bytes],
    keras_answers: dict[str, NDArray[np.float32]],
    signature: str,
    transport: str,
) -> None:
    with (
        running(demo_models, pictures.jpeg(), signature=signature, transport=transport, embedded_replicas="1") as line,
        client_of(line) as client,
    ):
        for name, data in uploads.items():
            np.testing.assert_allclose(confidences(client, data), keras_answers[name], atol=TOLERANCE, err_msg=name)


def test_both_transports_give_equal_answers(
    demo_models: Path, client: httpx.Client, uploads: dict[str, bytes], tmp_path: Path
) -> None:
    log = tmp_path / "gateway.log"
    with running(demo_models, pictures.jpeg(), log=log, transport="grpc") as line, client_of(line) as over_grpc:
        for name, data in uploads.items():
            over_rest = confidences(client, data)
            np.testing.assert_allclose(confidences(over_grpc, data), over_rest, rtol=0, atol=1e-7, err_msg=name)
        assert over_grpc.get("/v1/models/my_model/metadata").json() == client.get("/v1/models/my_model/metadata").json()
    assert "Traceback" not in log.read_text(encoding="utf-8")


def test_each_photo_gets_five_labels_in_falling_confidence(client: httpx.Client, photos: list[Path]) -> None:
    for photo in photos:
        form = client.post("/v1/classify", files={"image": (photo.name, photo.read_bytes())})
        raw = client.post("/v1/classify", content=photo.read_bytes(), headers={"Content-Type": "image/jpeg"})
        assert form.status_code == raw.status_code == 200
        found = [line["confidence"] for line in form.json()["predictions"]]
        assert len(found) == 5
        assert found == sorted(found, reverse=True)
        assert form.json()["model"]["version"].isdecimal()
        assert raw.json()["predictions"] == form.json()["predictions"]


def test_a_batch_gives_what_single_uploads_give(client: httpx.Client, uploads: dict[str, bytes]) -> None:
    data = list(uploads.values())[:6]
    batch = client.post("/v1/classify/batch?top_k=3", files=[("image", ("a", picture)) for picture in data])
    for item, picture in zip(batch.json()["results"], data, strict=True):
        alone = client.post("/v1/classify?top_k=3", files={"image": ("a", picture)}).json()
        for one, other in zip(item["predictions"], alone["predictions"], strict=True):
            assert one["label"] == other["label"]
            assert one["confidence"] == pytest.approx(other["confidence"], abs=TOLERANCE)


def test_a_plain_tensorflow_serving_client_works_unchanged(client: httpx.Client, photos: list[Path]) -> None:
    image = np.asarray(Image.open(photos[0]).resize((224, 224))) / 255.0
    data = json.dumps({"signature_name": "serving_default", "instances": [image.tolist()]})
    response = client.post("/v1/models/my_model:predict", content=data, headers={"content-type": "application/json"})
    (prediction,) = json.loads(response.text)["predictions"]
    label = client.get("/v1/labels").json()["labels"][np.argmax(prediction)]
    assert len(prediction) == 137
    assert isinstance(label, str)


def test_requests_are_spread_evenly_over_the_replicas(client: httpx.Client) -> None:
    def attempts() -> list[int]:
        return [replica["attempts"] for replica in client.get("/v1/models").json()["replicas"]]

    def ready() -> bool:
        return all(r["state"] == "available" for r in client.get("/v1/models").json()["replicas"])

    wait_until(ready)
    before = attempts()
    for _ in range(20):
        client.post("/v1/classify", files={"image": ("a", pictures.jpeg())})
    assert [after - was for after, was in zip(attempts(), before, strict=True)] == [10, 10]


@pytest.fixture(params=[("exported_by_keras_3", "rest"), ("saved_by_tf_keras", "rest"), ("saved_by_tf_keras", "grpc")])
def foreign_line(request: pytest.FixtureRequest, foreign_models: Path) -> Iterator[tuple[Line, dict[str, Any]]]:
    name, transport = request.param
    settings = {
        "model_name": name,
        "transport": transport,
        "labels_file": str(foreign_models / "labels.txt"),
        "input_range": "-1..1",
        "embedded_replicas": "1",
    }
    with running(foreign_models, pictures.jpeg(), **settings) as line:
        yield line, json.loads((foreign_models / f"{name}.json").read_text(encoding="utf-8"))


def test_a_model_of_others_is_served_by_configuration_alone(foreign_line: tuple[Line, dict[str, Any]]) -> None:
    line, expected = foreign_line
    flat = pictures.encoded(Image.new("RGB", (300, 200), tuple(expected["rgb"])), "PNG")
    with client_of(line) as client:
        answer = client.post("/v1/classify", files={"image": ("a.png", flat)}).json()
    found = {line["label"]: line["confidence"] for line in answer["predictions"]}
    assert found == pytest.approx(expected["answer"], abs=TOLERANCE)
