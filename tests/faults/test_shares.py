"""Callers that take as much as they can, beside one that does not. Each has an address of its own in 127.0.0.0/8."""

import asyncio
import contextlib
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.load import answer
from tests import pictures
from tests.faults.gateway import PICTURE, Gateway, answers, everything, running_gateway
from tests.faults.load import steady
from tests.faults.record import record
from tests.faults.replica import Replica, wait_for

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8"),
]

MIB = 1024 * 1024
ANNOUNCED = 32 * MIB
UPLOAD = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
GREEDY = 64
"""Uploads of the greedy caller at once."""
GREEDY_ADDRESS = "127.0.0.2"
OTHERS = 100
"""Uploads of the other caller."""


def half_upload(port: int, address: str, stop: threading.Event) -> int:
    """Send all but 450 bytes, then one at a time; the status of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(address, 0)) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(UPLOAD % (b"/v1/models/my_model:predict", b"application/json", ANNOUNCED))
            connection.sendall(bytes(ANNOUNCED - 450))
            while not stop.wait(1):
                connection.sendall(b"x")
        found = answers(everything(connection))
    return found[0].status if found else 0


@contextlib.contextmanager
def half_uploads(gateway: Gateway, addresses: list[str]) -> Iterator[list[int]]:
    """One from each address; their statuses once the block has ended."""
    stop, statuses = threading.Event(), list[int]()
    with ThreadPoolExecutor(len(addresses)) as threads:
        running = [threads.submit(half_upload, gateway.port, address, stop) for address in addresses]
        try:
            yield statuses
        finally:
            stop.set()
            statuses += [each.result() for each in running]


def wait_until_they_stall(gateway: Gateway) -> None:
    """Until hardly a byte has arrived for two seconds."""
    held, since = 0.0, time.monotonic()

    def stalled() -> bool:
        nonlocal held, since
        if abs((now_held := gateway.metric("gateway_body_bytes")) - held) > MIB:
            held, since = now_held, time.monotonic()
        return time.monotonic() - since > 2

    wait_for(stalled)


@pytest.mark.parametrize("callers", ["same", "different"])
def test_half_uploads_keep_no_other_caller_out_and_are_over_in_time(
    replica: Replica, tmp_path: Path, callers: str
) -> None:
    addresses = [f"127.0.1.{number if callers == 'different' else 1}" for number in range(1, 9)]
    bounds = {"max_bodies_bytes": str(64 * MIB), "body_timeout_s": "4", "queue_wait_s": "5"}
    large = UPLOAD % (b"/v1/classify", b"image/jpeg", 9 * MIB) + PICTURE + bytes(9 * MIB - len(PICTURE))
    with running_gateway(replica.address, tmp_path / "log", **bounds) as gateway:
        with steady(lambda: gateway.port, per_second=20) as before:
            wait_for(lambda: before.count >= 40)
        with steady(lambda: gateway.port, per_second=20) as beside, half_uploads(gateway, addresses) as statuses:
            wait_for(lambda: gateway.metric("gateway_body_bytes") > 30 * MIB)
            wait_until_they_stall(gateway)
            (also_large,) = gateway.say(large)
            took = wait_for(gateway.quiet)
        assert beside.failures == 0, beside.statuses
        assert also_large.status == 200
        assert set(statuses) <= {408, 503, 0}  # 0: reset while it was still sending
        ended = gateway.metric("gateway_shed_total")
        again = gateway.classify()
    assert again == 200
    seen = f"{callers} address: 0 of {beside.count} uploads of another caller failed, {beside.told(before)}"
    record("39b", f"{seen}; {ended:.0f} half uploads were ended or refused early; all were over after {took:.1f} s")


class Greedy:
    """A caller that sends the dearest picture, again and again, many at once."""

    def __init__(self, port: int) -> None:
        self.statuses: Counter[int] = Counter()
        self._port = port
        picture = pictures.encoded(Image.new("P", (6000, 6000)), "GIF")  # 27 KB, 0.2 s of CPU time
        self._upload = UPLOAD % (b"/v1/classify", b"image/gif", len(picture)) + picture

    async def run(self, stop: threading.Event) -> None:
        """Until the test stops it."""
        async with asyncio.TaskGroup() as clients:
            for _ in range(GREEDY):
                clients.create_task(self._client(stop))

    async def _client(self, stop: threading.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(GREEDY_ADDRESS, 0))
                writer.write(self._upload)
                status, _ = await answer(reader)
                writer.close()
                self.statuses[status] += 1
            await asyncio.sleep(0.05)


@contextlib.contextmanager
def greedy(gateway: Gateway) -> Iterator[Greedy]:
    """The greedy caller, in a thread of its own, for as long as the block runs."""
    caller, stop = Greedy(gateway.port), threading.Event()
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, caller.run(stop))
        try:
            yield caller
        finally:
            stop.set()
            running.result(60)


def test_a_caller_that_sends_the_dearest_pictures_fails_no_request_of_another(replica: Replica, tmp_path: Path) -> None:
    with running_gateway(replica.address, tmp_path / "log", queue_wait_s="5") as gateway:
        with steady(lambda: gateway.port, per_second=20) as before:
            wait_for(lambda: before.count >= OTHERS / 2)
        with greedy(gateway) as caller:
            wait_for(lambda: caller.statuses[503] > 0)
            with steady(lambda: gateway.port, per_second=20) as beside:
                wait_for(lambda: beside.count >= OTHERS)
        assert beside.failures == 0, beside.statuses
        assert caller.statuses[503] > 0
        assert gateway.metric('gateway_shed_total{by="requests"}') == 0
        wait_for(gateway.quiet)
    refused = f"{caller.statuses[503]} of its {caller.statuses.total()} uploads got 503"
    record("95b", f"{GREEDY} at once: {refused}; the other caller: 0 of {beside.count} failed, {beside.told(before)}")
