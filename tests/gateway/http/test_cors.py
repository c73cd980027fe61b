"""Calls from pages of other origins: what a browser is told, and what the operator is."""

import json
from collections.abc import Callable

import httpx
import pytest
from prometheus_client import REGISTRY

from gateway.http.cors import PER_MINUTE, WITHHELD, Refusals
from gateway.observe import lines, logs
from tests.fakes import FakeReplica
from tests.gateway.conftest import Start

OURS = "https://www.example.org"
ADDED = "baggage,cache-control,content-type,sentry-trace,traceparent,tracestate,x-csrf-token,x-requested-with,x-shop-42"
"""Fields that upload widgets and tracing add."""


def preflight(origin: str = OURS, method: str = "POST", names: str = "") -> dict[str, str]:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    return asked | ({"Access-Control-Request-Headers": names} if names else {})


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("gateway_cross_origin_refused_total", {"reason": reason}) or 0


async def test_pages_of_the_listed_origins_may_call_and_others_may_not(start: Start, replica: FakeReplica) -> None:
    client = await start(replica, cors_origins=OURS)
    for origin, allowed in ((OURS, OURS), ("https://evil.example", None)):
        response = await client.get("/v1/labels", headers={"Origin": origin})
        assert response.headers.get("Access-Control-Allow-Origin") == allowed
        assert response.headers.get("Access-Control-Allow-Credentials") is None
    assert (await client.options("/v1/classify", headers=preflight())).status_code == 200


@pytest.mark.parametrize(("listed", "allowed"), [(OURS, OURS), ("*", "*")])
async def test_a_listed_origin_may_send_any_field_that_is_not_withheld(
    start: Start, replica: FakeReplica, listed: str, allowed: str
) -> None:
    client = await start(replica, cors_origins=listed)
    for names in (ADDED, "authorization,x-api-key,x-request-id", "X-Requested-With, Cache-Control"):
        response = await client.options("/v1/classify", headers=preflight(names=names))
        assert response.status_code == 200
        assert response.headers["Access-Control-Allow-Origin"] == allowed
        told = response.headers["Access-Control-Allow-Headers"].split(", ")
        assert told == [name.strip().lower() for name in names.split(",")]
        assert {"Origin", "Access-Control-Request-Headers"} <= set(
            ", ".join(response.headers.get_list("Vary")).split(", ")
        )


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
async def test_every_method_that_a_route_takes_is_allowed(start: Start, replica: FakeReplica, method: str) -> None:
    client = await start(replica, cors_origins=OURS)
    response = await client.options("/v1/classify", headers=preflight(method=method, names="traceparent"))
    assert method in response.headers["Access-Control-Allow-Methods"].split(", ")


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (
            preflight("https://evil.example"),
            "A page of https://evil.example may not send this request because of its origin.",
        ),
        (preflight("null"), "A page of null may not"),
        (preflight("https://evil.example/<script>"), "A page of no valid origin may not"),
        (preflight(method="DELETE"), "because of its method."),
        (preflight(method="post"), "because of its method."),
        (preflight(names="traceparent,x-forwarded-for"), "because of its header x-forwarded-for."),
        (preflight(names="a b"), "because of its header that is no name."),
    ],
)
async def test_a_refused_preflight_is_answered_with_a_problem_that_names_what_is_refused(
    start: Start, replica: FakeReplica, asked: dict[str, str], why: str
) -> None:
    client = await start(replica, cors_origins=OURS)
    response = await client.options("/v1/classify", headers=asked)
    assert (response.status_code, response.json()["type"]) == (400, "/problems/cross-origin-refused")
    assert why in response.json()["detail"]
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_no_field_that_is_withheld_may_be_sent(start: Start, replica: FakeReplica) -> None:
    client = await start(replica, cors_origins="*")
    for name in WITHHELD:
        response = await client.options("/v1/classify", headers=preflight(names=name.upper()))
        assert response.status_code == 400
        assert name in response.json()["detail"]


async def test_a_page_of_a_public_site_that_is_listed_may_call_a_gateway_in_a_private_network(
    start: Start, replica: FakeReplica
) -> None:
    client = await start(replica, cors_origins=OURS)
    asked = preflight() | {"Access-Control-Request-Private-Network": "true"}
    response = await client.options("/v1/classify", headers=asked)
    assert response.headers["Access-Control-Allow-Private-Network"] == "true"


