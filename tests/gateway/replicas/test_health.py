"""What the probes find, and what the pool is told."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from gateway.replicas.pool import Pool
from gateway.services import Services, running
from gateway.settings import Settings
from tests.fakes import FakeModel, FakeReplica, answer, network
from tests.gateway.replicas.conftest import Run, predict, until


def states(services: Services) -> dict[str, str]:
    return {replica.address: replica.state(services.clock()) for replica in services.pool.replicas}


def reason(pool: Pool) -> str:
    return pool.replicas[0].reason


async def test_a_status_of_200_without_an_available_version_is_not_ready(run: Run) -> None:
    services = await run(FakeReplica("a:1", versions={}, states={1: "LOADING"}))
    assert states(services) == {"a:1": "not ready"}
    assert reason(services.pool) == "no version of my_model is AVAILABLE"


async def test_an_unreachable_replica_is_not_ready_and_comes_back_by_itself(run: Run) -> None:
    a, b = FakeReplica("a:1", reachable=False), FakeReplica("b:1")
    services = await run(a, b)
    assert states(services) == {"a:1": "not ready", "b:1": "available"}
    a.reachable = True
    await services.health.look()
    assert states(services) == {"a:1": "available", "b:1": "available"}


async def test_a_replica_that_went_away_is_back_with_its_second_good_probe(run: Run) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    services = await run(a, b)
    a.reachable = False
    for _ in range(2):
        await services.health.look()
    assert states(services) == {"a:1": "not ready", "b:1": "available"}
    a.reachable = True
    await services.health.look()
    assert states(services) == {"a:1": "not ready", "b:1": "available"}
    await services.health.look()
    assert states(services) == {"a:1": "available", "b:1": "available"}


@pytest.mark.parametrize(
    "nonsense", [[[0.5, 0.5]], [[0.1, 0.2, 0.6, 2.0]], [[0.1, 0.1, 0.1, 0.1]], [], "no numbers", [[None] * 4]]
)
async def test_a_replica_that_answers_nonsense_for_the_golden_picture_is_not_ready(run: Run, nonsense: object) -> None:
    a = FakeReplica("a:1", sick=answer(200, {"predictions": nonsense}))
    services = await run(a)
    assert states(services) == {"a:1": "not ready"}
    assert reason(services.pool).startswith("version 1 fails here: ")


async def test_a_new_version_that_fails_here_leaves_the_old_one_serving(run: Run) -> None:
    a = FakeReplica("a:1")
    services = await run(a)
    a.versions[2] = FakeModel()
    a.sick = answer(200, {"predictions": []})
    await services.health.look()
    assert list(services.pool.replicas[0].models) == ["1"]
    assert reason(services.pool).startswith("version 2 fails here: ")


async def test_the_golden_picture_is_asked_for_once_a_version_and_replica(run: Run) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    services = await run(a, b)
    for _ in range(3):
        await services.health.look()
    assert (a.golden, b.golden) == (1, 1)
    a.versions[2] = FakeModel()
    await services.health.look()
    assert (a.golden, b.golden) == (2, 1)


class Hanging(httpx.AsyncBaseTransport):
    """Replicas whose status does not come once they hang."""

    def __init__(self, *replicas: FakeReplica) -> None:
        self.inner = network(*replicas)
        self.hanging: set[str] = set()
        self.asked = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.netloc.decode() in self.hanging:
            self.asked.set()
            await asyncio.Event().wait()
        return await self.inner.handle_async_request(request)


async def test_replicas_that_do_not_answer_the_probe_are_ejected_but_never_all_of_them() -> None:
    wire = Hanging(FakeReplica("a:1"), FakeReplica("b:1"))
    async with running(Settings(upstream="a:1,b:1", probe_timeout_s=0.01, probe_interval_s=300), wire) as services:
        await services.health.look()
        wire.hanging = {"a:1", "b:1"}
        for _ in range(4):
            await services.health.look()
        assert sorted(states(services).values()) == ["available", "ejected"]


async def test_one_that_hangs_does_not_keep_the_others_from_being_ready() -> None:
    wire = Hanging(FakeReplica("a:1"), FakeReplica("b:1"))
    wire.hanging = {"a:1"}
    async with running(Settings(upstream="a:1,b:1", probe_timeout_s=30), wire) as services:
        await until(lambda: states(services).get("b:1") == "available")
        assert states(services)["a:1"] == "not ready"


async def test_what_the_probe_misses_while_the_gateway_itself_stands_still_is_not_held_against_anybody() -> None:
    wire = Hanging(FakeReplica("a:1"), FakeReplica("b:1"))
    settings = Settings(upstream="a:1,b:1", probe_timeout_s=0.3, probe_interval_s=300)
    async with running(settings, wire) as services:
        await services.health.look()
        wire.hanging = {"a:1"}
        for _ in range(2):
            wire.asked.clear()
            look = asyncio.create_task(services.health.look())
            await wire.asked.wait()
            time.sleep(0.5)  # noqa: ASYNC251  the stall itself
            await look
        assert states(services) == {"a:1": "available", "b:1": "available"}
        assert services.pool.replicas[0].missed == 0


async def test_the_newest_acceptable_version_serves_and_a_refused_newer_one_is_named(run: Run) -> None:
    models = {1: FakeModel(), 2: FakeModel(), 3: FakeModel(fingerprint="sha256:other")}
    services = await run(FakeReplica("a:1", versions=models))
    assert (await predict(services)).model.version == "2"
    assert "version 3 is refused: its training preprocessed pictures differently" in reason(services.pool)


async def test_a_model_with_a_label_too_few_is_never_served(run: Run) -> None:
    services = await run(FakeReplica("a:1", versions={1: FakeModel(labels=("a", "b", "c"))}))
    assert states(services) == {"a:1": "not ready"}
    assert reason(services.pool) == "version 1 is refused: it has 3 labels for 4 outputs"


async def test_a_foreign_model_gets_the_labels_of_the_label_file(run: Run, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\ufeffcat\nemu\n dog \neel\n\n", encoding="utf-8")
    services = await run(FakeReplica("a:1", versions={1: FakeModel(describes=False)}), labels_file=labels)
    assert (await predict(services)).model.labels == ("cat", "emu", "dog", "eel")


async def test_a_version_is_asked_once_however_many_replicas_hold_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    original = FakeModel.description

    def counted(self: FakeModel) -> str:
        asked.append("describe")
        return original(self)

    monkeypatch.setattr(FakeModel, "description", counted)
    a, b = FakeReplica("a:1"), FakeReplica("b:1", reachable=False)
    services = await run(a, b)
    b.reachable = True
    await services.health.look()
    await services.health.look()
    assert states(services) == {"a:1": "available", "b:1": "available"}
    assert asked == ["describe"]


async def test_a_number_that_comes_back_with_another_model_is_asked_anew(run: Run) -> None:
    a = FakeReplica("a:1", versions={1: FakeModel()})
    services = await run(a)
    a.versions = {}
    await services.health.look()
    a.versions = {1: FakeModel(labels=("w", "x", "y", "z"))}
    await services.health.look()
    assert (await predict(services)).model.labels == ("w", "x", "y", "z")
