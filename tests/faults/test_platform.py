"""What the platform does to a gateway: no descriptors, no reader of the log, wrong settings, clocks, starts."""

import ast
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from benchmarks.line import free_port, running
from tests.documents import ROOT
from tests.faults.gateway import PICTURE, Gateway, answers, everything, running_gateway, status
from tests.faults.load import steady
from tests.faults.record import record
from tests.faults.replica import Replica, running_replica, wait_for

pytestmark = pytest.mark.faults

GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def test_a_gateway_without_descriptors_turns_away_and_comes_back(replica: Replica, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, before[1]))  # the gateway inherits the soft limit and raises it,
    with running_gateway(replica.address, tmp_path / "log", max_connections="2000") as gateway:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (60, 60))  # and here loses it while it runs
        with ExitStack() as stack:
            held = [stack.enter_context(gateway.connect()) for _ in range(200)]
            time.sleep(2)  # the time in which a flood of lines would come
            assert len(held) == 200
        recovered = wait_for(lambda: serves(gateway))
        size = gateway.log.stat().st_size
        assert size < 100_000
        assert recovered < 20
        record(
            "94",
            f"200 connections on 60 descriptors: {size / 1024:.0f} KiB of log, normal again after {recovered:.1f} s",
        )


def serves(gateway: Gateway) -> bool:
    try:
        return gateway.classify() == 200
    except Exception:  # noqa: BLE001  any error that the client raises for a reset connection
        return False


def test_a_gateway_with_few_descriptors_lowers_its_own_cap(replica: Replica, tmp_path: Path) -> None:
    limit = ["import resource, os, sys", "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))"]
    code = "; ".join([*limit, "os.execv(sys.executable, [sys.executable, '-m', 'gateway'])"])
    port, log = free_port(), tmp_path / "log"
    environment = os.environ | {"GATEWAY_UPSTREAM": replica.address, "GATEWAY_PORT": str(port)}
    with (
        log.open("w") as lines,
        subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=lines) as gateway,
    ):
        wait_for(lambda: "listening" in log.read_text())
        with ExitStack() as stack:
            for _ in range(60):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            with socket.create_connection(("127.0.0.1", port), timeout=30) as one_more:
                (answer,) = answers(everything(one_more))
        assert (answer.status, answer.problem) == (503, "too-many-connections")
        gateway.send_signal(signal.SIGINT)
        assert gateway.wait(30) == 0
    assert "few file descriptors" in log.read_text()


def test_a_gateway_without_descriptors_for_its_own_work_answers_503(replica: Replica, tmp_path: Path) -> None:
    with running_gateway(replica.address, tmp_path / "log") as gateway, ExitStack() as stack:
        client = stack.enter_context(gateway.client())
        assert upload(client).status_code == 200
        limit = resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE)
        last = max(int(file.name) for file in Path(f"/proc/{gateway.process.pid}/fd").iterdir())
        resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (last + 1, limit[1]))
        for _ in range(50):  # they take the free numbers below the limit; the system turns the rest away
            stack.enter_context(gateway.connect())
        for decoder in gateway.line.decoders()[1:]:  # the next picture needs another process, and that a descriptor
            decoder.kill()
        wait_for(lambda: upload(client).status_code == 503)
        refused = [upload(client) for _ in range(20)]
        resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, limit)
        wait_for(lambda: upload(client).status_code == 200)
        assert {(answer.status_code, answer.headers.get("Retry-After")) for answer in refused} == {(503, "1")}
        assert not [line for line in gateway.lines() if line["event"] in ("replica ejected", "replica not ready")]
        record("94b", f"{len(refused)} of {len(refused)} uploads: 503 with Retry-After; then 200 again")


