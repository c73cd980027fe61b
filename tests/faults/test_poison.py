"""Bodies that kill a model server, sent to a gateway before live stand-ins that serve a plain Keras export."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.line import Line, running
from tests.faults.gateway import PICTURE, Gateway, judge
from tests.faults.load import steady
from tests.faults.record import record
from tests.faults.replica import wait_for
from tests.poison import POISON

pytestmark = pytest.mark.faults

MODEL = "exported_by_keras_3"
"""No guard in its graph refuses floats of another rank."""
PATHS = ("", "/versions/1")
MIB = 2**20
HEAD = (
    b"%b /v1/models/exported_by_keras_3/labels/%b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


@pytest.fixture
def over_stand_ins(foreign_models: Path, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with two embedded replicas."""
    settings = {"model_name": MODEL, "labels_file": str(foreign_models / "labels.txt"), "log_format": "json"}
    with running(foreign_models, PICTURE, log=tmp_path / "log", embedded_replicas="2", **settings) as line:
        gateway = Gateway(line, tmp_path / "log")
        wait_for(lambda: [replica["state"] for replica in replicas(gateway)] == ["available"] * 2)
        yield gateway
    judge(tmp_path / "log")


def replicas(gateway: Gateway) -> list[dict[str, object]]:
    with gateway.client() as client:
        found: list[dict[str, object]] = client.get("/v1/models").json()["replicas"]
    return found


def whole_cpu_s(line: Line) -> float:
    used = line.cpu()
    return used.gateway_s + used.replicas_s


def test_no_body_costs_a_replica_or_another_caller(over_stand_ins: Gateway) -> None:
    gateway, answers = over_stand_ins, list[tuple[int, float, float]]()
    processes = {replica.pid for replica in gateway.line.replicas()}
    attempts = sum(int(str(replica["attempts"])) for replica in replicas(gateway))
    with gateway.client() as client:
        for path in PATHS:
            for name, poison in POISON.items():
                cpu_s = whole_cpu_s(gateway.line)
                answer = client.post(
                    f"/v1/models/{MODEL}{path}:{poison.verb}", content=poison.body, headers=poison.headers
                )
                assert 400 <= answer.status_code < 500, f"{name}: {answer.status_code}"
                answers.append((len(poison.body), whole_cpu_s(gateway.line) - cpu_s, answer.elapsed.total_seconds()))
    assert sum(int(str(replica["attempts"])) for replica in replicas(gateway)) == attempts
    with gateway.client() as client, steady(lambda: gateway.port, per_second=5) as others:
        for poison in [*POISON.values()] * 5:
            client.post(f"/v1/models/{MODEL}:{poison.verb}", content=poison.body, headers=poison.headers)
    assert others.failures == 0, others.statuses
    assert {replica.pid for replica in gateway.line.replicas()} == processes
    assert [replica["state"] for replica in replicas(gateway)] == ["available"] * 2
    record("57b", figures(answers, others.count))


def figures(answers: list[tuple[int, float, float]], others: int) -> str:
    """Of the bodies' sizes, CPU seconds and seconds until the answer."""
    small, all_of_them = (max(cpu for size, cpu, _ in answers if size < most) * 1000 for most in (MIB, 32 * MIB))
    return (
        f"{len(answers)} bodies: 4xx, 0 attempts, no process lost; CPU of gateway and replicas together "
        f"{small:.0f} ms at most below 1 MiB, {all_of_them:.0f} ms up to 30 MB; answered within "
        f"{max(took for _, _, took in answers):.2f} s; 0 of {others} requests of another client failed"
    )


def test_a_step_in_a_path_is_no_label_on_the_wire(over_stand_ins: Gateway) -> None:
    for label in (b"..", b".", b"%2e%2e", b".%2E"):
        for method, suffix in ((b"GET", b""), (b"GET", b"/metadata"), (b"POST", b":predict")):
            (answer,) = over_stand_ins.say(HEAD % (method, label + suffix))
            assert answer.status == 400, (method, label, suffix)
            assert answer.headers["content-type"] == "application/json"


def test_what_fits_the_signature_passes(over_stand_ins: Gateway) -> None:
    picture = [[[0.5] * 3] * 224] * 224
    with over_stand_ins.client() as client:
        for body in (
            {"instances": [picture, picture]},
            {"inputs": [picture, picture]},
            {"instances": [{"what_the_camera_saw": picture}] * 2},
            {"inputs": {"what_the_camera_saw": [picture] * 2}},
        ):
            answer = client.post(f"/v1/models/{MODEL}:predict", json=body)
            assert answer.status_code == 200, answer.text[:300]
            assert len(answer.json()["predictions" if "instances" in body else "outputs"]) == 2
