"""How much may be in progress at once, and until when."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from gateway.app import create_app
from gateway.settings import Settings
from tests.children import children
from tests.fakes import FakeReplica, is_golden, network
from tests.gateway.api.test_classify import form
from tests.gateway.conftest import Start
from tests.gateway.replicas.conftest import until
from tests.rounds import look


class Held(httpx.AsyncBaseTransport):
    """A replica whose predictions wait until the test releases them."""

    def __init__(self, replica: FakeReplica) -> None:
        self.inner = network(replica)
        self.held, self.go = asyncio.Event(), asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        if b'"b64"' in body and not is_golden(body):
            self.held.set()
            await self.go.wait()
        return await self.inner.handle_async_request(request)


async def test_more_requests_than_allowed_are_turned_away_before_their_body_is_read(
    replica: FakeReplica, jpeg: bytes
) -> None:
    wire = Held(replica)
    app = create_app(Settings(upstream=replica.address, max_in_flight=1, queue_size=0), wire)
    headers = {"Content-Type": "image/jpeg"}

    async def body() -> Any:
        pytest.fail("it was read")
        yield jpeg

    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
    ):
        await look(app.state.services)
        first = asyncio.create_task(client.post("/v1/classify", content=jpeg, headers=headers))
        await wire.held.wait()
        refused = await client.post("/v1/classify", content=body(), headers=headers)
        wire.go.set()
        assert (await first).status_code == 200
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json()["type"] == "/problems/overloaded"


@pytest.mark.parametrize("by", ["address", "key"])
async def test_one_caller_leaves_places_for_another_whether_by_address_or_by_key(
    replica: FakeReplica, jpeg: bytes, tmp_path: Path, by: str
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("".join(f"{name}:{hashlib.sha256(name.encode()).hexdigest()}\n" for name in ("greedy", "other")))
    wire, before = Held(replica), shed("share")
    settings = Settings(upstream=replica.address, max_in_flight=18, api_keys_file=keys if by == "key" else None)
    app = create_app(settings, wire)

    def client_of(name: str, address: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, client=(address, 1))
        headers = {"Content-Type": "image/jpeg", "X-API-Key": name}
        return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers)

    async with (
        app.router.lifespan_context(app),
        client_of("greedy", "10.0.0.1") as greedy,
        client_of("other", "10.0.0.1" if by == "key" else "10.0.0.2") as other,
    ):
        await look(app.state.services)
        many = [asyncio.create_task(greedy.post("/v1/classify", content=jpeg)) for _ in range(20)]
        await until(lambda: shed("share") - before == 4)
        one = asyncio.create_task(other.post("/v1/classify", content=jpeg))
        await until(lambda: app.state.services.pool.replicas[0].in_flight == 17)
        wire.go.set()
        assert (await one).status_code == 200
        assert sorted(answer.status_code for answer in await asyncio.gather(*many)) == [200] * 16 + [503] * 4


def shed(by: str) -> float:
    return REGISTRY.get_sample_value("gateway_shed_total", {"by": by}) or 0


async def test_bodies_that_would_fill_the_memory_are_turned_away(
    start: Start, replica: FakeReplica, jpeg: bytes
) -> None:
    sizes = dict.fromkeys(("max_upload_bytes", "max_batch_bytes", "max_predict_bytes", "max_bodies_bytes"), 4096)
    client = await start(replica, **sizes)
    half_in, finish = asyncio.Event(), asyncio.Event()

    async def half_a_body() -> Any:
        yield bytes(3000)
        half_in.set()
        await finish.wait()
        yield b""

    headers = {"Content-Type": "image/jpeg"}
    first = asyncio.create_task(client.post("/v1/classify", content=half_a_body(), headers=headers))
    await half_in.wait()
    second = await client.post("/v1/classify", content=bytes(2000), headers=headers)
    assert (second.status_code, second.json()["type"]) == (503, "/problems/overloaded")
    finish.set()
    assert (await first).status_code == 415
    assert "gateway_body_bytes 0.0" in (await client.get("/metrics")).text


async def test_one_deadline_holds_for_decoding_and_prediction_together(
    start: Start, replica: FakeReplica, jpeg: bytes
) -> None:
    client = await start(replica, deadline_s=0.2, decode_processes=1)
    (forkserver,) = children()
    assert (await client.post("/v1/classify", files=form(jpeg))).status_code == 200
    (worker,) = forkserver.children()
    worker.suspend()
    try:
        late = await client.post("/v1/classify", files=form(jpeg))
        batch = await client.post("/v1/classify/batch", files=form(jpeg, jpeg))
    finally:
        worker.resume()
    assert (late.status_code, late.json()["type"]) == (504, "/problems/deadline-exceeded")
    assert batch.status_code == 504


async def test_batches_together_have_no_more_pictures_in_progress_than_requests_may_be(
    replica: FakeReplica, jpeg: bytes
) -> None:
    wire = Held(replica)
    app = create_app(Settings(upstream=replica.address, max_in_flight=3, decode_processes=1), wire)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://g") as client:
        await look(app.state.services)
        batches = [asyncio.create_task(client.post("/v1/classify/batch", files=form(*[jpeg] * 8))) for _ in range(2)]
        (asked,) = app.state.services.pool.replicas
        await until(lambda: asked.in_flight == 3)
        assert app.state.services.batch_places.free == 0
        wire.go.set()
        answers = await asyncio.gather(*batches)
    assert [len(response.json()["results"]) for response in answers] == [8, 8]
    assert replica.predictions == 16
