"""A client that uses little CPU: raw sockets, keep-alive, a fixed number of requests in flight."""

import asyncio
import sys
import time
from dataclasses import dataclass, field

import orjson


@dataclass
class Load:
    """The results of the clients."""

    seconds: float
    latencies_ms: list[float] = field(default_factory=list)
    failures: int = 0

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return len(self.latencies_ms) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds within which `share` of the requests were answered."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def request(picture: bytes) -> bytes:
    """One upload as a multipart form, like that of `curl -F`."""
    part = b'--X\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    body = part + picture + b"\r\n--X--\r\n"
    head = (
        "POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: multipart/form-data; boundary=X\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run(port: int, picture: bytes, *, count: int, clients: int) -> Load:
    """`count` uploads of `picture`, `clients` at a time."""
    load = Load(0)
    left = iter(range(count))
    message = request(picture)

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            started = time.perf_counter()
            writer.write(message)
            status, _ = await answer(reader)
            load.latencies_ms.append((time.perf_counter() - started) * 1000)
            load.failures += status != 200
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    load.seconds = time.perf_counter() - started
    return load


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return int(head[9:12]), await reader.readexactly(length)


def main() -> None:
    """Run as a separate process, whose CPU is not counted. Arguments: port, file, count, clients. Prints JSON."""
    port, file, count, clients = sys.argv[1:]
    with open(file, "rb") as picture:  # noqa: PTH123  importing pathlib would slow the start
        load = asyncio.run(run(int(port), picture.read(), count=int(count), clients=int(clients)))
    sys.stdout.buffer.write(orjson.dumps(load))


if __name__ == "__main__":
    main()