async def test_a_problem_can_be_read_across_origins_too(start: Start, replica: FakeReplica) -> None:
    client = await start(replica, cors_origins=OURS)
    response = await client.post("/v1/classify", headers={"Origin": OURS, "Content-Type": "text/plain"})
    assert response.status_code == 415
    assert response.headers["Access-Control-Allow-Origin"] == OURS
    assert "X-Request-ID" in response.headers["Access-Control-Expose-Headers"]


# --- what the operator sees ------------------------------------------------------------------------------------------


Warned = Callable[[], list[dict[str, object]]]


def listen(capsys: pytest.CaptureFixture[str]) -> Warned:
    """Gives the lines about refused pages since the last call."""
    logs.configure("json", "info")

    def lines_since() -> list[dict[str, object]]:
        told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        return [line for line in told if line["event"] == "cross-origin request refused"]

    return lines_since


@pytest.mark.parametrize("listed", [OURS, ""])
@pytest.mark.parametrize("method", ["OPTIONS", "POST", "GET"])
async def test_a_page_that_is_not_listed_is_a_line_and_counts(
    start: Start, replica: FakeReplica, listed: str, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    warned = listen(capsys)
    client = await start(replica, cors_origins=listed)
    before, other = refused("origin"), "https://shop.example:8443"
    await client.request(method, "/v1/labels", headers=preflight(other) if method == "OPTIONS" else {"Origin": other})
    (line,) = warned()
    assert (line["level"], line["origin"], line["reason"]) == ("warning", other, "origin")
    assert "request_id" not in line
    assert refused("origin") - before == 1


async def test_a_field_or_method_that_is_refused_is_a_line_and_counts(
    start: Start, replica: FakeReplica, capsys: pytest.CaptureFixture[str]
) -> None:
    warned = listen(capsys)
    client = await start(replica, cors_origins=OURS)
    before = refused("header"), refused("method")
    await client.options("/v1/classify", headers=preflight(names="x-real-ip"))
    await client.options("/v1/classify", headers=preflight(names="zq1 zq2"))
    await client.options("/v1/classify", headers=preflight(method="ZQ3"))
    told = warned()
    assert [line["reason"] for line in told] == ["header x-real-ip", "header that is no name", "method"]
    assert (refused("header") - before[0], refused("method") - before[1]) == (2, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "http://gateway"},
        {"Origin": "https://gateway"},  # TLS ends at a proxy
        {"Origin": "https://specimen.example.org", "Sec-Fetch-Site": "same-origin"},  # a proxy changes the Host
        {"Origin": OURS},
    ],
)
async def test_a_page_that_may_call_leaves_no_line(
    start: Start, replica: FakeReplica, fields: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    warned = listen(capsys)
    client = await start(replica, cors_origins=OURS)
    await client.post("/v1/classify", headers=fields)
    assert warned() == []


def test_each_origin_is_a_line_a_minute_and_there_are_at_most_so_many(capsys: pytest.CaptureFixture[str]) -> None:
    warned = listen(capsys)
    now = 1000.0
    refusals = Refusals(lambda: now)
    for _ in range(10):
        refusals.note("https://one.example", "origin")
    refusals.note("https://two.example", "origin")
    told = warned()
    assert [(line["origin"], line["refused_before"]) for line in told] == [
        ("https://one.example", 0),
        ("https://two.example", 9),
    ]
    for number in range(1000):
        refusals.note(f"https://{number}.example", "origin")
    assert len(warned()) == PER_MINUTE - 2
    now += 60
    refusals.note("https://one.example", "origin")
    (line,) = warned()
    assert (line["origin"], line["refused_before"]) == ("https://one.example", 1000 - (PER_MINUTE - 2))


@pytest.mark.parametrize(
    "origin",
    ["x" * 9000, "https://" + "a" * 9000, "https://A.example", 'https://a"}\t{"b', "https://a.example/x", "ä", ""],
)
def test_what_is_no_origin_is_not_logged(origin: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    Refusals().note(origin, "origin")
    (text,) = capsys.readouterr().err.splitlines()
    assert json.loads(text)["origin"] == "no valid origin"
    assert len(text) < lines.MAX_BYTES // 8


async def test_a_request_without_an_origin_is_no_cross_origin_request(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    warned = listen(capsys)
    before = refused("origin")
    assert (await client.options("/v1/classify", headers={"Access-Control-Request-Method": "POST"})).status_code == 405
    assert (await client.get("/v1/labels")).status_code == 200
    assert (warned(), refused("origin") - before) == ([], 0)
