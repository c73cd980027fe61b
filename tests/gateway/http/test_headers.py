"""The header fields that every answer has."""

from pathlib import Path

import httpx
import pytest

from gateway.errors import MalformedRequestError
from gateway.http.problems import refusal
from tests.fakes import FakeReplica
from tests.gateway.conftest import Start
from tests.gateway.http.bench import GET, Bench, turns
from tests.gateway.test_auth import KEY, digest

PAGES = ("/", "/docs", "/problems/not-found")
DATA = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/labels",
    "/v1/models",
    "/v1/models/my_model",
    "/nothing",
    "/v1/models/other",
)
FILES = ("/openapi.json", "/static/page.js", "/docs/assets/swagger-ui.css")
OF_ALL = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
async def test_every_answer_has_them_once(client: httpx.AsyncClient, method: str) -> None:
    for path in (*PAGES, *DATA, *FILES):
        check(path, await client.request(method, path))


def check(path: str, answer: httpx.Response) -> None:
    for name, value in OF_ALL.items():
        assert answer.headers.get_list(name) == [value]
    (policy,) = answer.headers.get_list("Content-Security-Policy")
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy or path in PAGES
    assert len(answer.headers.get_list("Cache-Control")) == 1


async def test_no_page_may_run_a_script_of_its_own_text_or_of_another_origin(client: httpx.AsyncClient) -> None:
    for path in PAGES:
        answer = await client.get(path)
        policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy.get("script-src", policy["default-src"]) == "'self'"
        assert policy["base-uri"] == "'none'"
        assert "<script>" not in answer.text


async def test_no_cache_keeps_what_depends_on_a_key(start: Start, replica: FakeReplica, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"shop:{digest(KEY)}\n")
    client = await start(replica, api_keys_file=keys, cors_origins="https://www.example.org")
    origin = {"Origin": "https://www.example.org"}
    for path in ("/v1/labels", "/v1/models", "/metrics", "/v1/models/my_model", "/v1/classify"):
        for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": KEY}):
            answer = await client.get(path, headers=headers | origin)
            assert answer.headers["Cache-Control"] == "no-store"
            assert {"Authorization", "X-API-Key", "Accept-Language", "Origin"} <= set(
                answer.headers["Vary"].split(", ")
            )


async def test_a_picture_and_a_defect_are_answered_with_them(
    client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes
) -> None:
    replica.faults.append(ZeroDivisionError())
    for status in (500, 200):
        answer = await client.post("/v1/classify", content=jpeg, headers={"Content-Type": "image/jpeg"})
        assert (answer.status_code, answer.headers["X-Content-Type-Options"]) == (status, "nosniff")


def test_a_refusal_on_the_connection_has_them() -> None:
    head = refusal(MalformedRequestError("no")).partition(b"\r\n\r\n")[0].decode().lower().split("\r\n")
    assert {f"{name.lower()}: {value.lower()}" for name, value in OF_ALL.items()} <= set(head)
    assert "content-security-policy: default-src 'none'; frame-ancestors 'none'" in head


async def test_an_application_that_gives_no_answer_is_answered_for_with_them() -> None:
    async def silent(*_: object) -> None:
        return None

    connection, transport = Bench().connect()
    connection.app = silent
    connection.data_received(GET)
    await turns()
    assert transport.statuses == [500]
    assert b"x-content-type-options: nosniff" in transport.written
    assert b"/problems/internal-error" in transport.written
