"""A request that kills model servers, sent through the whole gateway: it costs one replica, and no other request."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from PIL import Image
from prometheus_client import REGISTRY

from gateway.app import create_app
from gateway.imaging import preprocess
from gateway.services import Services
from gateway.settings import Settings
from tests.fakes import FITTING, FakeReplica
from tests.gateway.replicas.conftest import until
from tests.gateway.replicas.wires import Mortal
from tests.rounds import look

NAMES = ("a:1", "b:1", "c:1")
Send = Callable[[], Awaitable[httpx.Response]]


def picture(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (shade, 255 - shade, 7)).save(file, "PNG")
    return file.getvalue()


KILLER = picture(0)
IN_UPLOADS = base64.b64encode(preprocess(KILLER).tobytes())
IN_CALLS = json.dumps(FITTING).encode()
KINDS = {"upload": IN_UPLOADS, "batch": IN_UPLOADS, "pass-through": IN_CALLS}


class Bed:
    """A gateway before three replicas that can die."""

    def __init__(self, http: httpx.AsyncClient, services: Services, wire: Mortal) -> None:
        self.http, self.services, self.wire = http, services, wire

    async def upload(self, shade: int) -> httpx.Response:
        return await self.http.post("/v1/classify", files={"image": ("a", picture(shade))})

    async def call(self, body: bytes) -> httpx.Response:
        headers = {"content-type": "application/json"}
        return await self.http.post("/v1/models/my_model:predict", content=body, headers=headers)

    async def kill_by(self, kind: str) -> int:
        """Send the body that kills; the status of its answer, or of the killing picture of a batch."""
        if kind == "upload":
            return (await self.upload(0)).status_code
        if kind == "pass-through":
            return (await self.call(IN_CALLS)).status_code
        files = [("image", ("a", picture(shade))) for shade in (50, 0, 51)]
        results = (await self.http.post("/v1/classify/batch", files=files)).json()["results"]
        assert [bool(result.get("predictions")) for result in results] == [True, False, True]
        return int(results[1]["problem"]["status"])

    async def dying(self, shade: int = 1) -> tuple[str, "asyncio.Task[httpx.Response]"]:
        """The only request at work, and its replica, which is about to be killed."""
        request = asyncio.create_task(self.upload(shade))
        await until(lambda: sum(self.wire.at_work.values()) == 1)
        return next(address for address, count in self.wire.at_work.items() if count), request

    def metric(self, event: str) -> float:
        """What is counted for an event so far."""
        name, labels = "gateway_quarantine_total", {"event": event}
        return REGISTRY.get_sample_value(name, labels) or 0


Open = Callable[..., Awaitable[Bed]]


@pytest.fixture
async def bed() -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def opened(poison: bytes = b"nothing", *, work_s: float = 0.005, **settings: Any) -> Bed:
            wire = Mortal(poison, *map(FakeReplica, NAMES), work_s=work_s)
            told = {"upstream": ",".join(NAMES), "probe_interval_s": 300, "deadline_s": 4, **settings}
            app = create_app(Settings(**told), wire)
            await stack.enter_async_context(app.router.lifespan_context(app))
            await look(app.state.services)
            inside = httpx.ASGITransport(app, raise_app_exceptions=False)
            http = await stack.enter_async_context(httpx.AsyncClient(transport=inside, base_url="http://gateway"))
            return Bed(http, app.state.services, wire)

        yield opened


# --- a body that kills --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_body_that_kills_costs_one_replica_however_often_it_is_sent(bed: Open, kind: str) -> None:
    gateway = await bed(KINDS[kind])
    refused = gateway.metric("refused")
    assert [await gateway.kill_by(kind) for _ in range(20)] == [503] * 20
    assert gateway.wire.deaths.total() == 1
    assert gateway.metric("refused") == refused + 19
    assert [(await gateway.upload(shade)).status_code for shade in range(1, 10)] == [200] * 9


@pytest.mark.parametrize("kind", KINDS)
async def test_a_body_that_kills_costs_one_replica_if_its_copies_are_sent_at_once(bed: Open, kind: str) -> None:
    gateway = await bed(KINDS[kind])
    assert await asyncio.gather(*(gateway.kill_by(kind) for _ in range(8))) == [503] * 8
    assert gateway.wire.deaths.total() == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_body_that_kills_costs_no_other_request(bed: Open, kind: str) -> None:
    gateway, over = await bed(KINDS[kind]), asyncio.Event()

    async def innocent(shade: int, answers: list[int]) -> None:
        while not over.is_set():
            answers.append((await gateway.upload(shade)).status_code)

    answers: list[list[int]] = [[] for _ in range(8)]
    clients = [asyncio.create_task(innocent(60 + number, answers[number])) for number in range(8)]
    await until(lambda: all(answers))
    assert [await gateway.kill_by(kind) for _ in range(20)] == [503] * 20
    over.set()
    await asyncio.gather(*clients)
    assert {status for each in answers for status in each} == {200}
    assert gateway.wire.deaths.total() == 1


async def test_uploads_never_seen_before_survive_a_pass_through_call_that_kills(bed: Open) -> None:
    gateway = await bed(IN_CALLS, work_s=0.05)
    uploads = [asyncio.create_task(gateway.upload(shade)) for shade in range(1, 10)]
    await until(lambda: gateway.wire.at_work.total() >= 3)
    assert await gateway.kill_by("pass-through") == 503
    assert {(await upload).status_code for upload in uploads} == {200}
    assert gateway.wire.deaths.total() == 1


async def test_the_refusal_says_why_and_for_how_long(bed: Open) -> None:
    gateway = await bed(IN_UPLOADS, deadline_s=2)
    first, again = await gateway.upload(0), await gateway.upload(0)
    for response in first, again:
        assert response.json()["type"] == "/problems/request-quarantined"
        assert 110 < int(response.headers["retry-after"]) <= 120
        assert "model server" in response.json()["detail"]


async def test_a_body_that_kills_a_replica_that_comes_back_is_convicted_on_it(bed: Open) -> None:
    gateway = await bed(IN_UPLOADS)
    convicted = gateway.metric("convicted")
    request = asyncio.create_task(gateway.upload(0))
    await until(lambda: gateway.wire.deaths.total() == 1)
    (address,) = gateway.wire.deaths
    gateway.wire.restart(address)
    await look(gateway.services)
    assert (await request).json()["type"] == "/problems/request-quarantined"
    assert gateway.wire.deaths == {address: 2}
    assert gateway.metric("convicted") == convicted + 1
    assert int((await gateway.upload(0)).headers["retry-after"]) == 600


# --- replicas that die of something else --------------------------------------------------------------------------


async def test_requests_on_a_replica_that_is_killed_are_answered_by_others(bed: Open) -> None:
    gateway = await bed(work_s=0.1)
    requests = [asyncio.create_task(gateway.upload(shade)) for shade in range(1, 7)]
    await until(lambda: min(gateway.wire.at_work[name] for name in NAMES) == 2)
    gateway.wire.kill("a:1")
    assert [(await request).status_code for request in requests] == [200] * 6
    assert gateway.wire.deaths.total() == 1


async def test_a_picture_that_was_answered_before_is_at_once_answered_by_another(bed: Open) -> None:
    gateway = await bed(work_s=0.1)
    await gateway.upload(1)
    address, request = await gateway.dying()
    gateway.wire.kill(address)
    assert (await request).status_code == 200
    assert not gateway.wire.replicas[address].reachable


async def test_a_lone_request_on_a_replica_that_is_restarted_is_answered_by_it(bed: Open) -> None:
    gateway = await bed(work_s=0.1)
    address, request = await gateway.dying()
    gateway.wire.kill(address)
    await until(lambda: len(gateway.services.pool.queue.waiting) == 1)
    assert sum(replica.predictions for replica in gateway.wire.replicas.values()) == 0
    gateway.wire.restart(address)
    await look(gateway.services)
    assert (await request).status_code == 200
    assert gateway.wire.replicas[address].predictions == 1
    assert (await gateway.upload(1)).status_code == 200  # acquitted


async def test_the_same_picture_of_other_clients_waits_while_it_is_suspected_and_is_answered(bed: Open) -> None:
    gateway = await bed(work_s=0.1)
    address, request = await gateway.dying()
    gateway.wire.kill(address)
    await until(lambda: len(gateway.services.pool.queue.waiting) == 1)
    copies = [asyncio.create_task(gateway.upload(1)) for _ in range(3)]
    other = await gateway.upload(2)
    gateway.wire.restart(address)
    await look(gateway.services)
    assert [response.status_code for response in (other, await request, *[await copy for copy in copies])] == [200] * 5


async def test_a_replica_that_breaks_every_connection_costs_no_request_among_others(bed: Open) -> None:
    gateway = await bed()
    gateway.wire.replicas["a:1"].sick = httpx.ReadError("reset")
    requests = [asyncio.create_task(gateway.upload(shade)) for shade in range(1, 40)]
    assert [(await request).status_code for request in requests] == [200] * 39
    assert [(await gateway.upload(shade)).status_code for shade in range(1, 40)] == [200] * 39


async def test_a_lone_request_on_a_replica_that_discovery_removes_is_answered_by_another(bed: Open) -> None:
    gateway = await bed(work_s=0.1)
    address, request = await gateway.dying()
    gateway.wire.kill(address)
    await until(lambda: len(gateway.services.pool.queue.waiting) == 1)
    gateway.services.pool.set_addresses(name for name in NAMES if name != address)
    assert (await request).status_code == 200


async def test_a_lone_request_on_a_replica_that_stays_away_is_refused_before_its_deadline(bed: Open) -> None:
    gateway = await bed(work_s=0.05, deadline_s=0.5)
    address, request = await gateway.dying()
    gateway.wire.kill(address)
    assert (await request).status_code == 503
    assert (await gateway.upload(2)).status_code == 200


async def test_a_suspect_is_tried_again_however_coarse_the_clock_is(bed: Open) -> None:
    gateway = await bed()
    now = gateway.services.clock()  # uvloop's clock stands still for a millisecond, and its timers are rounded
    gateway.services.health._clock = gateway.services.dispatcher._trials._clock = lambda: now
    gateway.wire.replicas["a:1"].faults.append(httpx.ReadError("reset"))
    answers = [await gateway.upload(shade) for shade in range(1, 4)]
    assert [answer.status_code for answer in answers] == [200] * 3


async def test_a_proxy_that_breaks_every_second_connection_costs_no_request(bed: Open) -> None:
    gateway = await bed()
    broken = [0]

    def every_second(request: httpx.Request) -> httpx.Response:
        broken[0] += 1
        if broken[0] % 2:
            raise httpx.ReadError("reset", request=request)
        return httpx.Response(200, json={"predictions": [[0.1, 0.2, 0.6, 0.1]]})

    gateway.wire.replicas["a:1"].sick = every_second
    answers = [(await gateway.upload(shade)).status_code for shade in range(1, 30)]
    assert answers == [200] * 29
