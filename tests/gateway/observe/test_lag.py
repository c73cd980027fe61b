"""The lag of the event loop, as the health rules use it and as the metrics show it."""

import asyncio
import contextlib
import time

import httpx
import pytest

from gateway.observe.lag import PERIOD_S, LagProbe


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_longest_lag_since_a_moment_is_reported() -> None:
    clock = Clock()
    probe = LagProbe(clock)
    due = clock.now + PERIOD_S
    clock.now = due + 0.5
    probe.woke(clock.now)
    assert probe.latest == pytest.approx(0.5)
    probe._due = clock.now + PERIOD_S
    assert probe.most(since=100) == pytest.approx(0.5)
    assert probe.most(since=clock.now + 0.01) == 0


def test_a_standstill_counts_before_the_probe_itself_has_woken() -> None:
    clock = Clock()
    probe = LagProbe(clock)
    clock.now += 3
    assert probe.most(since=102) == pytest.approx(3 - PERIOD_S)


async def test_a_blocked_loop_is_seen() -> None:
    loop = asyncio.get_running_loop()
    probe = LagProbe(loop.time)
    running = asyncio.create_task(probe.run())
    started = loop.time()
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251  the fault itself
    await asyncio.sleep(0)
    assert probe.most(started) > 0.2
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_the_lag_is_a_metric(client: httpx.AsyncClient) -> None:
    assert "gateway_loop_lag_seconds_count" in (await client.get("/metrics")).text
