"""Real model servers are killed and stopped under load, and no request fails."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.line import Line, running
from tests import pictures
from tests.line.conftest import client_of
from tests.serving.servers import wait_until

pytestmark = pytest.mark.slow

PICTURE = pictures.jpeg()
CLIENTS = 3
FEW = 30


@contextmanager
def load(line: Line) -> Iterator[list[tuple[int, Any]]]:
    """Uploads of one picture, until the block ends: the list of what was answered, which grows meanwhile."""
    answers: list[tuple[int, Any]] = []
    over = threading.Event()

    def client() -> None:
        with client_of(line) as http:
            while not over.is_set():
                response = http.post("/v1/classify", files={"image": ("a", PICTURE)})
                answers.append((response.status_code, response.json()))

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def wait_for_more(answers: list[tuple[int, Any]]) -> None:
    wanted = len(answers) + FEW
    wait_until(lambda: len(answers) >= wanted)


def model_servers(line: Line) -> list[psutil.Process]:
    """Among the gateway's children; the others decode pictures."""
    return [child for child in line.process.children() if "--rest_api_port" in " ".join(child.cmdline())]


def available(line: Line) -> int:
    """Replicas in turn."""
    with client_of(line) as http:
        return sum(replica["state"] == "available" for replica in http.get("/v1/models").json()["replicas"])


def test_a_model_server_that_is_killed_and_one_that_hangs_cost_no_request(demo_models: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = {"embedded_replicas": "2", "attempt_timeout_s": "2", "drain_s": "0", "log_format": "json"}
    with running(demo_models, PICTURE, log=log, **settings) as line:
        wait_until(lambda: available(line) == 2)
        with load(line) as answers:
            wait_for_more(answers)
            model_servers(line)[0].kill()
            wait_for_more(answers)
            wait_until(lambda: available(line) == 2)
            hung = model_servers(line)[0]
            hung.send_signal(signal.SIGSTOP)
            wait_until(lambda: available(line) == 1)
            wait_for_more(answers)
            hung.send_signal(signal.SIGCONT)
            wait_until(lambda: available(line) == 2)
            wait_for_more(answers)
    assert {status for status, _ in answers} == {200}, [answer for answer in answers if answer[0] != 200]
    assert len({json.dumps(answer["predictions"]) for _, answer in answers}) == 1
    assert "Traceback" not in log.read_text(encoding="utf-8")
