"""The container's health check, against a server that answers as a gateway in one state or another."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from gateway.healthcheck import healthy


@contextmanager
def gateway(**statuses: int) -> Iterator[int]:
    """A server that answers /NAME with its status; the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses[self.path.removeprefix("/")])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_gateway_that_has_no_replica_yet_is_not_healthy(tmp_path: Path) -> None:
    with gateway(healthz=200, readyz=503) as port:
        assert not healthy(port, tmp_path / "mark")


def test_once_it_was_ready_it_stays_healthy_while_replicas_are_away(tmp_path: Path) -> None:
    with gateway(healthz=200, readyz=200) as port:
        assert healthy(port, tmp_path / "mark")
    with gateway(healthz=200, readyz=503) as port:
        assert healthy(port, tmp_path / "mark")


def test_a_gateway_that_does_not_answer_is_not_healthy_whatever_it_was(tmp_path: Path) -> None:
    with gateway(healthz=200, readyz=200) as port:
        assert healthy(port, tmp_path / "mark")
    assert not healthy(port, tmp_path / "mark")  # nothing listens there any more
