"""Start, restart and stop: nothing in flight is lost, nothing is left running."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.line import Line, running
from tests import pictures
from tests.line.conftest import client_of
from tests.serving.servers import wait_until

pytestmark = pytest.mark.slow


def half_sent_upload(line: Line) -> tuple[socket.socket, bytes]:
    """A connection on which a request is in flight, and what is still to be sent of it."""
    picture = pictures.jpeg()
    head = (
        f"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", line.port), timeout=30)
    connection.sendall(head.encode() + picture[:1000])
    with client_of(line) as client:  # the same event loop answers, so it has read the upload above
        wait_until(lambda: "gateway_body_bytes 1000.0" in client.get("/metrics").text)
    return connection, picture[1000:]


def refuses_connections(line: Line) -> bool:
    refused = contextlib.suppress(ConnectionRefusedError, ConnectionResetError)
    with refused, socket.create_connection(("127.0.0.1", line.port), timeout=5):
        return False
    return True


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_what_is_in_flight_finish_and_leaves_nothing_running(
    demo_models: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    log = tmp_path / "log"
    with running(demo_models, pictures.jpeg(), log=log, embedded_replicas="1", log_format="json") as line:
        children = line.process.children(recursive=True)
        connection, rest = half_sent_upload(line)
        line.started.send_signal(sent)
        wait_until(lambda: refuses_connections(line))
        connection.sendall(rest)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 OK"), answer
        assert line.started.wait(timeout=30) == 0
        connection.close()
        assert children
        assert not any(child.is_running() for child in children)
    assert "Traceback" not in log.read_text(encoding="utf-8")
    with running(demo_models, pictures.jpeg(), embedded_replicas="1", port=str(line.port)) as again:
        assert again.port == line.port


@pytest.mark.skipif(sys.platform != "linux", reason="the scheduling policy is Linux's")
def test_gateway_decode_processes_and_model_servers_let_each_others_slices_end(line: Line) -> None:
    processes = [line.process, *line.decoders(), *line.replicas()]
    assert len(processes) >= 4
    assert {os.sched_getscheduler(process.pid) for process in processes} == {os.SCHED_BATCH}


def test_no_child_outlives_a_gateway_that_is_killed(demo_models: Path) -> None:
    with running(demo_models, pictures.jpeg(), embedded_replicas="1") as line:
        children = line.process.children(recursive=True)
        line.started.kill()
        gone, alive = psutil.wait_procs(children, timeout=30)
        assert alive == []
        assert len(gone) >= 3, "a model server, the fork server and a decode process"


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_a_model_server_that_dies_under_load_is_started_again_and_costs_no_request(
    demo_models: Path, transport: str
) -> None:
    with running(demo_models, pictures.jpeg(), transport=transport) as line, client_of(line) as client:
        wait_until(lambda: all_available(client))
        child = line.replicas()[0]
        with load_on(line) as statuses:
            wait_until(lambda: len(statuses) > 20)
            os.kill(child.pid, signal.SIGKILL)
            psutil.wait_procs([child], timeout=30)
            wait_until(lambda: not all_available(client))
            wait_until(lambda: all_available(client))
        assert set(statuses) == {200}
        assert child.pid not in [replacement.pid for replacement in line.replicas()]


def all_available(client: httpx.Client) -> bool:
    return {replica["state"] for replica in client.get("/v1/models").json()["replicas"]} == {"available"}


@contextlib.contextmanager
def load_on(line: Line) -> Iterator[list[int]]:
    """Three clients that upload all the time; yields the statuses, which go on coming in."""
    statuses: list[int] = []
    over = threading.Event()

    def keep_uploading() -> None:
        with client_of(line) as client:
            while not over.is_set():
                statuses.append(client.post("/v1/classify", files={"image": ("a", pictures.jpeg())}).status_code)

    clients = [threading.Thread(target=keep_uploading) for _ in range(3)]
    for thread in clients:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in clients:
            thread.join()


def test_a_taken_port_is_a_clear_line_and_a_failed_start(demo_models: Path, line: Line) -> None:
    command = [sys.executable, "-m", "gateway", "--models-dir", str(demo_models), "--port", str(line.port)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.endswith(f"cannot listen on 127.0.0.1:{line.port}: Address already in use\n")
    assert "model server started" not in ended.stderr
