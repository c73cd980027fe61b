"""Pages, scripts and the OpenAPI document, from memory."""

from pathlib import Path

import httpx

from gateway.api import pages
from tests.gateway.http.bench import Bench, turns

FILES = ("/static/page.js", "/static/page.css", "/static/docs.js", "/static/icon.svg")
SWAGGER_UI = ("/docs/assets/swagger-ui-bundle.js", "/docs/assets/swagger-ui.css")
PATHS = ("/", "/docs", "/openapi.json", "/problems/not-found", *FILES, *SWAGGER_UI)
TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}


async def test_head_is_answered_as_get_without_the_body(client: httpx.AsyncClient) -> None:
    for path in PATHS:
        whole, head = await client.get(path), await client.head(path)
        assert (whole.status_code, head.status_code, head.content) == (200, 200, b"")
        assert int(head.headers["Content-Length"]) == len(whole.content) > 100
        del whole.headers["X-Request-ID"], head.headers["X-Request-ID"]
        assert head.headers == whole.headers


async def test_a_file_is_what_lies_in_the_folder_and_of_its_type(client: httpx.AsyncClient) -> None:
    for path in (*FILES, *SWAGGER_UI):
        folder = pages.STATIC if path in FILES else pages.SWAGGER_UI
        answer = await client.get(path)
        assert answer.content == (folder / Path(path).name).read_bytes()
        assert answer.headers["Content-Type"] == TYPES[path.rpartition(".")[2]]


async def test_a_document_that_the_client_has_is_not_sent_again(client: httpx.AsyncClient) -> None:
    for path in PATHS:
        first = await client.get(path)
        assert first.headers["Cache-Control"] == "no-cache"
        for seen in ("{}", "W/{}", '"another", {}', "*"):
            again = await client.get(path, headers={"If-None-Match": seen.format(first.headers["ETag"])})
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])


async def test_another_version_is_sent(client: httpx.AsyncClient) -> None:
    assert (await client.get("/docs", headers={"If-None-Match": '"another"'})).status_code == 200


async def test_ranges_are_not_offered(client: httpx.AsyncClient) -> None:
    for asked in ("bytes=0-1", "bytes=9-1", "bytes=99999999-", "lines=1", ",,"):
        answer = await client.get("/static/page.css", headers={"Range": asked})
        assert (answer.status_code, len(answer.content)) == (200, (pages.STATIC / "page.css").stat().st_size)


async def test_nothing_else_is_served(client: httpx.AsyncClient) -> None:
    for path in ("/static/", "/static/index.html", "/static/..%2fapp.py", "/docs/assets/redoc", "/problems/x"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found"), path


async def test_another_method_is_answered_with_those_that_are_taken(client: httpx.AsyncClient) -> None:
    answer = await client.post("/static/page.js")
    assert (answer.status_code, answer.json()["type"]) == (405, "/problems/method-not-allowed")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}


async def test_all_answers_share_the_bytes_of_a_document(client: httpx.AsyncClient) -> None:
    """So a client that does not read its answer holds neither a copy nor a file."""
    bench = Bench(client._transport.app)  # type: ignore[attr-defined]
    bodies = []
    for _ in range(2):
        connection, transport = bench.connect()
        transport.kept = []
        connection.data_received(b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n")
        await turns()
        bodies.append(transport.kept[-1])
    assert len(bodies[0]) > 1_000_000
    assert bodies[0] is bodies[1]
