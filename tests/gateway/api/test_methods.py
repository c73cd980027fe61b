"""Methods beside the one that a route is made for: HEAD is answered as GET, and an upload by PUT as one by POST."""

import hashlib
from pathlib import Path

import httpx

from tests.fakes import FakeReplica
from tests.gateway.conftest import Start
from tests.gateway.http.bench import Bench, turns
from tests.gateway.http.test_headers import DATA, FILES, PAGES

MODEL = ("/v1/models/my_model/versions/1", "/v1/models/my_model/metadata", "/v1/models/my_model/labels/stable")
OF_THE_MOMENT = {"x-request-id", "content-length"}
"""Fields that differ from answer to answer; /metrics and /v1/models count what has happened."""


async def test_head_is_answered_as_get_without_the_body(client: httpx.AsyncClient) -> None:
    for path in (*PAGES, *DATA, *FILES, *MODEL, "/v1/classify"):
        got, asked = await client.get(path), await client.head(path)
        assert (path, asked.status_code, asked.content) == (path, got.status_code, b"")
        assert fields(asked) == fields(got), path
        assert int(asked.headers["Content-Length"]) > 0


def fields(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OF_THE_MOMENT}


async def test_an_answer_to_head_has_no_body_on_the_wire(client: httpx.AsyncClient) -> None:
    for path in (b"/", b"/healthz", b"/metrics", b"/v1/labels", b"/nothing"):
        connection, transport = Bench(client._transport.app).connect()  # type: ignore[attr-defined]
        connection.data_received(b"HEAD %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
        await turns()
        head, _, body = transport.written.partition(b"\r\n\r\n")
        assert b"content-length: " in head
        assert (path, body) == (path, b"")


async def test_head_needs_the_key_that_get_needs(start: Start, replica: FakeReplica, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"shop:{hashlib.sha256(b'key').hexdigest()}\n")
    client = await start(replica, api_keys_file=keys)
    assert [(await client.head(path)).status_code for path in ("/healthz", "/v1/labels", "/metrics")] == [200, 401, 401]


async def test_a_refused_method_is_answered_with_the_methods_that_are_taken(client: httpx.AsyncClient) -> None:
    for path, taken in (
        ("/v1/labels", {"GET", "HEAD"}),
        ("/v1/models/my_model:predict", {"POST"}),
        ("/v1/classify", {"POST", "PUT"}),
    ):
        answer = await client.delete(path)
        assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (405, taken)


async def test_the_openapi_document_lists_put_as_it_lists_post_and_no_head(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert [path for path, operations in paths.items() if "put" in operations] == ["/v1/classify"]
    assert not [path for path, operations in paths.items() if "head" in operations]
    post, put = (paths["/v1/classify"][method] for method in ("post", "put"))
    assert {name for name in post if post[name] != put[name]} == {"summary", "operationId"}
