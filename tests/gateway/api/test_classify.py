"""The upload, as a client sees it."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from gateway.imaging import preprocess
from gateway.observe import logs
from tests.fakes import FakeModel, FakeReplica, answer, pixels_sent
from tests.gateway.conftest import Start

ANSWER = [("crab", 0.6), ("brittle_star", 0.2), ("anemone", 0.1), ("sea_urchin", 0.1)]


def form(*pictures: bytes, field: str = "image") -> list[tuple[str, tuple[str, bytes, str]]]:
    return [(field, ("photo.jpg", picture, "image/jpeg")) for picture in pictures]


def ranked(predictions: list[dict[str, Any]]) -> list[tuple[str, float]]:
    return [(line["label"], line["confidence"]) for line in predictions]


async def test_a_photo_becomes_class_names(client: httpx.AsyncClient, jpeg: bytes) -> None:
    response = await client.post("/v1/classify", files=form(jpeg))
    assert response.status_code == 200
    assert response.json() == {
        "answer": None,
        "predictions": [
            {"label": "crab", "display_name": "crab", "confidence": 0.6, "index": 2},
            {"label": "brittle_star", "display_name": "brittle star", "confidence": 0.2, "index": 1},
            {"label": "anemone", "display_name": "anemone", "confidence": 0.1, "index": 0},
            {"label": "sea_urchin", "display_name": "sea urchin", "confidence": 0.1, "index": 3},
        ],
        "model": {"name": "my_model", "version": "1"},
        "image": {"format": "JPEG", "width": 320, "height": 240},
        "request_id": response.headers["X-Request-ID"],
    }


async def test_the_raw_body_gives_the_same_as_the_form(
    client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes
) -> None:
    await client.post("/v1/classify", files=form(jpeg))
    raw = await client.post("/v1/classify", content=jpeg, headers={"Content-Type": "image/jpeg"})
    assert raw.status_code == 200
    assert replica.seen[0].content == replica.seen[1].content


@pytest.mark.parametrize("signature", ["serving_bytes", "serving_default"])
async def test_the_replica_gets_exactly_the_pixels_of_preprocess(
    start: Start, replica: FakeReplica, jpeg: bytes, signature: str
) -> None:
    client = await start(replica, signature=signature)
    await client.post("/v1/classify", files=form(jpeg))
    sent = pixels_sent(replica.seen[0])
    wanted = preprocess(jpeg) if signature == "serving_bytes" else (preprocess(jpeg) / 255).astype("float32")
    assert (sent == wanted).all()


async def test_top_k_and_min_confidence_shorten_the_answer(client: httpx.AsyncClient, jpeg: bytes) -> None:
    two = await client.post("/v1/classify?top_k=2", files=form(jpeg))
    assert ranked(two.json()["predictions"]) == ANSWER[:2]
    sure = await client.post("/v1/classify?min_confidence=0.15", files=form(jpeg))
    assert ranked(sure.json()["predictions"]) == ANSWER[:2]
    every = await client.post("/v1/classify?top_k=1000", files=form(jpeg))
    assert ranked(every.json()["predictions"]) == ANSWER


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("top_k=0", "top_k: "),
        ("top_k=many", "top_k: "),
        ("min_confidence=1.5", "min_confidence: "),
        ("topk=3", "There is no query parameter 'topk'; /docs lists every parameter."),
    ],
)
async def test_a_wrong_parameter_is_named(client: httpx.AsyncClient, jpeg: bytes, query: str, complaint: str) -> None:
    problem = (await client.post(f"/v1/classify?{query}", files=form(jpeg))).json()
    assert problem["type"] == "/problems/invalid-parameter"
    assert problem["detail"].startswith(complaint)


async def test_a_file_that_is_no_picture_is_refused_with_what_to_send(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/classify", files=form(b"%PDF-1.7 something else"))
    assert response.status_code == 415
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["type"] == "/problems/unsupported-image-type"
    assert "JPEG" in response.json()["detail"]


async def test_a_failing_replica_is_a_502_without_its_words(
    client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes
) -> None:
    replica.faults.append(answer(400, {"error": "/secret/path in {{node x}}"}))
    response = await client.post("/v1/classify", files=form(jpeg))
    assert response.status_code == 502
    assert "secret" not in response.text
    assert response.json()["type"] == "/problems/upstream-failed"


async def test_without_a_replica_the_answer_has_retry_after(start: Start, jpeg: bytes) -> None:
    client = await start(FakeReplica("a:1", reachable=False))
    response = await client.post("/v1/classify", files=form(jpeg))
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert response.json()["type"] == "/problems/no-replica-available"


async def test_a_defect_of_ours_says_no_more_than_that_it_is_logged(
    client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes
) -> None:
    replica.faults.append(ZeroDivisionError("our own secret"))
    response = await client.post("/v1/classify", files=form(jpeg))
    assert response.status_code == 500
    assert response.json() == {
        "type": "/problems/internal-error",
        "title": "The gateway failed",
        "status": 500,
        "detail": "The failure has been logged under this request id.",
        "request_id": response.headers["X-Request-ID"],
    }


async def test_an_upload_that_is_still_arriving_does_not_block_others(
    start: Start, replica: FakeReplica, jpeg: bytes
) -> None:
    client = await start(replica, max_in_flight=1)
    reading, finish = asyncio.Event(), asyncio.Event()

    async def slow_body() -> Any:
        reading.set()
        await finish.wait()
        yield jpeg

    headers = {"Content-Type": "image/jpeg"}
    first = asyncio.create_task(client.post("/v1/classify", content=slow_body(), headers=headers))
    await reading.wait()
    assert (await client.post("/v1/classify", content=jpeg, headers=headers)).status_code == 200
    finish.set()
    assert (await first).status_code == 200


async def test_a_batch_answers_each_picture_in_order_and_a_bad_one_fails_alone(
    client: httpx.AsyncClient, jpeg: bytes
) -> None:
    response = await client.post("/v1/classify/batch?top_k=1", files=form(jpeg, b"", jpeg, b"GIF89a"))
    assert response.status_code == 200
    first, empty, third, cut = response.json()["results"]
    assert first == third
    assert first["predictions"] == [{"label": "crab", "display_name": "crab", "confidence": 0.6, "index": 2}]
    assert empty["problem"]["type"] == "/problems/image-empty"
    assert cut["problem"]["status"] == 422
    assert "predictions" not in empty


async def test_a_defect_in_one_picture_of_a_batch_is_logged_counted_and_spares_the_others(
    client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    before = await problems_counted(client, "internal-error")
    capsys.readouterr()
    logs.configure("json", "info")
    replica.faults.append(ZeroDivisionError("our own secret"))
    response = await client.post("/v1/classify/batch", files=form(jpeg, jpeg))
    assert response.status_code == 200
    (failed,) = [item["problem"] for item in response.json()["results"] if "problem" in item]
    assert failed["type"] == "/problems/internal-error"
    assert "secret" not in response.text
    assert await problems_counted(client, "internal-error") == before + 1
    (logged,) = [line for line in map(json.loads, capsys.readouterr().err.splitlines()) if line["event"] == "defect"]
    assert logged["request_id"] == failed["request_id"]
    assert "\nZeroDivisionError: " in logged["exception"]


async def test_a_batch_of_defects_is_one_problem(client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes) -> None:
    before = await problems_counted(client, "internal-error")
    replica.faults.extend([ZeroDivisionError("one"), ZeroDivisionError("two")])
    response = await client.post("/v1/classify/batch", files=form(jpeg, jpeg))
    assert response.status_code == 500
    assert await problems_counted(client, "internal-error") == before + 1


async def test_the_problems_of_single_pictures_in_a_batch_are_counted(client: httpx.AsyncClient, jpeg: bytes) -> None:
    before = await problems_counted(client, "image-empty")
    await client.post("/v1/classify/batch", files=form(jpeg, b"", b""))
    assert await problems_counted(client, "image-empty") == before + 2


async def problems_counted(client: httpx.AsyncClient, slug: str) -> float:
    text = (await client.get("/metrics")).text
    found = re.search(rf'^gateway_problems_total{{type="{slug}"}} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def test_a_batch_that_no_replica_can_answer_fails_as_a_whole(start: Start, jpeg: bytes) -> None:
    client = await start(FakeReplica("a:1", reachable=False))
    response = await client.post("/v1/classify/batch", files=form(jpeg, jpeg))
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")


async def test_a_picture_of_a_batch_may_be_no_larger_than_one_alone(start: Start, replica: FakeReplica) -> None:
    client = await start(replica, max_upload_bytes=2048)
    response = await client.post("/v1/classify/batch", files=form(b"x" * 2049, b"x"))
    too_large, unknown = response.json()["results"]
    assert too_large["problem"]["type"] == "/problems/body-too-large"
    assert unknown["problem"]["type"] == "/problems/unsupported-image-type"


async def test_one_batch_does_not_take_every_place_of_a_replica(
    start: Start, replica: FakeReplica, jpeg: bytes
) -> None:
    client = await start(replica, replica_max_in_flight=8)
    response = await client.post("/v1/classify/batch", files=form(*[jpeg] * 16))
    assert [list(item) for item in response.json()["results"]] == [["answer", "predictions", "model", "image"]] * 16


async def test_a_batch_has_a_limit_of_pictures(start: Start, replica: FakeReplica, jpeg: bytes) -> None:
    client = await start(replica, max_batch_images=2)
    assert (await client.post("/v1/classify/batch", files=form(jpeg, jpeg))).status_code == 200
    response = await client.post("/v1/classify/batch", files=form(jpeg, jpeg, jpeg))
    assert response.status_code == 400
    assert response.json()["detail"] == "A batch may have at most 2 pictures; split it."


async def test_a_caller_may_ask_for_a_version(start: Start, jpeg: bytes) -> None:
    client = await start(FakeReplica("a:1", versions={1: FakeModel(), 2: FakeModel()}))
    form = {"image": ("a.jpg", jpeg)}
    for version in ("1", "2"):
        answered = await client.post("/v1/classify", files=form, params={"version": version})
        assert answered.json()["model"]["version"] == version
    for path in ("/v1/classify", "/v1/classify/batch"):
        refused = await client.post(path, files=form, params={"version": "3"})
        assert (refused.status_code, refused.json()["type"]) == (404, "/problems/version-not-served")
    assert refused.json()["detail"] == "Version 3 is not served; served: 1, 2."


@pytest.mark.parametrize(("share", "version"), [("100%", "2"), ("0%", "1")])
async def test_a_share_of_the_callers_gets_the_canary(start: Start, jpeg: bytes, share: str, version: str) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1", versions={2: FakeModel()})
    client = await start(a, b, canary=f"2:{share}")
    for _ in range(4):
        answered = await client.post("/v1/classify", files={"image": ("a.jpg", jpeg)})
        assert answered.json()["model"]["version"] == version


async def test_a_batch_is_of_one_version_even_where_replicas_hold_different_ones(start: Start, jpeg: bytes) -> None:
    new = {2: FakeModel(labels=("w", "x", "y", "z"))}
    client = await start(FakeReplica("a:1"), FakeReplica("b:1", versions=new), FakeReplica("c:1"))
    for _ in range(6):
        batch = await client.post("/v1/classify/batch", files=[("image", ("a.jpg", jpeg))] * 8)
        versions = {item["model"]["version"] for item in batch.json()["results"]}
        assert len(versions) == 1


async def test_a_batch_whose_version_disappears_in_the_middle_is_answered_by_the_next_one(
    start: Start, jpeg: bytes
) -> None:
    a = FakeReplica("a:1")
    new = {2: FakeModel(labels=("w", "x", "y", "z"))}

    def swapped(request: httpx.Request) -> httpx.Response:
        a.versions = new
        return answer(404, {"error": "Servable not found for request: Specific(my_model, 1)"})

    client = await start(a, probe_interval_s=300)
    a.faults.extend([lambda _: answer(200, {"predictions": [[0.1, 0.2, 0.6, 0.1]]})] * 3 + [swapped])
    batch = await client.post("/v1/classify/batch", files=[("image", ("a.jpg", jpeg))] * 8)
    results = batch.json()["results"]
    assert {item["model"]["version"] for item in results} == {"2"}
    assert {item["predictions"][0]["label"] for item in results} == {"y"}


async def test_a_caller_may_ask_for_a_version_by_its_label(start: Start, jpeg: bytes) -> None:
    a = FakeReplica("a:1", versions={1: FakeModel(), 2: FakeModel()}, labels={"stable": 1})
    client = await start(a)
    form = {"image": ("a.jpg", jpeg)}
    answered = await client.post("/v1/classify", files=form, params={"version": "stable"})
    assert answered.json()["model"]["version"] == "1"
    refused = await client.post("/v1/classify", files=form, params={"version": "unstable"})
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/version-not-served")
    assert refused.json()["detail"] == "No replica has a version labelled unstable."


@pytest.mark.parametrize(
    ("sick", "status", "problem"),
    [
        (answer(500, {"error": "boom"}), 502, "upstream-failed"),
        (answer(200, ["no metadata"]), 502, "upstream-failed"),
        (answer(429, {"error": "busy"}), 503, "overloaded"),
        (answer(503, {"error": "busy"}), 503, "overloaded"),
        (answer(504, {"error": "late"}), 504, "deadline-exceeded"),
    ],
)
async def test_a_label_that_no_replica_can_look_up_is_the_upstreams_failure(
    start: Start, jpeg: bytes, sick: httpx.Response, status: int, problem: str
) -> None:
    client = await start(FakeReplica("a:1", label_fault=sick), FakeReplica("b:1", label_fault=sick))
    refused = await client.post("/v1/classify", files={"image": ("a.jpg", jpeg)}, params={"version": "stable"})
    assert (refused.status_code, refused.json()["type"]) == (status, f"/problems/{problem}")


async def test_callers_behind_a_proxy_are_told_apart_and_each_stays_on_its_side(start: Start, jpeg: bytes) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1", versions={2: FakeModel()})
    client = await start(a, b, canary="2:50%", trusted_proxies="127.0.0.1")
    sides = []
    for caller in range(12):
        headers = {"X-Forwarded-For": f"203.0.113.{caller}"}
        answers = [
            await client.post("/v1/classify", files={"image": ("a.jpg", jpeg)}, headers=headers) for _ in range(3)
        ]
        (side,) = {answered.json()["model"]["version"] for answered in answers}
        sides.append(side)
    assert set(sides) == {"1", "2"}
