"""A replica on a real socket, in a thread of the test: TensorFlow Serving's answers, as slow as a test wants."""

import asyncio
import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.fakes import FakeModel, FakeReplica, answer

OF_THE_GATEWAY = b'{"signature_name":"serving_bytes"'
"""How a predict call of the gateway's own begins; what others send is looked at more closely."""

MODEL_S = 0.025
"""What a model of this size takes for a picture on a machine of two cores."""


class Replica:
    """One model server at `address`."""

    def __init__(self, port: int = 0) -> None:
        self.delay_s = 0.0
        """Of each prediction."""
        self.at_work = 0
        """Predictions asked for and neither answered nor given up."""
        self.given_up = 0
        """Predictions whose caller left."""
        self.predictions = 0
        self.asked = b""
        """Body of the gateway's latest predict call."""
        self.port = port
        self._fake = FakeReplica("here")
        self._prediction = answer(200, {"predictions": [list(FakeModel().probabilities)]})

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, ready: threading.Event, stop: threading.Event) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, limit=2**20, backlog=2048)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await asyncio.to_thread(stop.wait)
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                method, path, _ = head.split(" ", 2)
                reply = await self._reply(reader, httpx.Request(method, f"http://here{path}", content=body))
                if reply is None:
                    break
                status = f"HTTP/1.1 {reply.status_code} OK\r\nContent-Type: application/json\r\n"
                writer.write(f"{status}Content-Length: {len(reply.content)}\r\n\r\n".encode() + reply.content)
        writer.close()

    async def _reply(self, reader: asyncio.StreamReader, request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith(":predict") or not request.content.startswith(OF_THE_GATEWAY):
            try:
                return self._fake(request)
            except RecursionError:
                return answer(400, {"error": "JSON Parse error: too deep"})
        self.at_work += 1
        self.asked = request.content
        try:
            if self.delay_s and not await self._work(reader):
                self.given_up += 1
                return None
        finally:
            self.at_work -= 1
        self.predictions += 1
        return self._prediction

    def pixels(self) -> NDArray[np.uint8]:
        """Shape (224, 224, 3): what it was asked last."""
        (instance,) = json.loads(self.asked)["instances"]
        return np.frombuffer(base64.b64decode(instance["b64"]), np.uint8).reshape(224, 224, 3)

    async def _work(self, reader: asyncio.StreamReader) -> bool:
        """Take the time; false when the caller leaves meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.delay_s):
                return await reader.read(1) != b""
        return True


@contextlib.contextmanager
def running_replica(port: int = 0) -> Iterator[Replica]:
    """For as long as the block runs."""
    replica, ready, stop = Replica(port), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(replica.serve(ready, stop)), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield replica
    finally:
        stop.set()
        thread.join(30)


@contextlib.contextmanager
def working_for(replica: Replica, delay_s: float) -> Iterator[None]:
    """It takes so long for each picture, while the block runs."""
    replica.delay_s = delay_s
    try:
        yield
    finally:
        replica.delay_s = 0


def wait_for(condition: object, *, within_s: float = 30) -> float:
    """Seconds until `condition()` held."""
    assert callable(condition)
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within_s, f"not within {within_s} s"
        time.sleep(0.02)
    return time.monotonic() - started
