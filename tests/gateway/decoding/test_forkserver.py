"""The fork server: its start, its death and its end."""

import asyncio
import json
from functools import partial

import pytest
import structlog

from gateway.decoding.processes import Processes
from gateway.errors import DecoderLostError
from gateway.observe import logs
from tests import pictures
from tests.children import children
from tests.gateway.decoding.conftest import MIB, OPEN, StartDecoders, until
from tests.gateway.decoding.test_pool import TINY, gone, stopped_in_a_job, the_worker, workers


async def test_the_fork_server_is_replaced_when_it_dies(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    worker = await the_worker(decoders)
    (forkserver,) = children()
    forkserver.kill()
    await until(lambda: not worker.is_running())
    assert (await decoders.decode(pictures.png(TINY))).width == TINY[0]
    assert children() != [forkserver]


async def test_the_fork_servers_start_and_death_are_logged_without_the_id_of_a_request(
    start_decoders: StartDecoders, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even where a request caused the new start."""
    decoders = await start_decoders()
    logs.configure("json", "debug")
    with structlog.contextvars.bound_contextvars(request_id="abc-1"):
        for _ in range(2):
            (forkserver,), forked = children(), workers()
            forkserver.kill()
            await until(lambda: decoders._processes._control is None)
            await until(partial(gone, forked))
            await decoders.decode(pictures.png(TINY))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["fork server died", "fork server started"] * 2
    assert not any("request_id" in line for line in lines)


async def test_a_fork_server_that_is_just_starting_when_its_caller_leaves_is_not_left_behind() -> None:
    for turns in range(20):
        processes = Processes(OPEN, timeout_s=60)
        job = asyncio.create_task(processes.fork(share_bytes=MIB))
        for _ in range(turns):
            await asyncio.sleep(0)
        job.cancel()
        await asyncio.wait([job])
        await processes.__aexit__()
        assert children() == []


async def test_nothing_is_left_when_the_gateway_closes(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    worker, job = await stopped_in_a_job(decoders)
    await decoders._processes.__aexit__()
    with pytest.raises(DecoderLostError):
        await job
    assert not worker.is_running()
    assert children() == []
