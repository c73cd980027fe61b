"""`python -m tests.faults.replica PORT`: TensorFlow Serving's answers on a real socket, as slow as a test wants.

A separate process, as model servers are. In the tests' own process it would stop during their pauses, and the gateway
would look slow. Prints its port, and ends with its standard input.
"""

import asyncio
import base64
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.documents import ROOT
from tests.fakes import FakeModel, FakeReplica, answer

OF_THE_GATEWAY = b'{"signature_name":"serving_bytes"'
"""The beginning of a predict call that the gateway makes itself; other calls are parsed."""

MODEL_S = 0.025
"""What a model of this size takes for a picture on a machine of two cores."""

STATE, ASKED = "/state", "/asked"
"""Where the tests ask what it saw."""


@dataclass
class State:
    """What a test may know of it, and sets."""

    delay_s: float = 0.0
    """Of each prediction."""
    at_work: int = 0
    """Predictions asked for, neither answered nor left by their caller."""
    predictions: int = 0


@dataclass(frozen=True)
class Replica:
    """One model server, as the tests see it."""

    port: int
    _client: httpx.Client = field(repr=False)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def at_work(self) -> int:
        return self._state().at_work

    @property
    def predictions(self) -> int:
        return self._state().predictions

    def take(self, delay_s: float) -> None:
        """From now on, so long for each picture."""
        self._client.post(STATE, json={"delay_s": delay_s}).raise_for_status()

    def pixels(self) -> NDArray[np.uint8]:
        """Shape (224, 224, 3): what it was asked last."""
        (instance,) = self._client.get(ASKED).json()["instances"]
        return np.frombuffer(base64.b64decode(instance["b64"]), np.uint8).reshape(224, 224, 3)

    def _state(self) -> State:
        return State(**self._client.get(STATE).json())


class Server:
    """The process."""

    def __init__(self) -> None:
        self._state = State()
        self._asked = b""
        """Body of the gateway's latest predict call."""
        self._fake = FakeReplica("here")
        self._prediction = answer(200, {"predictions": [list(FakeModel().probabilities)]})

    async def serve(self, port: int) -> None:
        """Until standard input ends."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", port, limit=2**20, backlog=2048)
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        server.close()

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
        if request.url.path == ASKED:
            return httpx.Response(200, content=self._asked)
        if request.url.path == STATE:
            self._state.delay_s = json.loads(request.content or b"{}").get("delay_s", self._state.delay_s)
            return answer(200, asdict(self._state))
        if not request.url.path.endswith(":predict") or not request.content.startswith(OF_THE_GATEWAY):
            try:
                return self._fake(request)
            except RecursionError:
                return answer(400, {"error": "JSON Parse error: too deep"})
        self._state.at_work += 1
        self._asked = request.content
        try:
            if self._state.delay_s and not await self._work(reader):
                return None
        finally:
            self._state.at_work -= 1
        self._state.predictions += 1
        return self._prediction

    async def _work(self, reader: asyncio.StreamReader) -> bool:
        """Take the time; false when the caller leaves meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._state.delay_s):
                return await reader.read(1) != b""
        return True


@contextlib.contextmanager
def running_replica(port: int = 0) -> Iterator[Replica]:
    """For as long as the block runs."""
    command = [sys.executable, "-m", "tests.faults.replica", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        port = int(process.stdout.readline())
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            yield Replica(port, client)
        process.stdin.close()
        assert process.wait(30) == 0


@contextlib.contextmanager
def working_for(replica: Replica, delay_s: float) -> Iterator[None]:
    """It takes so long for each picture, while the block runs."""
    replica.take(delay_s)
    try:
        yield
    finally:
        replica.take(0)


def wait_for(condition: object, *, within_s: float = 30) -> float:
    """Seconds until `condition()` held."""
    assert callable(condition)
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within_s, f"not within {within_s} s"
        time.sleep(0.02)
    return time.monotonic() - started


if __name__ == "__main__":
    asyncio.run(Server().serve(int(sys.argv[1])))
