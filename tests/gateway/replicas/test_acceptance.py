"""Which versions serve, which are refused, and why; a refused version costs the others nothing."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from gateway.replicas import acceptance
from gateway.services import Services, running
from gateway.settings import Settings
from tests.fakes import FakeModel, FakeReplica, answer, is_golden, network
from tests.gateway.replicas.conftest import Run, predict, reason, states, until
from tests.gateway.replicas.pools import MODELS
from tests.rounds import look


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
    await look(services)
    assert list(services.pool.replicas[0].models) == ["1"]
    assert reason(services.pool).startswith("version 2 fails here: ")


async def test_the_golden_picture_is_asked_for_once_a_version_and_replica(run: Run) -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1")
    services = await run(a, b)
    for _ in range(3):
        await look(services)
    assert (a.golden, b.golden) == (1, 1)
    a.versions[2] = FakeModel()
    await look(services)
    assert (a.golden, b.golden) == (2, 1)


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
    await look(services)
    await look(services)
    assert states(services) == {"a:1": "available", "b:1": "available"}
    assert asked == ["describe"]


async def test_a_number_that_comes_back_with_another_model_is_asked_anew(run: Run) -> None:
    a = FakeReplica("a:1", versions={1: FakeModel()})
    services = await run(a)
    a.versions = {}
    await look(services)
    a.versions = {1: FakeModel(labels=("w", "x", "y", "z"))}
    await look(services)
    assert (await predict(services)).model.labels == ("w", "x", "y", "z")


OTHER = FakeModel(labels=("w", "x", "y", "z"))


async def test_a_number_whose_last_model_has_ended_is_asked_anew(run: Run) -> None:
    """TensorFlow Serving lists an unloaded version as END for as long as it runs."""
    a = FakeReplica("a:1", versions={1: FakeModel(), 2: FakeModel()})
    services = await run(a)
    del a.versions[2]
    a.states = {2: "END"}
    await look(services)
    a.versions[2], a.states = OTHER, {}
    await look(services)
    assert (await predict(services)).model.labels == OTHER.labels


async def test_a_number_that_comes_back_after_a_restart_is_asked_anew(run: Run) -> None:
    a = FakeReplica("a:1")
    services = await run(a)
    a.reachable = False
    await looks(services, 2)
    a.reachable, a.versions = True, {1: OTHER}
    await look(services)
    assert (await predict(services)).model.labels == OTHER.labels


async def test_a_refused_number_that_comes_back_mended_serves(run: Run) -> None:
    a = FakeReplica("a:1", versions={1: FakeModel(fingerprint="sha256:other")})
    services = await run(a)
    assert services.pool.replicas[0].refused[1].kind == "contract"
    a.reachable = False
    await looks(services, 2)
    assert services.pool.replicas[0].refused == {}
    a.reachable, a.versions = True, {1: FakeModel()}
    await looks(services, 2)
    assert (await predict(services)).model.version == "1"


async def test_a_number_is_asked_anew_however_seldom_the_addresses_are_looked_up(run: Run) -> None:
    a = FakeReplica("a:1", versions={1: FakeModel(), 2: FakeModel()})
    services = await run(a)
    (replica,) = services.pool.replicas
    del a.versions[2]
    await services.health.probe(replica)
    a.versions[2] = OTHER
    await services.health.probe(replica)
    assert (await predict(services)).model.labels == OTHER.labels


class SlowMetadata(httpx.AsyncBaseTransport):
    """Replicas of which one does not show the signatures of version 2 until it is let go."""

    def __init__(self, slow: str, *replicas: FakeReplica) -> None:
        self.slow = slow
        self.inner = network(*replicas)
        self.go = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        response = await self.inner.handle_async_request(request)
        if url.netloc.decode() == self.slow and url.path.endswith("/versions/2/metadata"):
            await self.go.wait()
        return response


async def test_a_replica_that_was_removed_does_not_decide_what_a_version_is() -> None:
    a, b = FakeReplica("a:1"), FakeReplica("b:1", versions={2: FakeModel()})
    wire = SlowMetadata("b:1", a, b)
    settings = Settings(upstream="a:1,b:1", probe_timeout_s=0.05, probe_interval_s=300)
    async with running(settings, wire) as services:
        await look(services)
        services.pool.set_addresses(["a:1"])
        wire.go.set()
        await until(lambda: b.golden == 1)
        a.versions[2] = OTHER
        await services.health.probe(services.pool.replicas[0])
        assert (await predict(services)).model.labels == OTHER.labels


class Odd(FakeModel):
    """Its signature `describe` answers another document than ours."""

    def description(self) -> str:
        return json.dumps({"labels": ["x"]})


class Shapeless(FakeModel):
    """Its metadata holds a list where an object belongs."""

    def signatures(self) -> dict[str, Any]:
        listed = super().signatures()
        listed["serving_default"]["inputs"][self.float_input]["tensor_shape"] = []
        return listed


async def test_a_version_with_odd_metadata_is_refused_and_costs_the_old_one_nothing(run: Run) -> None:
    services = await run(FakeReplica("a:1", versions={1: FakeModel(), 2: Shapeless()}))
    assert reason(services.pool) == "version 2 fails here: the metadata is not as TensorFlow Serving writes it"
    assert (await predict(services)).model.version == "1"


class ColdVersion(httpx.AsyncBaseTransport):
    """Version 2 does not answer for the golden picture until it is warm."""

    def __init__(self, *replicas: FakeReplica) -> None:
        self.inner = network(*replicas)
        self.warm = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        if "/versions/2" in request.url.path and is_golden(body):
            await self.warm.wait()
        return await self.inner.handle_async_request(request)


def four() -> list[FakeReplica]:
    return [FakeReplica(f"{name}:1") for name in "abcd"]


async def looks(services: Services, count: int) -> None:
    for _ in range(count):
        await look(services)


async def test_a_new_version_that_describes_itself_otherwise_is_refused_and_costs_the_old_one_nothing(run: Run) -> None:
    replicas = four()
    services = await run(*replicas)
    for replica in replicas:
        replica.versions[2] = Odd()
    await looks(services, 4)
    assert set(states(services).values()) == {"available"}
    assert {replica.times_ejected for replica in services.pool.replicas} == {0}
    assert reason(services.pool) == (
        "version 2 fails here: describe answers with another document than this gateway knows"
    )
    assert (await predict(services)).model.version == "1"


async def test_a_replica_that_restarts_beside_a_bad_new_version_is_ready_with_the_old_one(run: Run) -> None:
    replicas = four()
    services = await run(*replicas)
    for replica in replicas:
        replica.versions[2] = Odd()
    replicas[0].reachable = False
    await looks(services, 2)
    assert states(services)["a:1"] == "not ready"
    replicas[0].reachable = True
    await looks(services, 2)
    assert states(services)["a:1"] == "available"
    assert list(services.pool.replicas[0].models) == ["1"]


async def test_a_cold_new_version_holds_up_neither_the_probes_nor_the_old_one_and_serves_once_it_is_warm() -> None:
    replicas = four()
    wire = ColdVersion(*replicas)
    settings = Settings(upstream=",".join(r.address for r in replicas), probe_timeout_s=0.05, probe_interval_s=300)
    async with running(settings, wire) as services:
        await look(services)
        for replica in replicas:
            replica.versions[2] = FakeModel()
        await looks(services, 4)
        assert set(states(services).values()) == {"available"}
        assert reason(services.pool) == "version 2 is still being examined"
        assert (await predict(services)).model.version == "1"
        wire.warm.set()
        await until_looks(services, lambda: (services.pool.model or MODELS["1"]).version == "2")


async def until_looks(services: Services, claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not claim():
            await look(services)


async def test_a_new_version_that_takes_too_long_is_refused_with_that_reason() -> None:
    replicas = four()
    wire = ColdVersion(*replicas)
    settings = Settings(
        upstream=",".join(r.address for r in replicas),
        attempt_timeout_s=0.05,
        probe_interval_s=300,
    )
    async with running(settings, wire) as services:
        await look(services)
        for replica in replicas:
            replica.versions[2] = FakeModel()
        await looks(services, 3)
        assert set(states(services).values()) == {"available"}
        assert reason(services.pool) == "version 2 fails here: no answer for the golden picture in 0.05 s"


async def test_a_version_that_keeps_failing_is_examined_ever_more_rarely(run: Run) -> None:
    a = FakeReplica("a:1")
    services = await run(a)
    a.versions[2] = FakeModel()
    a.sick = answer(500, {"error": "internal"})
    golden = a.golden
    await looks(services, 20)
    assert a.golden == golden + 1  # the next one is due after a second


async def test_a_version_that_could_not_be_loaded_is_named_with_the_replicas_reason(run: Run) -> None:
    a = FakeReplica("a:1", states={2: "END"}, errors={2: "No such file: variables.index"})
    services = await run(a)
    assert states(services) == {"a:1": "available"}
    assert reason(services.pool) == "version 2 could not be loaded: No such file: variables.index"
    assert services.pool.replicas[0].refused[2].kind == "load"


async def test_a_version_that_could_not_be_loaded_is_logged_once_on_each_replica(run: Run) -> None:
    a, b = (FakeReplica(address, states={2: "END"}, errors={2: "No such file"}) for address in ("a:1", "b:1"))
    with capture_logs() as lines:
        services = await run(a, b)
        await looks(services, 3)
    failed = [(line["replica"], line["version"], line["reason"]) for line in lines if "fails" in line["event"]]
    assert sorted(failed) == [
        ("a:1", 2, "version 2 could not be loaded: No such file"),
        ("b:1", 2, "version 2 could not be loaded: No such file"),
    ]


async def test_a_version_that_answers_again_serves_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance, "FIRST_PAUSE_S", 0)
    a = FakeReplica("a:1")
    services = await run(a)
    a.versions[2] = FakeModel()
    a.sick = answer(500, {"error": "internal"})
    await looks(services, 2)
    a.sick = None
    await looks(services, 2)
    assert (await predict(services)).model.version == "2"
    assert reason(services.pool) == ""
