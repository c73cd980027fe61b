"""The test bed itself: replicas fail as the test demands, and the harness detects wrong answers and invalid runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.failures import ReplicaError, ReplicaFailedError
from gateway.imaging import Pixels, fingerprint
from gateway.tfserving import TFServing, VersionStatus
from gateway.tfserving.contract import ServedModel, Terms, accept
from gateway.tfserving.grpc import GrpcClient
from gateway.tfserving.rest import RestClient
from tests.chaos import report
from tests.chaos.load import Outcome, Outcomes, Upload, judged
from tests.chaos.replicas import Replica, running
from tests.chaos.report import Report, part_of
from tests.chaos.run import Chaos, Run
from tests.chaos.simulator import faults, model
from tests.chaos.wire import Reply

PIXELS: Pixels = np.zeros((224, 224, 3), np.uint8)
HARMLESS = {"reset on reuse", "two replies"}
"""Faults that leave the answer to a first call intact."""
UPLOAD = Upload(b"", [model.name_of(7)], [7])


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with running(1, versions={"3": "AVAILABLE", "2": "END"}, service_s=0) as (replica,):
        yield replica


async def accepted(client: TFServing, replica: Replica) -> ServedModel:
    """Its model, as the gateway accepts it."""
    signatures = await client.signatures(replica.address, "my_model", 3)
    described = await client.describe(replica.address, "my_model", 3)
    return accept("3", signatures, described, Terms("my_model", fingerprint()))


async def test_a_simulated_replica_passes_for_a_model_server(replica: Replica) -> None:
    async with RestClient() as client:
        assert await client.status(replica.address, "my_model") == {
            3: VersionStatus("AVAILABLE"),
            2: VersionStatus("END"),
        }
        served = await accepted(client, replica)
        row = (await client.predict(replica.address, served, PIXELS)).probabilities
    assert served.labels[int(row.argmax())] == model.name_of(model.digest(PIXELS.tobytes()))
    assert float(row.max()) == pytest.approx(model.confidence(3))
    assert (await replica.seen()).calls == {model.digest(PIXELS.tobytes()): 1}


async def test_every_fault_is_one_to_the_gateway_and_is_over_when_the_replica_heals(replica: Replica) -> None:
    async with RestClient() as client:
        served = await accepted(client, replica)
    for fault in sorted({*faults.FAULTS, *faults.EARLY} - HARMLESS):
        await replica.become(fault=fault)
        async with RestClient() as client:
            with suppress(ReplicaError, TimeoutError):
                async with asyncio.timeout(0.1 if fault in ("hang", "drip") else 30):
                    await client.predict(replica.address, served, PIXELS)
                pytest.fail(f"the call succeeded in spite of the fault {fault!r}")
        await replica.heal()
        async with RestClient() as client:
            await client.predict(replica.address, served, PIXELS)


async def test_it_answers_over_grpc_what_it_answers_over_rest() -> None:
    async with (
        running(1, grpc=True, versions={"3": "AVAILABLE"}) as (replica,),
        RestClient() as rest,
        GrpcClient(rest, usual_port=replica.behaviour["grpc_port"]) as grpc,
    ):
        assert await grpc.status(replica.address, "my_model") == {3: VersionStatus("AVAILABLE")}
        served = await accepted(grpc, replica)
        assert served == await accepted(rest, replica)
        rows = [(await client.predict(replica.address, served, PIXELS)).probabilities for client in (rest, grpc)]
        np.testing.assert_allclose(rows[0], rows[1])
        for fault in "status 500", "garbage", "nan", "narrow", "no row", "wrong version":
            await replica.become(fault=fault)
            with pytest.raises(ReplicaError):
                await grpc.predict(replica.address, served, PIXELS)


async def test_a_replica_fails_one_version_and_serves_the_other() -> None:
    async with (
        running(1, grpc=True, versions={"3": "AVAILABLE", "4": "AVAILABLE", "5": "END"}, service_s=0) as (replica,),
        RestClient() as rest,
        GrpcClient(rest, usual_port=replica.behaviour["grpc_port"]) as grpc,
    ):
        served = await accepted(rest, replica)
        await replica.become(
            load_errors={"5": "no such file"}, descriptions={"4": "other"}, version_faults={"4": "status 500"}
        )
        for client in rest, grpc:
            states = await client.status(replica.address, "my_model")
            assert states[4] == VersionStatus("AVAILABLE")
            assert states[5] == VersionStatus("END", "no such file")
            with pytest.raises(ReplicaError, match="describe"):
                await client.describe(replica.address, "my_model", 4)
            with pytest.raises(ReplicaFailedError):
                await client.predict(replica.address, replace(served, version="4"), PIXELS)
            await client.predict(replica.address, served, PIXELS)


def reply(version: int, name: str, confidence: float, index: int) -> Reply:
    best = {"label": name, "confidence": confidence, "index": index}
    return Reply(200, {}, json.dumps({"predictions": [best], "model": {"version": str(version)}}).encode())


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (reply(1, "species 07", 0.51, 6), ""),
        (reply(1, "species 08", 0.51, 7), "species 08 instead of species 07"),
        (reply(1, "species 07", 0.52, 6), "confidence 0.52 is not version 1's"),
        (reply(1, "species 07", 0.51, 5), "index 5 is not version 1's"),
    ],
)
def test_an_answer_of_another_picture_or_version_is_noticed(answer: Reply, wrong: str) -> None:
    assert judged(UPLOAD, answer, phase="", sent=0, seconds=0).wrong == wrong


def test_a_batch_that_mixes_versions_is_noticed() -> None:
    parts = [json.loads(reply(version, "species 07", 0.5 + version / 100, 7 - version).body) for version in (1, 2)]
    upload = Upload(b"", ["species 07"] * 2, [7, 7], batch=True)
    for answers, wrong in (parts[:1] * 2, ""), (parts, "versions mixed in one batch"):
        answer = Reply(200, {}, json.dumps({"results": answers}).encode())
        assert judged(upload, answer, phase="", sent=0, seconds=0).wrong == wrong


def test_a_broken_connection_is_a_failed_request() -> None:
    assert Outcomes([judged(UPLOAD, None, phase="", sent=0, seconds=0)]).failed


async def test_a_run_in_which_the_harness_was_late_is_repeated_and_never_passes(chaos: Chaos) -> None:
    runs = []

    async def late(run: Run) -> None:
        runs.append(run)
        run.lags_s.append(0.051)

    with pytest.raises(pytest.skip.Exception, match="no valid run of scenario x"):
        await chaos.valid_run("x", late)
    assert len(runs) == len(chaos.report.invalid) == 3


async def test_a_failure_counts_in_a_valid_run_only(chaos: Chaos) -> None:
    lags_s = [0.051, 0.049]

    async def failing(run: Run) -> None:
        run.lags_s.append(lags_s.pop(0))
        raise AssertionError("a request failed")

    with pytest.raises(AssertionError, match="a request failed"):
        await chaos.valid_run("x", failing)
    assert not lags_s


def test_the_report_shows_counts_and_the_ratio_to_the_undisturbed_part(tmp_path: Path) -> None:
    calm = Outcomes([Outcome("calm", 0, 0.010, 200)])
    rough = Outcomes([Outcome("rough", 0, 0.025, 200, wrong="other"), Outcome("rough", 0, 0.005, 503)])
    table = Report([part_of("x", "rough", rough, undisturbed=calm)]).table()
    assert "| x | rough | 2 | 1 | 1 | 25 ms | 25 ms | 2.50 |  |" in table
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results: made by `make chaos` -->\nold\n<!-- end of results -->\nafter\n")
    report.write(page, table)
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("<!-- end of results -->\nafter\n")
    assert "old" not in page.read_text()
