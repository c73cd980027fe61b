"""A gateway in front of fake replicas, and a client that calls it without a network."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from PIL import Image

from gateway.app import create_app
from gateway.settings import Settings
from tests.fakes import FakeReplica, network
from tests.rounds import look

Start = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
def replica() -> FakeReplica:
    return FakeReplica("a:1")


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Called with replicas and settings: a gateway that has looked at the replicas, and a client of it."""
    async with AsyncExitStack() as stack:

        async def started(*replicas: FakeReplica, **settings: Any) -> httpx.AsyncClient:
            upstream = ",".join(replica.address for replica in replicas)
            app = create_app(Settings(**{"upstream": upstream, **settings}), network(*replicas))
            await stack.enter_async_context(app.router.lifespan_context(app))
            await look(app.state.services)
            wire = httpx.ASGITransport(app, raise_app_exceptions=False)
            return await stack.enter_async_context(httpx.AsyncClient(transport=wire, base_url="http://gateway"))

        yield started


@pytest.fixture
async def client(start: Start, replica: FakeReplica) -> httpx.AsyncClient:
    """A gateway in front of one healthy replica."""
    return await start(replica)


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    """A small picture, 320x240, nothing special about it."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((320, 240)).convert("RGB").save(file, "JPEG")
    return file.getvalue()
