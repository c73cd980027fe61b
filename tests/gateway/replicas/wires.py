"""The wire to replicas some of whose answers wait until a test lets them go."""

import asyncio

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
