"""What operators and load balancers ask."""

import httpx

from tests.fakes import FakeModel, FakeReplica, answer
from tests.gateway.conftest import Start


async def test_liveness_says_nothing_about_replicas_and_readiness_all(start: Start) -> None:
    a = FakeReplica("a:1", reachable=False)
    client = await start(a, probe_interval_s=0.05)
    assert (await client.get("/healthz")).status_code == 200
    unready = await client.get("/readyz")
    assert (unready.status_code, unready.json()["type"]) == (503, "/problems/no-replica-available")


async def test_labels_come_with_the_version_they_belong_to(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/labels")).json() == {
        "labels": ["anemone", "brittle_star", "crab", "sea_urchin"],
        "model": {"name": "my_model", "version": "1"},
        "title": "Fake",
        "summary": "",
        "demo": False,
    }


async def test_an_operator_sees_every_replica_and_why_it_is_out(start: Start) -> None:
    a = FakeReplica("a:1", versions={1: FakeModel(), 2: FakeModel(labels=("only",))}, states={3: "LOADING"})
    client = await start(a, FakeReplica("b:1", reachable=False))
    shown = (await client.get("/v1/models")).json()
    assert shown == {
        "name": "my_model",
        "serving": "1",
        "canary": None,
        "discovery": "",
        "replicas": [
            {
                "address": "a:1",
                "state": "available",
                "serving": "1",
                "versions": {"3": "LOADING", "2": "AVAILABLE", "1": "AVAILABLE"},
                "reason": "version 2 is refused: it has 1 labels for 4 outputs",
                "in_flight": 0,
                "attempts": 0,
                "failures": 0,
                "ejections": 0,
                "usual_ms": None,
            },
            {
                "address": "b:1",
                "state": "not ready",
                "serving": None,
                "versions": {},
                "reason": "probe: no connection to b:1",
                "in_flight": 0,
                "attempts": 0,
                "failures": 0,
                "ejections": 0,
                "usual_ms": None,
            },
        ],
    }


async def test_an_operator_sees_what_a_replica_failed_and_why_it_is_ejected(start: Start, jpeg: bytes) -> None:
    a = FakeReplica("a:1")
    client = await start(a, FakeReplica("b:1"), FakeReplica("c:1"), probe_interval_s=300)
    a.sick = answer(500, {"error": "out of order"})
    for _ in range(6):
        assert (await client.post("/v1/classify", files={"image": ("a.jpg", jpeg)})).status_code == 200
    shown = (await client.get("/v1/models")).json()["replicas"][0]
    assert (shown["state"], shown["failures"], shown["ejections"]) == ("ejected", 2, 1)
    assert shown["reason"].startswith("status 500")
    text = (await client.get("/metrics")).text
    assert '\ngateway_replica_failures_total{replica="a:1"} 2.0' in text
    assert '\ngateway_replica_available{replica="a:1"} 0.0' in text


async def test_metrics_count_requests_attempts_and_replicas(client: httpx.AsyncClient, jpeg: bytes) -> None:
    await client.post("/v1/classify", files={"image": ("a.jpg", jpeg)})
    response = await client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain")
    for line in (
        'gateway_requests_total{route="/v1/classify",status="200"}',
        'gateway_stage_seconds_count{stage="preprocess"}',
        'gateway_attempt_seconds_count{outcome="ok",version="1"}',
        'gateway_replica_attempts_total{replica="a:1"} 1.0',
        'gateway_replica_available{replica="a:1"} 1.0',
        'gateway_pictures_total{format="JPEG"}',
        'gateway_replicas{state="available"} 1.0',
        "gateway_in_flight 0.0",
    ):
        assert f"\n{line}" in response.text, line


async def test_the_metrics_show_what_is_free_for_decoding(start: Start, replica: FakeReplica, jpeg: bytes) -> None:
    client = await start(replica, decode_processes=3, decode_budget_bytes=300_000_000)
    await client.post("/v1/classify", content=jpeg, headers={"Content-Type": "image/jpeg"})
    shown = (await client.get("/metrics")).text.splitlines()
    assert 'gateway_decode_places_free{kind="quick"} 3.0' in shown
    assert 'gateway_decode_places_free{kind="slow"} 3.0' in shown
    assert 'gateway_decoders_idle{kind="quick"} 1.0' in shown
    assert 'gateway_decoders_idle{kind="slow"} 0.0' in shown
    assert "gateway_decode_memory_free_bytes 3e+08" in shown
