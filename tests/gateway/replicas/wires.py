"""The wire to replicas some of whose answers wait until a test lets them go."""

import asyncio
from collections import Counter

import httpx

from tests.fakes import FakeReplica, is_golden, network


class Slow(httpx.AsyncBaseTransport):
    """Replicas whose predict calls wait until they are let go."""

    def __init__(self, *replicas: FakeReplica) -> None:
        self.inner = network(*replicas)
        self.go = asyncio.Event()
        self.waiting = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        if b'"b64"' in body and not is_golden(body):
            self.waiting.set()
            await self.go.wait()
        return await self.inner.handle_async_request(request)


class SlowFirst(httpx.AsyncBaseTransport):
    """One replica of several does not answer until it is let go."""

    def __init__(self, slow: str, *replicas: FakeReplica) -> None:
        self.slow = slow
        self.inner = network(*replicas)
        self.hanging = False
        self.go = asyncio.Event()
        self.waiting = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        if self.hanging and request.url.netloc.decode() == self.slow and b'"b64"' in body and not is_golden(body):
            self.waiting.set()
            await self.go.wait()
        return await self.inner.handle_async_request(request)


class Gate(httpx.AsyncBaseTransport):
    """Replicas whose predictions are all held until the gate opens."""

    def __init__(self, *replicas: FakeReplica) -> None:
        self.inner = network(*replicas)
        self.held: list[str] = []
        self.open = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        if b'"b64"' in body and not is_golden(body):
            self.held.append(request.url.netloc.decode())
            await self.open.wait()
        return await self.inner.handle_async_request(request)


class Mortal(httpx.AsyncBaseTransport):
    """Replicas whose processes die of a body that contains `poison`, and take what else is at work there with them."""

    def __init__(self, poison: bytes, *replicas: FakeReplica, work_s: float = 0.005) -> None:
        self.inner = network(*replicas)
        self.poison = poison
        self.work_s = work_s
        self.replicas = {replica.address: replica for replica in replicas}
        self.deaths: Counter[str] = Counter()
        self.at_work: Counter[str] = Counter()

    def kill(self, address: str) -> None:
        """Its process ends, whatever the reason."""
        self.deaths[address] += 1
        self.replicas[address].reachable = False

    def restart(self, address: str) -> None:
        self.replicas[address].reachable = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body, address = await request.aread(), request.url.netloc.decode()
        if request.method == "POST" and self.replicas[address].reachable and not is_golden(body):
            deaths = self.deaths[address]
            self.at_work[address] += 1
            await asyncio.sleep(self.work_s)
            self.at_work[address] -= 1
            if self.poison in body and deaths == self.deaths[address]:
                self.kill(address)
            if deaths != self.deaths[address]:
                raise httpx.ReadError("reset", request=request)
        return await self.inner.handle_async_request(request)
