"""`python -m tests.faults.dripper PORT COUNT SECONDS`: clients that send a byte a second, half of them in the head.

A process of its own on bare sockets, so that thousands of them cost next to nothing. Whoever is closed comes again,
until the time is up. Prints JSON: a list of [kind, seconds until closed, status].
"""

import contextlib
import json
import select
import socket
import sys
import time
from dataclasses import dataclass, field

HEAD = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: "
BODY = b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n"
AT_ONCE = 100
"""New connections in one go."""


@dataclass
class Dripping:
    """One connection."""

    kind: str
    connection: socket.socket
    started: float = field(default_factory=time.monotonic)
    received: bytes = b""


class Dripper:
    """All of them."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._waiting = [("head", HEAD), ("body", BODY)] * count
        self._open: dict[int, Dripping] = {}
        self._poll = select.epoll()
        self.seen: list[tuple[str, float, int]] = []

    def run(self, seconds: float) -> None:
        """For that long, and until all are closed."""
        until = time.monotonic() + seconds
        while self._open or time.monotonic() < until:
            tick = time.monotonic() + 1
            coming = self._waiting[:AT_ONCE] if time.monotonic() < until else []
            self._waiting = self._waiting[AT_ONCE:] if coming else []
            for kind, begin in coming:
                self._connect(kind, begin)
            for dripping in self._open.values():
                with contextlib.suppress(OSError):
                    dripping.connection.send(b"x")
            while (left := tick - time.monotonic()) > 0 and not self._waiting:
                self._receive(left)
            self._receive(0)

    def _connect(self, kind: str, begin: bytes) -> None:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        connection.sendall(begin)
        connection.setblocking(False)
        self._poll.register(connection.fileno(), select.EPOLLIN)
        self._open[connection.fileno()] = Dripping(kind, connection)

    def _receive(self, seconds: float) -> None:
        for number, _ in self._poll.poll(seconds):
            dripping = self._open[number]
            chunk = b""
            with contextlib.suppress(OSError):
                chunk = dripping.connection.recv(65536)
            dripping.received += chunk
            if not chunk:
                self._closed(number)

    def _closed(self, number: int) -> None:
        dripping = self._open.pop(number)
        self._poll.unregister(number)
        dripping.connection.close()
        status = int(dripping.received[9:12] or 0)
        self.seen.append((dripping.kind, time.monotonic() - dripping.started, status))
        self._waiting.append((dripping.kind, HEAD if dripping.kind == "head" else BODY))


if __name__ == "__main__":
    dripper = Dripper(int(sys.argv[1]), int(sys.argv[2]))
    dripper.run(float(sys.argv[3]))
    json.dump(dripper.seen, sys.stdout)
