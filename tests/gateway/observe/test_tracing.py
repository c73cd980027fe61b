"""What an attempt passes to the replica about its request, and what is recorded of both."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from gateway.observe import telemetry, tracing
from gateway.tfserving.grpc import GrpcClient
from gateway.tfserving.rest import RestClient
from tests.fakes import FITTING, FakeReplica, answer
from tests.gateway.conftest import Start
from tests.gateway.tfserving.test_grpc import AVAILABLE, PATIENCE_S, serving

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "order-66"}
FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def told(request: httpx.Request) -> tuple[str, str, str]:
    """Trace, parent and flags that a replica received."""
    parts = FORM.fullmatch(request.headers["traceparent"])
    assert parts is not None
    trace, parent, flags = parts.groups()
    return trace, parent, flags


async def upload(client: httpx.AsyncClient, jpeg: bytes, headers: Any) -> None:
    response = await client.post("/v1/classify", files={"image": ("a.jpg", jpeg)}, headers=headers)
    assert response.status_code == 200


async def test_every_attempt_carries_the_callers_trace_and_request_under_its_own_parent(
    start: Start, jpeg: bytes
) -> None:
    replicas = [FakeReplica("a:1"), FakeReplica("b:1")]
    client = await start(*replicas)
    replicas[0].faults.append(answer(503, {"error": "full"}))
    for _ in replicas:
        await upload(client, jpeg, {**CALLER, "tracestate": "vendor=1"})
    attempts = [request for replica in replicas for request in replica.seen]
    assert len(attempts) == 3
    assert {told(request)[::2] for request in attempts} == {(TRACE, "01")}
    assert len({told(request)[1] for request in attempts} | {PARENT}) == len(attempts) + 1
    assert {request.headers["x-request-id"] for request in attempts} == {"order-66"}
    assert {request.headers["tracestate"] for request in attempts} == {"vendor=1"}


async def test_a_forwarded_call_carries_them_too(client: httpx.AsyncClient, replica: FakeReplica) -> None:
    await client.post("/v1/models/my_model:predict", json=FITTING, headers=CALLER)
    assert told(replica.seen[0])[0] == TRACE
    assert replica.seen[0].headers["x-request-id"] == "order-66"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "garbage",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-01\tx: y",
    ],
)
async def test_what_is_no_traceparent_starts_a_trace_that_is_not_sampled(
    client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes, wrong: str
) -> None:
    await upload(client, jpeg, {"traceparent": wrong, "tracestate": "vendor=1"})
    trace, parent, flags = told(replica.seen[0])
    assert trace not in (TRACE, "0" * 32)
    assert parent != "0" * 16
    assert flags == "00"
    assert "tracestate" not in replica.seen[0].headers


async def test_two_traceparents_are_none(client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes) -> None:
    await upload(client, jpeg, [("traceparent", CALLER["traceparent"])] * 2)
    assert told(replica.seen[0])[0] != TRACE


async def test_a_later_version_is_read_as_far_as_it_is_known(
    client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes
) -> None:
    await upload(client, jpeg, {"traceparent": f"cc-{TRACE}-{PARENT}-ff-what-the-future-brings"})
    trace, _, flags = told(replica.seen[0])
    assert (trace, flags) == (TRACE, "03")


@pytest.mark.parametrize("state", ["v=" + "x" * 511, "v=\xe9"])
async def test_a_tracestate_that_is_none_is_dropped_alone(
    client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes, state: str
) -> None:
    await upload(client, jpeg, {**CALLER, "tracestate": state.encode("latin-1")})
    assert told(replica.seen[0])[0] == TRACE
    assert "tracestate" not in replica.seen[0].headers


async def test_over_grpc_they_are_metadata() -> None:
    seen: list[dict[str, str]] = []

    def note(_: bytes, context: grpc.ServicerContext) -> bytes:
        seen.append(dict(context.invocation_metadata()))
        return AVAILABLE

    async with GrpcClient(RestClient(), connect_timeout_s=PATIENCE_S) as client:
        with serving(note) as address:
            await client.status(address, "m")  # as a probe does: for no request
            with tracing.request([(b"traceparent", CALLER["traceparent"].encode())], "order-66"):
                await client.status(address, "m")
    assert not seen[0].keys() & {"traceparent", "x-request-id"}
    assert (seen[1]["traceparent"][:36], seen[1]["x-request-id"]) == (f"00-{TRACE}-", "order-66")


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What OpenTelemetry was given; recorded for the time of the test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.record_with(telemetry.OpenTelemetry(provider.get_tracer("test")))
    try:
        yield exporter
    finally:
        tracing.record_with(None)
        provider.shutdown()


async def test_spans_of_a_request_its_stages_and_its_attempts_are_recorded(
    client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes, spans: InMemorySpanExporter
) -> None:
    spans.clear()
    await upload(client, jpeg, CALLER)
    found = {span["name"]: span for span in finished(spans)}
    request, attempt = found["POST /v1/classify"], found["attempt"]
    assert {span["context"]["trace_id"] for span in found.values()} == {f"0x{TRACE}"}
    assert request["parent_id"] == f"0x{PARENT}"
    stages = [found[name] for name in ("read", "preprocess", "predict")]
    assert {stage["parent_id"] for stage in stages} == {request["context"]["span_id"]}
    assert attempt["parent_id"] == found["predict"]["context"]["span_id"]
    assert request["attributes"]["http.response.status_code"] == 200
    assert (attempt["attributes"]["replica"], attempt["attributes"]["model.version"]) == ("a:1", "1")
    assert told(replica.seen[-1]) == (TRACE, attempt["context"]["span_id"].removeprefix("0x"), "01")


def finished(spans: InMemorySpanExporter) -> list[dict[str, Any]]:
    return [json.loads(span.to_json()) for span in spans.get_finished_spans()]


async def test_a_failed_attempt_is_recorded_with_its_kind_and_no_more(
    client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes, spans: InMemorySpanExporter
) -> None:
    spans.clear()
    replica.faults.append(answer(400, {"error": "secret"}))
    await client.post("/v1/classify", files={"image": ("a.jpg", jpeg)})
    (attempt,) = [span for span in finished(spans) if span["name"] == "attempt"]
    assert attempt["attributes"]["error.type"] == "ReplicaRejectedError"
    assert "secret" not in str(attempt)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({"OTEL_SERVICE_NAME": "mine"}, False),
    ],
)
def test_the_standard_variables_say_whether_spans_are_sent(environment: dict[str, str], expected: bool) -> None:
    assert telemetry.wanted(environment) is expected


def test_without_the_extra_nothing_is_recorded_and_the_reason_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with capture_logs() as lines:
        assert telemetry.recorder({"OTEL_TRACES_EXPORTER": "console"}) is None
    assert "pip install opentelemetry-sdk" in lines[0]["reason"]
