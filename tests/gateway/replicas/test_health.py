"""What the probes find, and what the pool is told."""

from pathlib import Path

import pytest

from gateway.replicas.pool import Pool
from gateway.services import Services
from tests.fakes import FakeModel, FakeReplica
from tests.gateway.replicas.conftest import Run, predict


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


async def test_the_newest_acceptable_version_serves_and_a_refused_newer_one_is_named(run: Run) -> None:
    models = {1: FakeModel(), 2: FakeModel(), 3: FakeModel(fingerprint="sha256:other")}
    services = await run(FakeReplica("a:1", versions=models))
    assert (await predict(services)).model.version == "2"
    assert "version 3 is refused: its training preprocessed pictures differently" in reason(services.pool)


async def test_a_model_with_a_label_too_few_is_never_served(run: Run) -> None:
    services = await run(FakeReplica("a:1", versions={1: FakeModel(labels=("a", "b", "c"))}))
    assert states(services) == {"a:1": "not ready"}
    assert reason(services.pool) == "version 1 is refused: it has 3 labels for 4 outputs"


async def test_an_empty_line_among_the_labels_of_a_foreign_model_keeps_its_place(run: Run, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\n\n dog \neel\n\n", encoding="utf-8")
    services = await run(FakeReplica("a:1", versions={1: FakeModel(describes=False)}), labels_file=labels)
    assert (await predict(services)).model.labels == ("cat", "", "dog", "eel")


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
