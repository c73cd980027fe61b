"""Bodies over the limit, on every route: refused with 413, read no further, and never written to disk."""

import base64
import contextlib
import json
import resource
import socket
from pathlib import Path

import pytest

from tests.faults.gateway import PICTURE, Answer, Gateway, answers, everything, one_answer
from tests.faults.record import record
from tests.faults.replica import wait_for

pytestmark = pytest.mark.faults

MIB = 2**20
LIMIT, PREDICT_LIMIT = 10 * MIB, 32 * MIB
SLACK = 256 * 1024
FORM = b'--X\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
RAW, MULTIPART = b"image/jpeg", b"multipart/form-data; boundary=X"
PREDICT = b"/v1/models/my_model:predict"


def head(kind: bytes, *fields: bytes, path: bytes = b"/v1/classify") -> bytes:
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"Host: a", b"Content-Type: " + kind, *fields, b"", b""])


def read_by(gateway: Gateway) -> int:
    """Bytes that its process has read from files and sockets."""
    return int(Path(f"/proc/{gateway.process.pid}/io").read_text().split("rchar: ")[1].split()[0])


def written_by(gateway: Gateway) -> int:
    return int(Path(f"/proc/{gateway.process.pid}/io").read_text().split("write_bytes: ")[1].split()[0])


def push(gateway: Gateway, begin: bytes, piece: bytes, times: int) -> list[Answer]:
    """Send without looking at what comes back, as a blind client does."""
    with gateway.connect() as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(begin)
            for _ in range(times):
                connection.sendall(piece)
        return answers(everything(connection))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


MEGABYTE = b"a" * MIB
BASE64 = json.dumps({"signature_name": "serving_bytes", "instances": [{"b64": base64.b64encode(bytes(MIB)).decode()}]})
ROADS = {
    "Content-Length, raw": (head(RAW, b"Content-Length: 104857600"), MEGABYTE, 100, 0),
    "Content-Length, form": (head(MULTIPART, b"Content-Length: 104857600") + FORM, MEGABYTE, 100, 0),
    "Content-Length, JSON": (
        head(b"application/json", b"Content-Length: 104857600", path=PREDICT) + BASE64.encode(),
        MEGABYTE,
        100,
        0,
    ),
    "chunked, raw": (head(RAW, b"Transfer-Encoding: chunked"), chunk(MEGABYTE), 100, LIMIT),
    "chunked, form": (head(MULTIPART, b"Transfer-Encoding: chunked") + chunk(FORM), chunk(MEGABYTE), 100, LIMIT),
    "chunked, JSON": (
        head(b"application/json", b"Transfer-Encoding: chunked", path=PREDICT) + chunk(b'{"instances": [{"b64": "'),
        chunk(MEGABYTE),
        100,
        PREDICT_LIMIT,
    ),
}


def test_a_body_over_the_limit_is_read_no_further_on_any_route(gateway: Gateway) -> None:
    gateway.classify()
    disk = written_by(gateway)
    most: dict[int, int] = {}
    for name, (begin, piece, times, limit) in ROADS.items():
        before, memory = read_by(gateway), gateway.rss_mib()
        (answer,) = push(gateway, begin, piece, times)
        over = read_by(gateway) - before - limit
        assert (answer.status, answer.headers["connection"]) == (413, "close"), name
        assert "json" in name.lower() or answer.problem == "body-too-large"
        assert over <= SLACK, f"{name}: {over} bytes more than the limit"
        assert gateway.rss_mib() - memory < limit / MIB + 12, name
        most[limit] = max(most.get(limit, 0), over)
    wait_for(gateway.quiet)
    assert written_by(gateway) - disk < MIB / 8  # lines of the log, each of which may dirty a page anew: no body
    assert gateway.files() < 60
    record("45", f"413; {most[0] // 1024} KiB read of 100 MiB by every route, 0 bytes on disk")
    record("46", f"413; {most[LIMIT] // 1024} KiB read beyond the limit, 0 bytes on disk")
    record("59", f"413; {most[PREDICT_LIMIT] // 1024} KiB read beyond the limit of 32 MiB")


def test_a_client_that_asks_first_never_sends_the_body(gateway: Gateway) -> None:
    with gateway.connect() as connection:
        connection.sendall(head(RAW, b"Content-Length: 104857600", b"Expect: 100-continue"))
        received = everything(connection)
    assert b" 100 " not in received
    (answer,) = answers(received)
    assert (answer.status, answer.problem) == (413, "body-too-large")
    with gateway.connect() as connection:
        connection.sendall(head(RAW, b"Content-Length: %d" % len(PICTURE), b"Expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(PICTURE)
        assert one_answer(connection).status == 200
    record("47", "413 without 100: 0 bytes of the body; within the limit 100, then 200")


def test_a_body_shorter_than_announced_is_waited_for_and_a_longer_one_is_not_mixed_up(
    gateway: Gateway, tmp_path: Path
) -> None:
    found = gateway.say(head(RAW, b"Content-Length: %d" % len(PICTURE)) + PICTURE + b"rest of it\r\n\r\n")
    assert [answer.status for answer in found] == [200, 400]
    assert found[1].problem == "malformed-request"
    with gateway.connect() as connection:
        connection.sendall(head(RAW, b"Content-Length: 1000") + b"too little")
        connection.settimeout(30)
        (answer,) = answers(everything(connection))
    assert (answer.status, answer.problem) == (408, "request-timeout")
    record("48", "longer: 200 for the request, 400 for the rest; shorter: 408 after the idle time")


def test_uploads_together_never_take_more_memory_than_is_set(gateway: Gateway) -> None:
    with contextlib.ExitStack() as stack:
        halves = [stack.enter_context(gateway.connect()) for _ in range(40)]
        for half in halves:
            half.setblocking(False)
            half.send(head(RAW, b"Content-Length: %d" % LIMIT))
        full = [half for half in halves if fill(half, 9 * MIB)]
        held = gateway.metric("gateway_body_bytes")
        assert held <= 256 * MIB
        assert gateway.classify() in (200, 503)
        assert full
    wait_for(gateway.quiet)
    assert gateway.classify() == 200


def fill(connection: socket.socket, count: int) -> bool:
    """Send that many bytes; false when the gateway closes before."""
    connection.setblocking(True)
    with contextlib.suppress(ConnectionError):
        connection.sendall(bytes(count))
        return True
    return False


def test_nothing_is_written_where_nothing_can_be(gateway: Gateway) -> None:
    """A picture goes by every road while the process may not write one byte to any file but its log."""
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (gateway.log.stat().st_size,) * 2)
    body = FORM + PICTURE + b"\r\n--X--\r\n"
    with gateway.client() as client:
        form = client.post("/v1/classify", content=body, headers={"Content-Type": MULTIPART.decode()})
        raw = client.post("/v1/classify", content=PICTURE, headers={"Content-Type": "image/jpeg"})
    assert (form.status_code, raw.status_code) == (200, 200)
    record("93", "pictures served with a limit of 0 bytes for files; log lines were dropped")
