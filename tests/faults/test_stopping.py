"""A gateway that is told to stop, or killed: no request fails for it, nothing waits for ever, nothing lives on."""

import contextlib
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.line import free_port, running
from tests.faults.gateway import PICTURE, Gateway, judge, one_answer, status
from tests.faults.load import UPLOAD, steady
from tests.faults.record import record
from tests.faults.replica import Replica, wait_for

pytestmark = pytest.mark.faults

DRAINS = int(os.environ.get("FAULTS_DRAINS", "20"))
PER_SECOND = float(os.environ.get("FAULTS_DRAIN_RATE", "100"))


class Balancer:
    """Sends each connection to a gateway that was ready when it last looked, in turn."""

    def __init__(self) -> None:
        self.ready: list[int] = []
        self._turn = 0

    def port(self) -> int:
        self._turn += 1
        ready = self.ready
        return ready[self._turn % len(ready)]


@contextlib.contextmanager
def started(replica: Replica, log: Path, **settings: str) -> Iterator[Gateway]:
    """One that the test stops itself."""
    settings = {"upstream": replica.address, "log_format": "json", **settings}
    with running(Path("models"), PICTURE, log=log, **settings) as line:
        yield Gateway(line, log)
    judge(log)


def test_no_request_fails_when_gateways_stop_behind_a_balancer(replica: Replica, tmp_path: Path) -> None:
    balancer = Balancer()
    with contextlib.ExitStack() as stack:

        def another(number: int) -> Gateway:
            """A long queue wait, so that no request is refused on a busy machine: that is another fault."""
            room = {"max_in_flight": "2000", "queue_size": "2000", "queue_wait_s": "20", "deadline_s": "30"}
            return stack.enter_context(started(replica, tmp_path / f"{number}", drain_s="4", **room))

        current, following = another(0), another(1)
        balancer.ready = [current.port]
        with steady(balancer.port, per_second=PER_SECOND) as seen:
            for number in range(DRAINS):
                balancer.ready = [current.port, following.port]
                count = seen.count
                wait_for(lambda count=count: seen.count > count + 20)
                current.line.started.send_signal(signal.SIGTERM)
                wait_for(lambda port=current.port: status(port, "/readyz") != 200)
                balancer.ready = [following.port]
                stopped, current, following = current, following, another(number + 2)
                assert stopped.line.started.wait(60) == 0
    assert seen.failures == 0, seen.statuses
    assert seen.count > DRAINS * 20
    record("87", f"{DRAINS} SIGTERMs under {PER_SECOND:.0f} requests/s: 0 of {seen.count:,} failed, exit 0 each time")


def test_while_it_drains_a_gateway_is_alive_and_serves_but_is_not_ready(replica: Replica, tmp_path: Path) -> None:
    with started(replica, tmp_path / "log", drain_s="30") as gateway, gateway.client() as client:
        assert client.get("/readyz").status_code == 200
        gateway.line.started.send_signal(signal.SIGTERM)
        wait_for(lambda: client.get("/readyz").status_code == 503)
        assert client.get("/readyz").json()["type"] == "/problems/shutting-down"
        answer = client.get("/healthz")
        assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
        assert gateway.classify() == 200
        gateway.line.started.send_signal(signal.SIGTERM)  # the second one: at once
        assert gateway.line.started.wait(10) == 0


def test_a_stalled_upload_does_not_keep_a_gateway_that_stops(replica: Replica, tmp_path: Path) -> None:
    grace_s = 1 + 5
    with started(replica, tmp_path / "log", deadline_s="1", drain_s="0") as gateway, gateway.connect() as connection:
        connection.sendall(UPLOAD[: len(UPLOAD) // 2])
        wait_for(lambda: gateway.metric("gateway_body_bytes") > 0)
        begun = time.monotonic()
        gateway.line.started.send_signal(signal.SIGTERM)
        assert gateway.line.started.wait(grace_s + 20) == 0
        record("88", f"exit 0 after {time.monotonic() - begun:.1f} s with a grace of {grace_s} s")


def test_a_request_unfinished_at_the_end_of_the_grace_period_gets_a_503(replica: Replica, tmp_path: Path) -> None:
    """A request that outlives its own deadline is a defect; here its clock starts only at the end of a slow body."""
    patience = {"deadline_s": "1", "drain_s": "0", "body_idle_s": "60", "body_timeout_s": "60"}
    with started(replica, tmp_path / "log", **patience) as gateway, gateway.connect() as connection:
        connection.sendall(UPLOAD[: len(UPLOAD) // 2])
        wait_for(lambda: gateway.metric("gateway_body_bytes") > 0)
        gateway.line.started.send_signal(signal.SIGTERM)
        answer = one_answer(connection)
        assert (answer.status, answer.problem) == (503, "shutting-down")
        assert gateway.line.started.wait(30) == 0
        told = [line for line in gateway.with_status(503) if line["problem"] == "shutting-down"]
        assert len(told) == 1
        record("89", "503 shutting-down, one line, no traceback; exit 0")


def test_model_servers_do_not_outlive_a_gateway_that_is_killed(tmp_path: Path) -> None:
    """A script stands for the model server, so that this needs no TensorFlow."""
    server = tmp_path / "bin/tensorflow_model_server"
    server.parent.mkdir()
    server.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    server.chmod(server.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "models/my_model/1").mkdir(parents=True)
    environment = {"PATH": f"{server.parent}:{os.environ['PATH']}", "GATEWAY_MODELS_DIR": str(tmp_path / "models")}
    environment |= {"GATEWAY_PORT": str(free_port())}
    log = (tmp_path / "log").open("w")
    with log, psutil.Popen([sys.executable, "-m", "gateway"], env=os.environ | environment, stderr=log) as gateway:
        wait_for(lambda: len(model_servers(gateway)) == 2)
        children = gateway.children(recursive=True)
        gateway.kill()
        _, alive = psutil.wait_procs(children, timeout=30)
        assert alive == []
        record("92", f"{len(children)} child processes, all ended with it")


def model_servers(gateway: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [child for child in gateway.children() if "tensorflow_model_server" in " ".join(child.cmdline())]
    return []
