"""The harness's HTTP client: raw sockets, keep-alive, hardly any CPU."""

import asyncio
from dataclasses import dataclass

import orjson


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> object:
        return orjson.loads(self.body)


class Wire:
    """One connection to the gateway, opened when it is needed and again when the gateway has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, message: bytes) -> Reply:
        """Send a whole request, read a whole answer.

        Raises:
            OSError: no connection, or it broke.
            asyncio.IncompleteReadError: the answer was cut off.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        try:
            writer.write(message)
            reply = await _read(reader)
        except BaseException:
            self.close()
            raise
        if reply.headers.get("connection") == "close":
            self.close()
        return reply

    async def get(self, path: str) -> Reply:
        return await self.ask(f"GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers["content-length"]))
    return Reply(int(first.split(" ")[1]), headers, body)


async def get(port: int, path: str) -> Reply:
    """GET on a new connection."""
    wire = Wire(port)
    try:
        return await wire.get(path)
    finally:
        wire.close()
