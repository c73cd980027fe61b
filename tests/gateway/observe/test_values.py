"""No value that a client chose reaches the log, wherever in a request it stands: each is a mark that is looked for.

The origin of a page does where it is refused, if it is one (`tests/gateway/http/test_cors.py`).
"""

import asyncio
import hashlib
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest

from gateway.observe import lines, logs
from tests.fakes import FakeReplica
from tests.gateway.conftest import Start
from tests.gateway.http.bench import Bench

Capture = pytest.CaptureFixture[str]
Style = Literal["json", "text"]

KEY = "Zk3yZk3yZk3yZk3yZk3yZk3yZk3yZk3yZk3yZk3yZk3"
MARK = re.compile(r"zq\d{5}")
PATHS = (
    "/",
    "/v1/classify",
    "/v1/classify/batch",
    "/v1/labels",
    "/v1/models",
    "/v1/models/my_model",
    "/healthz",
    "/v1/models/my_model:predict",
    "/v1/models/my_model/versions/1:predict",
    "/v1/models/my_model/labels/{}:classify",
    "/v1/models/{}:predict",
    "/v1/models/my_model/versions/{}/metadata",
    "/problems/{}",
    "/static/{}",
    "/{}/{}",
    "/{}%0a{}",
    "/docs/assets/{}",
    "/v1/models/my_model/labels/{}/metadata",
)
QUERIES = (
    "",
    "?{}={}",
    "?top_k={}",
    "?version={}",
    "?version={}&version={}",
    "?min_confidence={}",
    "?api_key={}",
    "?{}",
    "?top_k=9{}&{}=1",
    "?%00{}=%ff{}",
    "?version=stable&{}",
    "?" + "{}=1&" * 60,
)
TAKES_A_BODY = re.compile(r"classify|predict|batch")
METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "PROPFIND", "OPTIONS", "{}")
FIELDS = (
    "Authorization: Bearer {}",
    "Authorization: {}",
    "X-API-Key: {}",
    "Cookie: a={}",
    "User-Agent: {}",
    "Origin: https://www.example.org/{}",
    "Origin: {}",
    "Content-Encoding: {}",
    "X-Forwarded-For: {}",
    "Range: bytes={}",
    "If-None-Match: {}",
    "{}: {}",
    "traceparent: {}",
    "tracestate: {}",
    "X-Request-ID: {} {}",
    "Referer: {}",
    "Expect: {}",
    "Upgrade: {}",
    "Access-Control-Request-Method: {}",
    "Transfer-Encoding: {}",
    "Accept: {}",
    "X-{}: 1",
)
TYPES = (
    "image/jpeg",
    "image/{}",
    "{}/{}",
    "application/json",
    "application/json; {}={}",
    "multipart/form-data",
    "",
    "multipart/form-data; boundary=BB",
    "multipart/form-data; boundary=BB",
    "multipart/form-data; boundary={}",
)
PART = '--BB\r\nContent-Disposition: form-data; name="{}"; filename="{}"\r\n{}: {}\r\n\r\n{}\r\n--BB--\r\n'
BODIES = (
    "{}",
    '{{"instances": [{{"b64": "{}"}}]}}',
    '{{"instances": ["{}"]}}',
    '{{"{}": [1]}}',
    '{{"signature_name": "{}"}}',
    PART,
    PART.replace('name="{}"; filename', 'name="image"; filename'),
    PART.replace("form-data", "{}"),
    PART.replace("--BB--", "--{}"),
    "--BB\r\n{}\x00{}\r\n\r\n",
    "--BB{}\r\n",
    "\xff\xd8\xff{}",
    "GIF89a{}",
    "RIFF{}WEBP",
    "\x89PNG\r\n\x1a\n\x00\x00\x00\r{}",
    "BM{}",
    "",
)


