"""Bodies of TensorFlow Serving's paths: what does not fit the signature reaches no replica."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.services import INSPECTED_AT_ONCE_BYTES
from tests.fakes import FITTING, FakeModel, FakeReplica, answer, tensor
from tests.gateway.conftest import Start
from tests.poison import POISON

FLOATS = {"signature_name": "serving_default", "instances": np.zeros((1, 224, 224, 3)).tolist()}


@dataclass
class OtherModel(FakeModel):
    """A version with one more signature, and floats of another size."""

    def signatures(self) -> dict[str, Any]:
        listed = super().signatures()
        listed["embed"] = {"inputs": {"x": tensor("DT_FLOAT", -1, 2)}, "outputs": listed["serving_bytes"]["outputs"]}
        return listed


async def attempts(client: httpx.AsyncClient) -> int:
    """At all replicas, for whatever request."""
    return sum(replica["attempts"] for replica in (await client.get("/v1/models")).json()["replicas"])


@pytest.mark.parametrize("path", ["", "/versions/1", "/labels/stable"])
async def test_no_poison_reaches_a_replica(start: Start, path: str) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    client = await start(a, b)
    await client.get("/v1/models/my_model/labels/stable/metadata")  # a label costs one look-up a second, of its own
    passed = {}
    for name, poison in POISON.items():
        target = f"/v1/models/my_model{path}:{poison.verb}"
        response = await client.post(target, content=poison.body, headers=poison.headers)
        if not 400 <= response.status_code < 500 or list(response.json()) != ["error"]:
            passed[name] = response.status_code
    assert passed == {}
    assert (a.seen, b.seen) == ([], [])
    if not path.startswith("/labels"):
        assert await attempts(client) == 1
    assert (await client.post(f"/v1/models/my_model{path}:predict", json=FITTING)).status_code == 200


async def test_a_plain_export_gets_no_floats_of_another_shape(start: Start, tmp_path: Path) -> None:
    """It has neither `serving_bytes` nor guards in its graph."""
    replica = FakeReplica("a:1", versions={1: FakeModel(describes=False)})
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    client = await start(replica, labels_file=tmp_path / "labels.txt")
    for instances in ([1.0, 2.0], [[1, 1, 1]], [[[1.0]]], [[[[1.0]]]], [[[[[1.0]]]]]):
        refused = await client.post("/v1/models/my_model:predict", json={"instances": instances})
        assert refused.status_code == 400
        assert refused.json()["error"].startswith('input "image": expected shape [n, 224, 224, 3], got [')
    assert replica.seen == []


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "deflate", "br", "identity, gzip", "", "\u00e9"])
async def test_a_packed_body_is_refused_unread(client: httpx.AsyncClient, replica: FakeReplica, encoding: str) -> None:
    headers = [(b"content-encoding", encoding.encode())]
    refused = await client.post("/v1/models/my_model:predict", json=FITTING, headers=headers)
    assert (refused.status_code, list(refused.json())) == (415, ["error"])
    assert replica.seen == []


async def test_a_body_that_is_said_to_be_as_it_is_passes(client: httpx.AsyncClient, replica: FakeReplica) -> None:
    headers = {"Content-Encoding": "Identity"}
    assert (await client.post("/v1/models/my_model:predict", json=FITTING, headers=headers)).status_code == 200
    assert "content-encoding" not in replica.seen[0].headers


async def test_a_large_body_is_read_off_the_event_loop_and_passes_unchanged(
    client: httpx.AsyncClient, replica: FakeReplica
) -> None:
    body = json.dumps(FLOATS, indent=1).encode()
    assert len(body) > INSPECTED_AT_ONCE_BYTES
    assert (await client.post("/v1/models/my_model:predict", content=body)).status_code == 200
    assert replica.seen[0].content == body


async def test_a_query_string_is_refused_as_by_the_real_server(client: httpx.AsyncClient, replica: FakeReplica) -> None:
    refused = await client.post("/v1/models/my_model:predict?x=1", json=FITTING)
    assert (refused.status_code, refused.json()) == (
        400,
        {"error": "Malformed request: POST /v1/models/my_model:predict"},
    )
    assert replica.seen == []


# --- which version ---------------------------------------------------------------------------------------------------


async def test_a_call_for_no_version_goes_to_one_that_it_fits(start: Start) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1", versions={2: OtherModel()})
    client = await start(a, b)
    for _ in range(4):
        call = {"signature_name": "embed", "instances": [[1, 2]]}
        assert (await client.post("/v1/models/my_model:predict", json=call)).status_code == 200
    assert [request.url.path for request in b.seen] == ["/v1/models/my_model/versions/2:predict"] * 4
    assert a.seen == []


async def test_a_call_that_fits_every_version_is_spread_over_all_replicas(start: Start) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1", versions={2: OtherModel()})
    client = await start(a, b)
    for _ in range(4):
        assert (await client.post("/v1/models/my_model:predict", json=FITTING)).status_code == 200
    assert (len(a.seen), len(b.seen)) == (2, 2)


async def test_a_version_that_the_gateway_refuses_gets_no_predict_call(start: Start) -> None:
    refused = OtherModel(fingerprint="of other code")
    replica = FakeReplica("a:1", versions={1: FakeModel(), 2: refused}, labels={"stable": 1, "newest": 2})
    client = await start(replica)
    assert (await client.post("/v1/models/my_model:predict", json=FITTING)).status_code == 200
    assert replica.seen[0].url.path == "/v1/models/my_model/versions/1:predict"
    by_number = await client.post("/v1/models/my_model/versions/2:predict", json=FITTING)
    assert by_number.json() == {"error": "Servable not found for request: Specific(my_model, 2)"}
    by_label = await client.post("/v1/models/my_model/labels/newest:predict", json=FITTING)
    assert (by_number.status_code, by_label.status_code) == (404, 400)
    assert len(replica.seen) == 1


async def test_a_call_by_label_is_held_against_the_version_that_has_it(start: Start) -> None:
    versions: dict[int, FakeModel] = {1: FakeModel(), 2: OtherModel()}
    replica = FakeReplica("a:1", versions=versions, labels={"stable": 1, "canary": 2})
    client = await start(replica)
    call = {"signature_name": "embed", "instances": [[1, 2]]}
    assert (await client.post("/v1/models/my_model/labels/canary:predict", json=call)).status_code == 200
    assert (await client.post("/v1/models/my_model/labels/stable:predict", json=call)).status_code == 400
    assert [request.url.path for request in replica.seen] == ["/v1/models/my_model/versions/2:predict"]


async def test_an_unknown_label_is_refused_in_the_real_servers_words(client: httpx.AsyncClient) -> None:
    refused = await client.post("/v1/models/my_model/labels/other:predict", json=FITTING)
    assert (refused.status_code, refused.json()) == (400, {"error": "Unrecognized servable version label: other"})


async def test_a_version_that_replaces_another_gets_no_body_that_does_not_fit_it(start: Start) -> None:
    replica = FakeReplica("a:1", versions={1: OtherModel()})
    client = await start(replica)

    def replace(request: httpx.Request) -> httpx.Response:
        replica.versions = {2: FakeModel()}
        return answer(404, {"error": "Servable not found for request: Specific(my_model, 1)"})

    replica.faults.append(replace)
    call = {"signature_name": "embed", "instances": [[1, 2]]}
    refused = await client.post("/v1/models/my_model:predict", json=call)
    assert refused.status_code in (400, 404)
    assert [request.url.path for request in replica.seen] == ["/v1/models/my_model/versions/1:predict"]
    assert (await client.get("/v1/models")).json()["replicas"][0]["state"] == "available"


async def test_a_version_that_replaces_another_answers_what_fits_it(start: Start) -> None:
    replica = FakeReplica("a:1")
    client = await start(replica)

    def replace(request: httpx.Request) -> httpx.Response:
        replica.versions = {2: FakeModel()}
        return answer(404, {"error": "Servable not found for request: Specific(my_model, 1)"})

    replica.faults.append(replace)
    assert (await client.post("/v1/models/my_model:predict", json=FITTING)).status_code == 200
    assert replica.seen[-1].url.path == "/v1/models/my_model/versions/2:predict"
