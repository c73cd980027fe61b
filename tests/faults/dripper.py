"""`python -m tests.faults.dripper PORT COUNT SECONDS`: clients that send a byte a second, half of them in the head.

A separate process on plain sockets, so that thousands of clients cost hardly any CPU, at the lowest priority. Each
client sends at its own moment within the second. A client whose connection is closed opens a new one, until the time is
up. Prints JSON: a list of [kind, seconds until closed, status].
"""

import contextlib
import heapq
import json
import os
import select
import socket
import sys
import time
from dataclasses import dataclass, field

from tests.faults.attackers import NICE

BEGINS = {
    "head": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    "body": b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n",
}
COME_WITHIN_S = 10.0
"""From the first client to the last."""
EVERY_S = 1.0


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
        self._open: dict[int, Dripping] = {}
        self._poll = select.epoll()
        self._begun = time.monotonic()
        pause_s = COME_WITHIN_S / (2 * count)
        self._due: list[tuple[float, int, str]] = [
            (self._begun + number * pause_s, 0, ("head", "body")[number % 2]) for number in range(2 * count)
        ]
        """Moment, connection that then gets a byte, kind; 0: one that is to be opened."""
        self.seen: list[tuple[str, float, int]] = []

    def run(self, seconds: float) -> None:
        """For that long, and until all are closed."""
        until = self._begun + seconds
        while self._open or time.monotonic() < until:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                due, number, kind = heapq.heappop(self._due)
                if number == 0 and now < until:
                    number = self._connect(kind)
                elif number in self._open:
                    with contextlib.suppress(OSError):
                        self._open[number].connection.send(b"x")
                if number in self._open:
                    heapq.heappush(self._due, (due + EVERY_S, number, kind))
            self._receive(max(0.0, self._due[0][0] - time.monotonic()) if self._due else EVERY_S)

    def _connect(self, kind: str) -> int:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        connection.sendall(BEGINS[kind])
        connection.setblocking(False)
        self._poll.register(connection.fileno(), select.EPOLLIN)
        self._open[connection.fileno()] = Dripping(kind, connection)
        return connection.fileno()

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
        heapq.heappush(self._due, (time.monotonic(), 0, dripping.kind))


if __name__ == "__main__":
    os.nice(NICE)
    dripper = Dripper(int(sys.argv[1]), int(sys.argv[2]))
    dripper.run(float(sys.argv[3]))
    json.dump(dripper.seen, sys.stdout)