def requests(seed: int, count: int) -> Iterator[bytes]:
    """Requests with marks in many places, the same ones for the same seed."""
    draw = random.Random(seed)
    number = 0

    def marked(template: str) -> str:
        nonlocal number
        marks = [f"zq{number + extra:05}" for extra in range(200)]
        number += len(marks)
        return template.format(*marks) if "{" in template else template

    for _ in range(count):
        body = marked(draw.choice(BODIES)).encode("latin-1")
        fields = [marked(field) for field in draw.sample(FIELDS, draw.randrange(4))]
        if kind := marked(draw.choice(TYPES)):
            fields.append(f"Content-Type: {kind}")
        path = draw.choice(PATHS)
        method = (
            ("POST" if TAKES_A_BODY.search(path) else "GET") if draw.random() < 0.8 else marked(draw.choice(METHODS))
        )
        target = marked(path) + (marked(draw.choice(QUERIES)) if draw.random() < 0.5 else "")
        head = [f"{method} {target} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *fields]
        yield "\r\n".join([*head, "", ""]).encode("latin-1") + body


async def answered(bench: Bench, request: bytes) -> None:
    connection, transport = bench.connect()
    connection.data_received(request)
    async with asyncio.timeout(10):
        while not transport.written:
            await asyncio.sleep(0)
    connection.connection_lost(None)


def echo(request: httpx.Request) -> httpx.Response:
    """A replica that fails and quotes what it was sent."""
    return httpx.Response(500, text=f"cannot read {request.content!r} at {request.url}")


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("seed", range(2))
async def test_no_value_of_a_request_is_logged(start: Start, style: Style, seed: int, capsys: Capture) -> None:
    replicas = FakeReplica("a:1"), FakeReplica("b:1")
    client = await start(*replicas, cors_origins="https://www.example.org")
    bench = Bench(client._transport.app)  # type: ignore[attr-defined]
    capsys.readouterr()
    logs.configure(style, "debug")
    for request in requests(seed, 300):
        for replica in replicas:
            replica.faults.append(echo)
        await answered(bench, request)
    logged = capsys.readouterr().err
    assert logged.count("\n") > 100
    assert sorted(set(MARK.findall(logged))) == []
    assert max(len(line.encode()) for line in logged.splitlines()) < lines.MAX_BYTES


PLACES = {
    "query value": b"POST /v1/classify?api_key=%b HTTP/1.1\r\nHost: a\r\nX-API-Key: %b\r\nContent-Length: 0\r\n\r\n",
    "query name": b"POST /v1/classify?%b=1 HTTP/1.1\r\nHost: a\r\nX-API-Key: %b\r\nContent-Length: 0\r\n\r\n",
    "version": b"POST /v1/classify?version=%b HTTP/1.1\r\nHost: a\r\nX-API-Key: %b\r\nContent-Length: 0\r\n\r\n",
    "path": b"GET /v1/%b HTTP/1.1\r\nHost: a\r\nX-API-Key: %b\r\n\r\n",
    "label": b"GET /v1/models/my_model/labels/%b/metadata HTTP/1.1\r\nHost: a\r\nX-API-Key: %b\r\n\r\n",
    "request id": b"GET /v1/labels HTTP/1.1\r\nHost: a\r\nX-Request-ID: %b\r\nX-API-Key: %b\r\n\r\n",
    "origin": b"GET /v1/labels HTTP/1.1\r\nHost: a\r\nOrigin: https://%b\r\nX-API-Key: %b\r\n\r\n",
    "origin of a preflight": b"OPTIONS /v1/labels HTTP/1.1\r\nHost: a\r\nOrigin: https://%b.example\r\n"
    b"Access-Control-Request-Method: GET\r\nX-API-Key: %b\r\n\r\n",
    "host": b"GET /v1/labels HTTP/1.1\r\nHost: %b\r\nX-API-Key: %b\r\n\r\n",
    "media type": b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Type: %b\r\n"
    b"X-API-Key: %b\r\n\r\n",
    "nowhere that is valid": b"GET /%b\x7f HTTP/1.1\r\nHost: a\r\nX-API-Key:: %b\r\n\r\n",
}


@pytest.mark.parametrize("style", ["json", "text"])
async def test_a_key_is_not_logged_wherever_it_stands(
    start: Start, replica: FakeReplica, tmp_path: Path, style: Style, capsys: Capture
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"shop:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
    client = await start(replica, api_keys_file=keys)
    bench = Bench(client._transport.app)  # type: ignore[attr-defined]
    logs.configure(style, "debug")
    for place, request in PLACES.items():
        await answered(bench, request % (KEY.encode(), KEY.encode()))
        logged = capsys.readouterr().err
        assert "request" in logged, place
        assert KEY[:20] not in logged, place


async def test_the_log_names_the_parameter_that_is_wrong_and_not_its_value(
    client: httpx.AsyncClient, jpeg: bytes, capsys: Capture
) -> None:
    logs.configure("json", "info")
    for query, cause in (
        ("?top_k=zq1", "top_k: int_parsing"),
        ("?zq1=zq2", "extra_forbidden"),
        ("?version=*", "version: string_pattern_mismatch"),
    ):
        capsys.readouterr()
        response = await client.post(f"/v1/classify{query}", content=jpeg, headers={"Content-Type": "image/jpeg"})
        (line,) = map(json.loads, capsys.readouterr().err.splitlines())
        assert (response.status_code, line["problem"], line["cause"]) == (400, "invalid-parameter", cause)
