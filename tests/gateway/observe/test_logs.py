"""One line a request; never a picture, a file name or a key."""

import json
from typing import Any

import httpx
import pytest

from gateway.observe import logs
from tests.fakes import FakeReplica
from tests.gateway.conftest import Start

Capture = pytest.CaptureFixture[str]


def lines(capture: Capture) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capture.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    "value", ["\ud800", 2**64, {1: 2}, {"a": object()}], ids=["half a character", "large", "keys", "other"]
)
def test_a_line_is_written_whatever_it_holds(value: object, capsys: Capture) -> None:
    logs.configure("json", "info")
    logs.log.info("hello", value=value)
    (line,) = lines(capsys)
    assert line["event"] == "hello"


async def test_a_request_is_one_line_with_its_id(client: httpx.AsyncClient, jpeg: bytes, capsys: Capture) -> None:
    capsys.readouterr()
    logs.configure("json", "info")
    headers = {"X-Request-ID": "abc-1"}
    response = await client.post("/v1/classify", files={"image": ("secret-name.jpg", jpeg)}, headers=headers)
    (line,) = lines(capsys)
    assert response.headers["X-Request-ID"] == "abc-1"
    assert line.pop("ms") > 0
    assert line.pop("timestamp")
    assert line == {
        "event": "request",
        "level": "info",
        "method": "POST",
        "route": "/v1/classify",
        "status": 200,
        "request_id": "abc-1",
        "replica": "a:1",
        "attempts": 1,
    }


async def test_a_request_that_took_two_attempts_is_one_line_that_says_why(
    client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes, capsys: Capture
) -> None:
    logs.configure("json", "info")
    replica.faults.append(httpx.ReadError("reset"))
    await client.post("/v1/classify", files={"image": ("a.jpg", jpeg)})
    (line,) = [line for line in lines(capsys) if "request_id" in line]
    assert (line["status"], line["attempts"], line["replica"], line["after"]) == (200, 2, "a:1", "a:1")
    assert line["reason"] == "the connection to a:1 broke"


@pytest.mark.parametrize("forged", ['x" level="error', "a" * 65, "", "line\tbreak"])
async def test_a_request_id_that_is_no_plain_word_is_replaced(client: httpx.AsyncClient, forged: str) -> None:
    response = await client.get("/healthz", headers={"X-Request-ID": forged})
    assert len(response.headers["X-Request-ID"]) == 32
    assert response.headers["X-Request-ID"].isalnum()


async def test_paths_that_no_route_matches_share_one_label(client: httpx.AsyncClient, capsys: Capture) -> None:
    capsys.readouterr()
    logs.configure("json", "info")
    await client.get("/etc/passwd")
    (line,) = lines(capsys)
    assert line["route"] == "unmatched"
    assert "passwd" not in json.dumps(line)


@pytest.mark.parametrize("style", ["json", "text"])
async def test_the_traceback_of_a_defect_holds_no_values(
    client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes, capsys: Capture, style: Any
) -> None:
    logs.configure(style, "info")
    replica.faults.append(ZeroDivisionError("found me"))
    await client.post("/v1/classify", files={"image": ("secret-name.jpg", jpeg)})
    logged = capsys.readouterr().err
    assert "found me" in logged
    assert "fakes.py" in logged
    assert "secret-name" not in logged
    assert "JFIF" not in logged


async def test_the_cause_of_a_failed_prediction_is_logged_and_not_answered(
    client: httpx.AsyncClient, replica: FakeReplica, jpeg: bytes, capsys: Capture
) -> None:
    logs.configure("json", "info")
    replica.faults.extend([httpx.Response(200, text="gibberish")] * 2)
    response = await client.post("/v1/classify", files={"image": ("a.jpg", jpeg)})
    line = lines(capsys)[-1]
    assert (line["event"], line["problem"]) == ("request", "upstream-failed")
    assert line["cause"] == "no predictions in the answer"
    assert "predictions in the answer" not in response.text


async def test_the_line_of_a_batch_names_every_replica_that_was_asked(
    start: Start, jpeg: bytes, capsys: Capture
) -> None:
    client = await start(FakeReplica("a:1"), FakeReplica("b:1"))
    capsys.readouterr()
    logs.configure("json", "info")
    pictures = [("image", ("a.jpg", data)) for data in (jpeg, b"", jpeg, jpeg)]
    await client.post("/v1/classify/batch?version=stable", files=pictures)
    (line,) = lines(capsys)
    assert (line["replicas"], line["attempts"]) == (["a:1", "b:1"], 3)
    assert "replica" not in line
