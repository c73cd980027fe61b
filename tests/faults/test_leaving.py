"""Clients that leave: the work for them ends, and nothing is left behind."""

import asyncio
import contextlib
import os
import random
from pathlib import Path

import pytest

from tests.faults.gateway import PICTURE, Gateway, running_gateway
from tests.faults.load import UPLOAD
from tests.faults.record import record
from tests.faults.replica import Replica, wait_for, working_for

pytestmark = pytest.mark.faults

CANCELLATIONS = int(os.environ.get("FAULTS_CANCELLATIONS", "10000"))
SEED = 8
WORK_S = 4.0
"""Of a replica: less than the time limit of an attempt, more than a busy machine needs to notice who has left."""


def test_a_client_that_leaves_in_mid_upload_frees_its_place_and_is_one_line(gateway: Gateway) -> None:
    before = len(gateway.with_status(499))
    with gateway.connect() as connection:
        connection.sendall(UPLOAD[: len(UPLOAD) // 2])
        wait_for(lambda: gateway.metric("gateway_body_bytes") > 0)
    freed_s = wait_for(gateway.quiet)
    wait_for(lambda: len(gateway.with_status(499)) > before)
    (line,) = gateway.with_status(499)[before:]
    assert line["route"] == "/v1/classify"
    assert freed_s < 10
    record("36", f"place and memory free after {freed_s:.2f} s; one line, status 499")


def test_a_client_that_leaves_while_a_replica_works_ends_its_request(gateway: Gateway, replica: Replica) -> None:
    """The replica works on, as TensorFlow Serving does, so its slot stays taken until it answers."""
    before = len(gateway.with_status(499))
    with working_for(replica, WORK_S), gateway.connect() as connection:
        connection.sendall(UPLOAD)
        wait_for(lambda: replica.at_work == 1)
        connection.close()
        ended_s = wait_for(lambda: len(gateway.with_status(499)) == before + 1)
        assert gateway.quiet()
        assert ended_s < WORK_S - 1
        wait_for(lambda: replica.at_work == 0)
    with gateway.client() as client:
        wait_for(lambda: client.get("/v1/models").json()["replicas"][0]["in_flight"] == 0)
    record("37", f"the request ended after {ended_s:.2f} s, the replica's slot was released with its answer")


def test_a_large_upload_whose_client_leaves_is_noticed_as_well(gateway: Gateway, replica: Replica) -> None:
    before = len(gateway.with_status(499))
    padded = PICTURE + bytes(2**20)
    with working_for(replica, WORK_S), gateway.connect() as connection:
        head = b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % len(padded) + padded)
        wait_for(lambda: replica.at_work == 1)
        connection.close()
        assert wait_for(lambda: len(gateway.with_status(499)) == before + 1) < WORK_S - 1
        wait_for(lambda: replica.at_work == 0)


def test_thousands_of_clients_that_leave_at_any_moment_leave_nothing(replica: Replica, tmp_path: Path) -> None:
    with running_gateway(replica.address, tmp_path / "log") as gateway:
        with working_for(replica, 0.02):
            asyncio.run(leave(gateway.port, CANCELLATIONS // 10))
        before = at_rest(gateway, replica)
        with working_for(replica, 0.02):
            asyncio.run(leave(gateway.port, CANCELLATIONS))
        after = at_rest(gateway, replica)
        grown = [now - then for now, then in zip(after, before, strict=True)]
        assert max(grown) <= 4, f"files, threads, processes, tasks: {before} then {after}"
        assert gateway.classify() == 200
        noted = len(gateway.with_status(499))
        assert noted > CANCELLATIONS // 10
        record("37", f"{CANCELLATIONS:,} random cancellations ({noted:,} within a request): nothing remains")


def at_rest(gateway: Gateway, replica: Replica) -> tuple[int, int, int, int]:
    """Files, threads, processes and tasks of the gateway, once it holds nothing for a request."""
    wait_for(gateway.quiet)
    wait_for(lambda: replica.at_work == 0)
    wait_for(lambda: gateway.metric("gateway_connections") <= 2)
    process = gateway.process
    processes = len(process.children(recursive=True))
    return gateway.files(), process.num_threads(), processes, int(gateway.metric("gateway_tasks"))


async def leave(port: int, count: int) -> None:
    """Uploads that break off after a part of the message, or while the answer is being made."""
    chance = random.Random(SEED)
    places = asyncio.Semaphore(32)

    async def one() -> None:
        sent = chance.choice([chance.randrange(1, len(UPLOAD)), len(UPLOAD), len(UPLOAD)])
        pause_s = chance.choice([0, 0, chance.uniform(0, 0.04)])
        async with places:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(UPLOAD[:sent])
                await asyncio.sleep(pause_s)
                writer.transport.abort() if chance.random() < 0.5 else writer.close()

    await asyncio.gather(*(one() for _ in range(count)))
