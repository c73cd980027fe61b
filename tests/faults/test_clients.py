"""What clients may send that a whole request can hold: forms, JSON, methods, paths, origins, keys, forged headers."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from gateway.auth import MAX_WRONG_KEYS
from tests.faults.gateway import PICTURE, Gateway, running_gateway
from tests.faults.record import record
from tests.faults.replica import Replica, wait_for

pytestmark = pytest.mark.faults

JPEG = {"Content-Type": "image/jpeg"}
FORM = {"Content-Type": "multipart/form-data; boundary=X"}
PREDICT = "/v1/models/my_model:predict"


def part(content: bytes, disposition: bytes = b'form-data; name="image"; filename="a.jpg"', more: bytes = b"") -> bytes:
    return b"--X\r\nContent-Disposition: " + disposition + b"\r\n" + more + b"\r\n" + content + b"\r\n"


def refusal(gateway: Gateway, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Status and problem type of one upload."""
    with gateway.client() as client:
        response = client.post("/v1/classify", content=body, headers=headers)
    document = response.json()
    assert response.headers["Content-Type"] == "application/problem+json"
    assert document["request_id"] == response.headers["X-Request-ID"]
    return response.status_code, document["type"].removeprefix("/problems/")


def test_compressed_bodies_are_not_unpacked(gateway: Gateway) -> None:
    bomb = b"\x1f\x8b" + bytes(1000)
    for coding in ("gzip", "br", "deflate", "zstd", "gzip, gzip"):
        assert refusal(gateway, bomb, JPEG | {"Content-Encoding": coding}) == (415, "unsupported-media-type")
    record("49", "5 codings: 415")


def test_a_type_that_is_not_read_is_named(gateway: Gateway) -> None:
    kinds = ["application/json", "text/plain", "nonsense", "image", "multipart/mixed"]
    for kind in kinds:
        assert refusal(gateway, PICTURE, {"Content-Type": kind}) == (415, "unsupported-media-type"), kind
    for kind in ("", "application/octet-stream"):
        assert refusal(gateway, b"text", {"Content-Type": kind}) == (415, "unsupported-image-type"), kind
    record("50", f"{len(kinds)} types: 415; without a type, what is no picture: 415")


def test_forms_that_could_be_read_in_two_ways_are_errors(gateway: Gateway) -> None:
    long = "multipart/form-data; boundary=" + "b" * 300
    whole, end = part(PICTURE), b"--X--\r\n"
    for headers in ({"Content-Type": "multipart/form-data"}, {"Content-Type": long}):
        assert refusal(gateway, whole + end, headers) == (400, "invalid-multipart")
    record("51", "no boundary, boundary of 300 bytes: 400")
    assert refusal(gateway, whole + whole + end, FORM) == (400, "duplicate-field")
    record("53", "400 duplicate-field")
    for cut in (len(b"-\r\n"), len(end), len(end) + 1, len(end) + 100):
        assert refusal(gateway, (whole + end)[:-cut], FORM) == (400, "invalid-multipart")
    record("54", "400 wherever the closing boundary is missing")
    assert refusal(gateway, part(b"x", b'form-data; name="image"') + end, FORM) == (400, "not-a-file")
    assert refusal(gateway, part(b"x", b'form-data; name="top_k"') * 1000 + end, FORM) == (400, "unknown-field")
    record("55", "no file name: 400 not-a-file; 1,000 fields: 400 at the first")


def test_forms_of_very_many_parts_cost_little(gateway: Gateway) -> None:
    forms = {
        "100,000 parts": (part(b"", b'form-data; name="image"; filename="a"') * 100_000)[: 9 * 2**20],
        "1,000 fields in the head of a part": part(PICTURE, more=b"A: b\r\n" * 1000),
        "a field of a megabyte in the head of a part": part(PICTURE, more=b"A: " + b"b" * 2**20 + b"\r\n"),
    }
    cpu = gateway.line.cpu().gateway_s
    for name, form in forms.items():
        status, problem = refusal(gateway, form + b"--X--\r\n", FORM)
        assert status == 400, f"{name}: {status} {problem}"
    cpu = gateway.line.cpu().gateway_s - cpu
    assert cpu < 2
    record("52", f"3 forms: 400; {cpu / 3 * 1000:.0f} ms of CPU each, receiving included")


