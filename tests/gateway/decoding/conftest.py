"""Decode processes as a gateway has them, with limits of the test's choice."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from gateway.decoding.pool import Decoders
from gateway.decoding.processes import Processes
from gateway.decoding.protocol import Limits
from gateway.imaging import WEB_FORMATS

MIB = 1024 * 1024
OPEN = Limits(WEB_FORMATS, 256 * MIB, 10 * MIB, cpu_s=20)

StartDecoders = Callable[..., Awaitable[Decoders]]


@pytest.fixture
async def start_decoders() -> AsyncIterator[StartDecoders]:
    """Called with settings: decoders whose fork server runs until the test ends."""
    async with AsyncExitStack() as stack:

        async def started(limits: Limits = OPEN, *, timeout_s: float = 60, **settings: Any) -> Decoders:
            processes = await stack.enter_async_context(Processes(limits, timeout_s=timeout_s))
            chosen = {"count": 1, "budget_bytes": 256 * MIB, "wait_s": 60} | settings
            decoders = Decoders(processes, **chosen)
            stack.callback(decoders.close)
            return decoders

        yield started


async def until(condition: Callable[[], bool], *, within_s: float = 20, pause_s: float = 0.005) -> None:
    """Poll the condition at every turn of the event loop until it is true."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        await asyncio.sleep(pause_s)
