"""A gateway process before fake replicas: what it uses, what it logged, and raw connections to it."""

import contextlib
import json
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.line import Line, running
from gateway.process.memory import EVERY_S
from tests import pictures
from tests.faults import contract
from tests.faults.replica import wait_for

PICTURE = pictures.jpeg((320, 240))


@dataclass
class Answer:
    """One answer, off the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def whole(self) -> bool:
        return len(self.body) == int(self.headers.get("content-length", 0))

    @property
    def problem(self) -> str:
        """Its slug; the document is of the documented form."""
        return contract.problem_of(self.status, self.headers, self.body)


@dataclass(frozen=True)
class Lags:
    """A histogram: how many wakings were at most so many seconds late."""

    up_to_s: dict[float, float]

    def __sub__(self, earlier: "Lags") -> "Lags":
        return Lags({bound: count - earlier.up_to_s[bound] for bound, count in self.up_to_s.items()})

    def percentile(self, share: float) -> float:
        """The bound within which that share was; a bucket's end, so never too small."""
        return min(bound for bound, count in self.up_to_s.items() if count >= share * self.up_to_s[float("inf")])


@dataclass
class Gateway:
    """A running one."""

    line: Line
    log: Path
    process: psutil.Process = field(init=False)

    def __post_init__(self) -> None:
        self.process = self.line.process

    @property
    def port(self) -> int:
        return self.line.port

    def client(self) -> httpx.Client:
        """A client that checks the form of every refusal."""
        url = f"http://127.0.0.1:{self.port}"
        return httpx.Client(base_url=url, timeout=30, event_hooks={"response": [as_documented]})

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def say(self, *messages: bytes) -> list[Answer]:
        """Send the messages on a new connection; return every answer until the gateway closes it."""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):
                for message in messages:
                    connection.sendall(message)
            return answers(everything(connection))

    def classify(self) -> int:
        """Status of one upload."""
        with self.client() as client:
            return client.post("/v1/classify", content=PICTURE, headers={"Content-Type": "image/jpeg"}).status_code

    def metrics(self) -> str:
        """All of them, as Prometheus reads them."""
        with self.client() as client:
            return client.get("/metrics").text

    def metric(self, name: str) -> float:
        """Its value, summed over labels; `name` may hold some of them."""
        found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", self.metrics(), re.MULTILINE)
        return sum(map(float, found))

    def loop_lags(self) -> "Lags":
        """How late the event loop has been so far."""
        found = re.findall(r'^gateway_loop_lag_seconds_bucket\{le="(\S+)"\} (\S+)$', self.metrics(), re.MULTILINE)
        return Lags({float(bound): float(count) for bound, count in found})

    def rss_mib(self) -> float:
        return self.line.memory_mib()[0]

    def grown_mib(self, memory: float, *, below: float) -> float:
        """Growth of the memory since it was so much; if not below the limit, after free memory has been given back."""
        with contextlib.suppress(AssertionError):
            wait_for(lambda: self.rss_mib() - memory < below, within_s=2 * EVERY_S)
        return self.rss_mib() - memory

    def files(self) -> int:
        return int(self.process.num_fds())

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def with_status(self, status: int) -> list[dict[str, Any]]:
        """The lines of the requests that ended so."""
        return [line for line in self.lines() if line.get("status") == status]

    def quiet(self) -> bool:
        """Whether no request is in flight and no body in memory."""
        return self.metric("gateway_in_flight") == 0 and self.metric("gateway_body_bytes") == 0


def as_documented(response: httpx.Response) -> None:
    """Fail if a refusal does not have the documented form."""
    contract.check(response.status_code, response.headers, response.read(), response.request.url.path)


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def one_answer(connection: socket.socket) -> Answer:
    """The next one on a connection that stays open."""
    received = b""
    while b"\r\n\r\n" not in received or not (whole := answers(received)) or not whole[0].whole:
        chunk = connection.recv(65536)
        assert chunk, "closed without an answer"
        received += chunk
    return whole[0]


def answers(received: bytes) -> list[Answer]:
    """Each in turn, a whole refusal being of the documented form; the last may be cut."""
    found = []
    while b"\r\n\r\n" in received:
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", 0))
        if status != 100:
            found.append(answer := Answer(status, headers, received[:length]))
            if answer.whole:
                contract.check(status, headers, answer.body)
        received = received[length:]
    return found


def status(port: int, path: str) -> int:
    """Of the answer at that path; 0 without any."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            return answers(everything(connection))[0].status
    except (OSError, IndexError):
        return 0


@contextlib.contextmanager
def running_gateway(upstream: str, log: Path, *, api_key: str = "", **settings: str) -> Iterator[Gateway]:
    """Run a gateway until the block ends, then check its log."""
    settings = {"upstream": upstream, "log_format": "json", "probe_interval_s": "0.2", **settings}
    with running(Path("models"), PICTURE, log=log, api_key=api_key, **settings) as line:
        yield Gateway(line, log)
        line.started.send_signal(signal.SIGINT)
        assert line.started.wait(30) == 0
    judge(log)


def judge(log: Path) -> None:
    """No traceback, no line of more than a kilobyte, no request of more than a line."""
    text = log.read_text(encoding="utf-8")
    assert "Traceback" not in text, text[-3000:]
    assert max(map(len, text.splitlines())) <= 1024
    told = [json.loads(line) for line in text.splitlines()]
    counts = Counter(line["request_id"] for line in told if "request_id" in line)
    assert not [request for request, count in counts.items() if count > 1]
    assert not [line for line in told if line["level"] in ("error", "critical")]