def test_file_names_are_never_used(gateway: Gateway) -> None:
    names = [b"../../etc/passwd", b"canary\0.jpg", b"canary" * 1000, b"canary%0d%0aX: y", b"C:\\canary", b"canary\xff"]
    with gateway.client() as client:
        for name in names:
            form = part(PICTURE, b'form-data; name="image"; filename="' + name + b'"') + b"--X--\r\n"
            assert client.post("/v1/classify", content=form, headers=FORM).status_code in (200, 400)
    assert "canary" not in gateway.log.read_text(encoding="utf-8")
    record("56", f"{len(names)} names: 200 or 400; none in the log")


def test_json_that_breaks_parsers_is_refused(gateway: Gateway) -> None:
    bodies = [
        b"[" * 100_000,
        b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"instances": [1e400' + b"}",
        b'{"instances": [' + b"9" * 100_000,
        b'{"a": 1, ' * 1000,
        b'{"instances": ["\xff\xfe"]}',
        b'{"instances": ["\\ud800"]',
    ]
    cpu = gateway.line.cpu().gateway_s
    with gateway.client() as client:
        for body in bodies:
            assert client.post(PREDICT, content=body).status_code == 400, body[:40]
        cpu = gateway.line.cpu().gateway_s - cpu
        assert cpu < 1
        assert client.get("/healthz").status_code == 200
    assert gateway.classify() == 200
    record("57", f"{len(bodies)} bodies: 400; {cpu / len(bodies) * 1000:.0f} ms of CPU each")


def test_base64_is_decoded_whole_or_refused(gateway: Gateway) -> None:
    picture = base64.b64encode(PICTURE).decode()
    odd = ["!!!!", picture[:-1] + "!", picture.replace("/", "_"), f"data:image/jpeg,{picture}", picture + "=" * 9 + "A"]
    for text in odd:
        assert refusal(gateway, json.dumps({"image": text}).encode(), {"Content-Type": "application/json"})[0] == 415
        assert refusal(gateway, text.encode(), JPEG) == (415, "unsupported-image-type")
    with gateway.client() as client:
        assert client.post("/v1/classify", content=picture.encode(), headers=JPEG).status_code == 200
    record("58", f"{len(odd)} forms of base64: 415; a whole one is decoded")


def test_odd_methods_and_paths_lead_nowhere(gateway: Gateway) -> None:
    methods = ["HEAD", "OPTIONS", "TRACE", "DELETE", "PATCH", "PROPFIND", "LOCK"]
    paths = [
        "//",
        "//evil.example/",
        "/..",
        "/../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/static/../app.py",
        "/v1/classify/",
    ]
    paths += ["/static/%2e%2e/settings.py", "/static/..%2fsettings.py", "/static//etc/passwd", "/.git/config", "/%00"]
    for method in methods:
        (answer,) = gateway.say(f"{method} /v1/classify HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        assert answer.status == 405, method
        assert method == "HEAD" or answer.problem == "method-not-allowed"
    for path in paths:
        (answer,) = gateway.say(f"GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
        assert (answer.status, answer.problem) == (404, "not-found"), path
        assert "location" not in answer.headers
    absolute = b"GET http://evil.example/healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert [answer.status for answer in gateway.say(absolute)] == [200]
    record("60", f"{len(methods)} methods: 405; {len(paths)} paths: 404, no redirect")


def test_foreign_origins_get_no_cors_headers(replica: Replica, tmp_path: Path) -> None:
    with running_gateway(replica.address, tmp_path / "log", cors_origins="https://www.example.org") as gateway:
        with gateway.client() as client:
            for origin in (
                "https://evil.example",
                "null",
                "https://www.example.org.evil.example",
                "http://www.example.org",
            ):
                preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
                for response in (
                    client.options("/v1/classify", headers=preflight),
                    client.get("/v1/labels", headers={"Origin": origin, "Cookie": "a=b"}),
                ):
                    assert "access-control-allow-origin" not in response.headers
                    assert "access-control-allow-credentials" not in response.headers
            ours = client.get("/v1/labels", headers={"Origin": "https://www.example.org"})
        assert ours.headers["access-control-allow-origin"] == "https://www.example.org"
        record("61", "4 other origins: no header; the listed one: its own name, no credentials")


def test_guessing_keys_ends_after_ten_and_no_key_is_written_anywhere(replica: Replica, tmp_path: Path) -> None:
    key = "canary-of-this-test"
    keys = tmp_path / "keys"
    keys.write_text(f"shop:{hashlib.sha256(key.encode()).hexdigest()}\n")
    headers = {"X-API-Key": key}
    with running_gateway(replica.address, tmp_path / "log", api_key=key, api_keys_file=str(keys)) as gateway:
        with gateway.client() as client:
            right = client.get("/v1/labels", headers=headers)
            spoofed = [
                client.get("/v1/labels", headers={"X-API-Key": f"{key}{n}", "X-Forwarded-For": f"203.0.113.{n}"})
                for n in range(2 * MAX_WRONG_KEYS)
            ]
            later = client.get("/v1/labels", headers=headers)
        assert right.status_code == 200
        statuses = [response.status_code for response in spoofed]
        assert statuses == [401] * MAX_WRONG_KEYS + [429] * MAX_WRONG_KEYS
        assert later.status_code == 200  # the right key passes from an address that guessed
        assert key not in gateway.log.read_text(encoding="utf-8")
        assert key not in "".join(response.text for response in spoofed)
        record("62", f"{MAX_WRONG_KEYS} wrong keys: 401, then 429; no key in the log")
        record("63", f"{len(spoofed)} forged addresses: no effect")


def test_forged_headers_write_no_log_lines(gateway: Gateway) -> None:
    forged = ['a"}\t{"event":"x', "a" * 65, "a b", "%0a", "ä"]
    with gateway.client() as client:
        for value in forged:
            headers = {"X-Request-ID": value.encode(), "traceparent": value.encode(), "User-Agent": value.encode()}
            response = client.get("/v1/labels", headers=headers)  # type: ignore[arg-type]  # bytes: as they are
            assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-ID"])
        kept = client.get("/v1/labels", headers={"X-Request-ID": "shop-42.a_b"})
    assert kept.headers["X-Request-ID"] == "shop-42.a_b"
    wait_for(lambda: any(line.get("request_id") == "shop-42.a_b" for line in gateway.lines()))
    assert all(isinstance(line, dict) for line in gateway.lines())
    record("64", f"{len(forged)} forged ids replaced; every line of the log is JSON")


def test_random_paths_do_not_grow_the_metrics(gateway: Gateway) -> None:
    with gateway.client() as client:
        for path in ("/nowhere", "/healthz", "/metrics"):
            client.get(path)
        before = len(client.get("/metrics").text.splitlines())
        for start in range(0, 10_000, 1000):
            pipelined = [f"GET /p{n}/{n} HTTP/1.1\r\nHost: a\r\n\r\n" for n in range(start, start + 1000)]
            for few in range(0, 1000, 10):
                last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                found = gateway.say("".join([*pipelined[few : few + 10], last]).encode())
                assert [answer.status for answer in found] == [404] * 10 + [200]
        after = len(client.get("/metrics").text.splitlines())
    assert after - before <= 10
    record("65", f"10,000 paths: {after - before} new lines of metrics; if keys are set, /metrics needs one")
