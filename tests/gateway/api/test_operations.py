"""What operators and load balancers ask."""

import itertools
import time

import httpx
import pytest
from prometheus_client import REGISTRY, generate_latest, openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gateway.api import operations
from gateway.observe import metrics
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
        "classes": [
            {"label": "anemone", "display_name": "anemone", "names": {}},
            {"label": "brittle_star", "display_name": "brittle star", "names": {}},
            {"label": "crab", "display_name": "crab", "names": {}},
            {"label": "sea_urchin", "display_name": "sea urchin", "names": {}},
        ],
        "languages": [],
        "groups": [],
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
                "refused": {"2": "version 2 is refused: it has 1 labels for 4 outputs"},
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
                "refused": {},
                "reason": "probe: no connection to b:1",
                "in_flight": 0,
                "attempts": 0,
                "failures": 0,
                "ejections": 0,
                "usual_ms": None,
            },
        ],
    }


async def test_a_version_that_is_refused_shows_in_the_metrics_with_the_kind_of_reason(start: Start) -> None:
    models = {1: FakeModel(), 2: FakeModel(labels=("only",))}
    a = FakeReplica("a:1", versions=models, states={3: "END"}, errors={3: "no such file"})
    client = await start(a, FakeReplica("b:1", versions=models))
    text = (await client.get("/metrics")).text
    assert 'gateway_versions_refused{reason="contract",version="2"} 2.0' in text
    assert 'gateway_versions_refused{reason="load",version="3"} 1.0' in text


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


async def test_a_replicas_counters_keep_the_moment_they_began_through_scrapes(start: Start, jpeg: bytes) -> None:
    began = time.time()
    client = await start(FakeReplica("a:1"), FakeReplica("b:1"))
    known = time.time()
    texts = []
    for _ in range(2):
        await client.post("/v1/classify", files={"image": ("a.jpg", jpeg)})
        texts.append((await client.get("/metrics")).text)
    first, second = ({family.name: family for family in text_string_to_metric_families(text)} for text in texts)
    for name in ("attempts", "failures", "ejections"):
        created = [sample.value for sample in first[f"gateway_replica_{name}_created"].samples]
        assert len(created) == 2
        assert began <= min(created) <= max(created) <= known
        assert [sample.value for sample in second[f"gateway_replica_{name}_created"].samples] == created
    counted = [sum(sample.value for sample in text["gateway_replica_attempts"].samples) for text in (first, second)]
    assert counted == [1, 2]
    assert "# EOF" in openmetrics.exposition.generate_latest(REGISTRY).decode()  # type: ignore[no-untyped-call]


async def test_a_replica_that_is_gone_is_gone_from_the_metrics(start: Start) -> None:
    client = await start(FakeReplica("gone:1"), FakeReplica("b:1"))
    assert 'replica="gone:1"' in (await client.get("/metrics")).text
    client._transport.app.state.services.pool.set_addresses(["b:1"])  # type: ignore[attr-defined]
    assert 'replica="gone:1"' not in (await client.get("/metrics")).text


def test_versions_that_no_replica_holds_lose_their_series() -> None:
    for version in ("901", "902"):
        metrics.attempt_seconds(version, "ok").observe(0.01)
    metrics.forget_versions({"902", "1"})
    text = generate_latest().decode()
    assert 'version="901"' not in text
    assert 'gateway_attempt_seconds_count{outcome="ok",version="902"} 1.0' in text
    metrics.attempt_seconds("901", "ok").observe(0.01)
    assert 'gateway_attempt_seconds_count{outcome="ok",version="901"} 1.0' in generate_latest().decode()


async def test_the_metrics_show_what_is_free_for_decoding(start: Start, replica: FakeReplica, jpeg: bytes) -> None:
    client = await start(replica, decode_processes=3, decode_budget_bytes=300_000_000)
    await client.post("/v1/classify", content=jpeg, headers={"Content-Type": "image/jpeg"})
    shown = (await client.get("/metrics")).text.splitlines()
    assert 'gateway_decode_places_free{kind="quick"} 3.0' in shown
    assert 'gateway_decode_places_free{kind="slow"} 3.0' in shown
    assert 'gateway_decoders_idle{kind="quick"} 1.0' in shown
    assert 'gateway_decoders_idle{kind="slow"} 0.0' in shown
    assert "gateway_decode_memory_free_bytes 3e+08" in shown


async def test_thousands_of_scrapes_at_once_share_few_renderings(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = (b"%d" % number for number in itertools.count(1))
    monkeypatch.setattr(operations, "generate_latest", lambda: next(texts))
    services = client._transport.app.state.services  # type: ignore[attr-defined]
    rendering, now = operations.Rendering(), [0.0]
    monkeypatch.setattr(type(services), "clock", lambda _: now[0])
    for hundredth in range(300):
        now[0] = hundredth / 100
        last = rendering.text(services)
    assert last == b"%d" % (3 * operations.Rendering.MOST_PER_S)