def upload(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/classify", content=PICTURE, headers={"Content-Type": "image/jpeg"})


@pytest.mark.parametrize("style", ["json", "text"])
def test_no_request_writes_more_than_a_short_line_of_the_log(replica: Replica, tmp_path: Path, style: str) -> None:
    log = tmp_path / "log"
    query = "&".join(f"mark{number}=mark{number}" for number in range(500))
    targets = (f"/v1/classify?{query}", f"/{'mark' * 1900}", f"/v1/models/my_model/labels/{'mark' * 1900}:predict")
    headers = {"Content-Type": "image/mark", "X-Mark": "mark" * 1000}
    with running(Path("models"), PICTURE, log=log, upstream=replica.address, log_format=style) as line:
        before = log.stat().st_size
        with httpx.Client(base_url=f"http://127.0.0.1:{line.port}", timeout=30) as client:
            statuses = [client.post(target, content=b"mark" * 1000, headers=headers).status_code for target in targets]
        assert set(statuses) <= {400, 404, 405}
        wait_for(lambda: b"{label}" in log.read_bytes()[before:])  # the line of the last one
        written = log.read_bytes()[before:]
    assert b"mark" not in written
    assert len(written) < 1000
    record("98b", f"{style}: {len(written)} bytes of log for {len(targets)} requests of 12 KB")


def test_a_log_that_is_not_read_stops_no_request(replica: Replica) -> None:
    port = free_port()
    environment = os.environ | {"GATEWAY_UPSTREAM": replica.address, "GATEWAY_PORT": str(port)}
    command = [sys.executable, "-m", "gateway", "--log-level", "debug"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as gateway:
        wait_for(lambda: answered(port))
        found = [answered(port) for _ in range(1500)]
        assert found == [True] * 1500
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(GET.replace(b"/healthz", b"/metrics"))
            text = everything(connection).decode()
        dropped = float(re.findall(r"^gateway_log_lines_dropped_total (\S+)$", text, re.MULTILINE)[0])
        assert dropped > 100
        gateway.send_signal(signal.SIGINT)
        assert gateway.wait(30) == 0
        record("98", f"1,500 of 1,500 requests answered; {dropped:,.0f} lines dropped and counted")


def answered(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(GET)
            return everything(connection).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def test_the_loops_lag_shows_when_the_gateway_is_stopped_for_a_while(gateway: Gateway) -> None:
    late = 'gateway_loop_lag_seconds_bucket{le="0.5"}'

    def over_half_a_second() -> float:
        return gateway.metric("gateway_loop_lag_seconds_count") - exactly(gateway, late)

    before = over_half_a_second()
    gateway.process.suspend()
    time.sleep(1)
    gateway.process.resume()
    with gateway.client() as client:
        assert client.get("/healthz").status_code == 200
    wait_for(lambda: over_half_a_second() > before)
    record("96", "gateway_loop_lag_seconds shows a stall of 1 s; /healthz answers after it")


def exactly(gateway: Gateway, series: str) -> float:
    return float(re.findall(rf"^{re.escape(series)} (\S+)$", gateway.metrics(), re.MULTILINE)[0])


REPORTED = {("gateway/replicas/replica.py", "time.time")}
"""Wall-clock times that are only reported: when the counters of a replica began."""


def test_no_rule_depends_on_a_clock_that_can_be_set() -> None:
    """In all of the gateway's code: only `time.monotonic`, `perf_counter` and the loop's own clock are asked."""
    asked = set()
    for file in sorted((ROOT / "gateway").rglob("*.py")):
        name = str(file.relative_to(ROOT))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                asked.add((name, f"{node.value.id}.{node.attr}"))
            if isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime"):
                asked |= {(name, f"{node.module}.{imported.name}") for imported in node.names}
    wall = {"time.time", "time.time_ns", "datetime.now", "datetime.datetime", "date.today"}
    assert {"time.monotonic", "time.perf_counter"} <= {clock for _, clock in asked}
    assert {use for use in asked if use[1] in wall} == REPORTED
    record("97", "no rule of the gateway reads a wall clock")


WRONG = {
    "no such port": {"PORT": "99999"},
    "no number": {"DEADLINE_S": "soon"},
    "an upstream that is none": {"UPSTREAM": "http://a/b"},
    "labels that are not there": {"LABELS_FILE": "/nonexistent"},
    "an unknown format": {"IMAGE_FORMATS": "JPEG,PSD"},
    "an unknown level": {"LOG_LEVEL": "loud"},
    "keys that are not there": {"API_KEYS_FILE": "/nonexistent"},
    "keys that are none": {"API_KEYS_FILE": str(ROOT / "LICENSE")},
    "bodies that never fit": {"MAX_BODIES_BYTES": "2048"},
    "a proxy that is none": {"TRUSTED_PROXIES": "proxy"},
    "no model": {"UPSTREAM": "", "MODELS_DIR": "/nonexistent"},
}


def test_a_wrong_setting_is_one_line_and_no_start() -> None:
    took = {}
    for name, wrong in WRONG.items():
        settings = {"UPSTREAM": "127.0.0.1:1", **wrong}
        environment = os.environ | {f"GATEWAY_{key}": value for key, value in settings.items()}
        begun = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-m", "gateway"], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        took[name] = time.monotonic() - begun
        assert ended.returncode == 1, name
        assert len(ended.stderr.splitlines()) == 1, f"{name}: {ended.stderr}"
        assert "Traceback" not in ended.stderr
        assert ended.stderr.startswith(("GATEWAY_", "settings:")), ended.stderr
    record("99", f"{len(WRONG)} mistakes: exit 1 and one line, within {max(took.values()):.1f} s")


def test_a_gateway_that_is_up_first_serves_soon_after_its_replica_is(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    own = free_port()
    environment = os.environ | {"GATEWAY_UPSTREAM": f"127.0.0.1:{port}", "GATEWAY_PORT": str(own)}
    environment |= {"GATEWAY_LOG_FORMAT": "json", "GATEWAY_PROBE_INTERVAL_S": "0.5"}
    with (
        log.open("w") as lines,
        subprocess.Popen([sys.executable, "-m", "gateway"], env=environment, stderr=lines) as one,
    ):
        wait_for(lambda: status(own, "/healthz") == 200)
        assert status(own, "/readyz") == 503
        with running_replica(port):
            took = wait_for(lambda: status(own, "/readyz") == 200)
            assert took < 20
        one.send_signal(signal.SIGINT)
        assert one.wait(30) == 0
    assert "Traceback" not in log.read_text()
    record("100", f"live at once, ready {took:.1f} s after the replica")


def test_a_thousand_requests_in_the_first_second_end_well(replica: Replica, tmp_path: Path) -> None:
    with running_gateway(replica.address, tmp_path / "log") as gateway:
        with steady(lambda: gateway.port, per_second=1000) as seen:
            wait_for(lambda: seen.count >= 100)
            time.sleep(1)
        assert set(seen.statuses) <= {200, 503, 504}, seen.statuses
        assert seen.statuses[200] > 0
        recovered = wait_for(lambda: gateway.classify() == 200)
        assert gateway.process.is_running()
        shed = 100 * (1 - seen.statuses[200] / seen.count)
        record("101", f"{seen.count:,} requests at 1,000/s: {shed:.0f} % shed, normal again after {recovered:.1f} s")
