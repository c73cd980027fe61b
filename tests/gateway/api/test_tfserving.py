"""TensorFlow Serving's own paths: its clients change only the host."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from tests.fakes import FITTING, FakeModel, FakeReplica, answer
from tests.gateway.conftest import Start

IMAGE = (np.arange(224 * 224 * 3).reshape(1, 224, 224, 3) % 256 / 255).tolist()


async def test_a_plain_client_of_tensorflow_serving_works_unchanged(
    client: httpx.AsyncClient, replica: FakeReplica
) -> None:
    body = json.dumps({"signature_name": "serving_default", "instances": IMAGE})
    response = await client.post(
        "/v1/models/my_model:predict", content=body, headers={"content-type": "application/json"}
    )
    assert np.argmax(response.json()["predictions"][0]) == 2
    assert replica.seen[0].content.decode() == body


@pytest.mark.parametrize("path", ["", "/versions/1", "/versions/001", "/labels/stable", "/labels/st%61ble"])
@pytest.mark.parametrize("verb", ["predict", "classify", "regress"])
async def test_every_form_of_the_address_goes_to_a_replica_by_the_number_of_the_version(
    client: httpx.AsyncClient, replica: FakeReplica, path: str, verb: str
) -> None:
    body = FITTING if verb == "predict" else {"signature_name": "examples", "examples": [{"x": 1.0}]}
    response = await client.post(f"/v1/models/my_model{path}:{verb}", json=body)
    assert response.status_code == 200
    assert replica.seen[0].url.raw_path.decode() == f"/v1/models/my_model/versions/1:{verb}"


async def test_status_and_metadata_are_the_replicas_own(client: httpx.AsyncClient) -> None:
    status = await client.get("/v1/models/my_model")
    assert status.json()["model_version_status"][0]["state"] == "AVAILABLE"
    metadata = await client.get("/v1/models/my_model/versions/1/metadata")
    assert "serving_bytes" in metadata.json()["metadata"]["signature_def"]["signature_def"]


async def test_the_replicas_own_error_comes_back_as_it_was(client: httpx.AsyncClient, replica: FakeReplica) -> None:
    error = {"error": "Missing 'inputs' or 'instances' key"}
    replica.faults.append(answer(400, error))
    response = await client.post("/v1/models/my_model:predict", json=FITTING)
    assert (response.status_code, response.json()) == (400, error)


async def test_a_version_that_one_replica_lacks_is_found_on_another(start: Start) -> None:
    a = FakeReplica("a:1", versions={1: FakeModel()})
    b = FakeReplica("b:1", versions={1: FakeModel(), 2: FakeModel()})
    client = await start(a, b)
    for _ in range(3):
        assert (await client.post("/v1/models/my_model/versions/2:predict", json=FITTING)).status_code == 200


async def test_a_version_that_no_replica_has_is_the_real_servers_404(start: Start) -> None:
    client = await start(FakeReplica("a:1"), FakeReplica("b:1"))
    for _ in range(6):  # a request for a missing version is no failure of a replica: none is ejected for it
        response = await client.post("/v1/models/my_model/versions/9:predict", json=FITTING)
        assert response.status_code == 404
        assert response.json() == {"error": "Servable not found for request: Specific(my_model, 9)"}
    assert [r["state"] for r in (await client.get("/v1/models")).json()["replicas"]] == ["available"] * 2


@pytest.mark.parametrize(
    ("method", "target", "error"),
    [
        ("POST", "/v1/models/other:predict", "Servable not found for request: Latest(other)"),
        ("GET", "/v1/models/other", "Could not find any versions of model other"),
        ("GET", "/v1/models/other/metadata", "Servable not found for request: Latest(other)"),
    ],
)
async def test_another_model_is_refused_without_asking_a_replica(
    client: httpx.AsyncClient, replica: FakeReplica, method: str, target: str, error: str
) -> None:
    response = await client.request(method, target, json=FITTING)
    assert (response.status_code, response.json()) == (404, {"error": error})
    assert replica.seen == []


async def test_our_own_errors_take_tensorflow_servings_form_here(start: Start) -> None:
    client = await start(FakeReplica("a:1", reachable=False), max_predict_bytes=1024)
    gone = await client.post("/v1/models/my_model:predict", json=FITTING)
    assert (gone.status_code, list(gone.json()), gone.headers["Retry-After"]) == (503, ["error"], "1")
    large = await client.post("/v1/models/my_model:predict", content=b"x" * 2000)
    assert large.status_code == 413
    assert large.json() == {"error": "The body may have at most 1,024 bytes; send fewer instances."}


@pytest.mark.parametrize("digits", ["9223372036854775808", "1" * 5000])
@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("GET", "/metadata"), ("POST", ":predict")])
async def test_a_version_beyond_int64_is_refused_in_the_real_servers_words(
    client: httpx.AsyncClient, replica: FakeReplica, digits: str, method: str, suffix: str
) -> None:
    response = await client.request(
        method, f"/v1/models/my_model/versions/{digits}{suffix}", content=b'{"instances": [1]}'
    )
    assert (response.status_code, response.json()) == (
        400,
        {"error": f"Failed to convert version: {digits} to numeric."},
    )
    assert replica.seen == []


@pytest.mark.parametrize("value", [b"application/json; x=\xe9", b"\xff", b"a\tb", "\u00e9".encode()])
async def test_a_content_type_that_is_not_plain_ascii_is_not_passed_on_and_the_call_is_answered(
    client: httpx.AsyncClient, replica: FakeReplica, value: bytes
) -> None:
    content, headers = json.dumps(FITTING).encode(), [(b"content-type", value)]
    response = await client.post("/v1/models/my_model:predict", content=content, headers=headers)
    assert response.status_code == 200
    assert "content-type" not in replica.seen[0].headers


NOT_JSON = [
    "text/html",
    "text/html; charset=utf-8",
    "image/svg+xml",
    "application/jsonp",
    "text/\u00e9",
    "text/\x7f",
    "",
]


@pytest.mark.parametrize("value", NOT_JSON)
async def test_an_answer_that_is_not_json_is_a_bad_answer(
    client: httpx.AsyncClient, replica: FakeReplica, value: str
) -> None:
    page = httpx.Response(200, content=b"<script>", headers=[(b"content-type", value.encode())])
    replica.faults.append(page)
    response = await client.post("/v1/models/my_model:predict", json=FITTING)
    assert (response.status_code, list(response.json())) == (502, ["error"])
    assert b"script" not in response.content


async def test_a_page_of_a_proxy_that_is_full_means_what_its_status_means(start: Start) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    client = await start(a, b)
    for replica in (a, b):
        replica.sick = httpx.Response(503, html="<p>full</p>")
    response = await client.post("/v1/models/my_model:predict", json=FITTING)
    assert (response.status_code, list(response.json())) == (503, ["error"])
    assert [replica["state"] for replica in await shown(client)] == ["available"] * 2


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_browser_takes_an_answer_for_nothing_but_json(client: httpx.AsyncClient, method: str) -> None:
    path = {"GET": "/v1/models/my_model/metadata", "POST": "/v1/models/my_model:predict"}[method]
    response = await client.request(method, path, json=FITTING)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("label", ["%2e%2e", "%2E", ".%2e"])
@pytest.mark.parametrize("suffix", ["", "/metadata", ":predict"])
async def test_a_step_in_a_path_is_no_label(
    client: httpx.AsyncClient, replica: FakeReplica, label: str, suffix: str
) -> None:
    target = f"/v1/models/my_model/labels/{label}{suffix}".encode()
    url = httpx.URL("http://gateway").copy_with(raw_path=target)
    response = await client.request("POST" if suffix == ":predict" else "GET", url, json=FITTING)
    assert (response.status_code, response.json()) == (400, {"error": "A version label cannot be . or .."})
    assert replica.seen == []


@pytest.mark.parametrize("label", ["half%ZZ", "a%2Fb", "a%3Fb", "%00", "\u00e9"])
async def test_a_label_reaches_a_replica_as_the_gateway_has_read_it(
    client: httpx.AsyncClient, replica: FakeReplica, label: str
) -> None:
    response = await client.post(f"/v1/models/my_model/labels/{label}:predict", json=FITTING)
    assert response.status_code in (400, 404)
    assert (await client.get(f"/v1/models/my_model/labels/{label}/metadata")).status_code in (400, 404)
    assert (await shown(client))[0]["state"] == "available"


async def test_only_the_bodys_own_headers_are_passed_on(client: httpx.AsyncClient, replica: FakeReplica) -> None:
    headers = {"Authorization": "Bearer secret", "Cookie": "a=b", "Content-Type": "application/json"}
    await client.post("/v1/models/my_model:predict", json=FITTING, headers=headers)
    sent = replica.seen[0].headers
    assert sent["content-type"] == "application/json"
    assert "authorization" not in sent
    assert "cookie" not in sent


async def test_a_call_for_a_version_goes_to_a_replica_that_has_it(start: Start) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1", versions={1: FakeModel(), 2: FakeModel()})
    client = await start(a, b)
    for _ in range(4):
        answered = await client.post("/v1/models/my_model/versions/2:predict", json=FITTING)
        assert answered.status_code == 200
    assert (len(a.seen), len(b.seen)) == (0, 4)


async def test_a_call_for_a_version_that_no_replica_has_gets_the_real_servers_words(start: Start) -> None:
    client = await start(FakeReplica("a:1"), FakeReplica("b:1"))
    refused = await client.post("/v1/models/my_model/versions/9:predict", json=FITTING)
    assert (refused.status_code, refused.json()["error"][:30]) == (404, "Servable not found for request")


async def test_versions_that_no_replica_has_cost_no_retries(start: Start) -> None:
    client = await start(FakeReplica("a:1"), FakeReplica("b:1"))
    for version in range(100, 160):
        await client.post(f"/v1/models/my_model/versions/{version}:predict", json=FITTING)
    shown = (await client.get("/v1/models")).json()["replicas"]
    assert sum(replica["attempts"] for replica in shown) == 0


async def shown(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """The replicas in /v1/models."""
    replicas: list[dict[str, Any]] = (await client.get("/v1/models")).json()["replicas"]
    return replicas


async def test_types_without_a_json_form_are_the_models_business_and_cost_no_retry(start: Start) -> None:
    error = answer(501, {"error": "Conversion of JSON Value: 1 to type: half"})
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    client = await start(a, b)
    a.sick = b.sick = error
    for _ in range(6):
        assert (await client.post("/v1/models/my_model:predict", json=FITTING)).status_code == 501
    replicas = await shown(client)
    assert [replica["state"] for replica in replicas] == ["available"] * 2
    assert sum(replica["attempts"] for replica in replicas) == 6


async def test_a_query_string_that_the_server_does_not_know_costs_no_retry(start: Start) -> None:
    client = await start(FakeReplica("a:1"), FakeReplica("b:1"))
    for _ in range(6):
        assert (await client.get("/v1/models/my_model/metadata?x=1")).status_code == 404
    assert sum(replica["attempts"] for replica in await shown(client)) == 6


async def test_only_predictions_are_measured(start: Start) -> None:
    client = await start(FakeReplica("a:1"))
    for suffix in ("", "/metadata"):
        await client.get(f"/v1/models/my_model{suffix}")
    assert (await shown(client))[0]["usual_ms"] is None
    await client.post("/v1/models/my_model:predict", json=FITTING)
    assert (await shown(client))[0]["usual_ms"] is not None
