"""A request of which every simulated replica dies, over real connections: one dies, and no other request fails."""

import base64
import json
from pathlib import Path

import pytest

from benchmarks.load import request
from gateway.imaging import preprocess
from tests.chaos import load, replicas
from tests.chaos.gateway import running
from tests.chaos.load import Offered, batch, picture, uploads
from tests.chaos.run import QUICK
from tests.chaos.simulator import model
from tests.chaos.wire import Wire
from tests.faults.record import record

pytestmark = pytest.mark.faults

SENT = 20
INNOCENT = {digest for upload in (*uploads(), batch()) for digest in upload.digests}
DEADLY = next(
    file for file in map(picture, range(255, 0, -1)) if model.digest(preprocess(file).tobytes()) not in INNOCENT
)
PIXELS = preprocess(DEADLY).tobytes()


def form(*files: bytes) -> bytes:
    part = b'--X\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    body = b"".join(part + file + b"\r\n" for file in files) + b"--X--\r\n"
    head = f"Content-Type: multipart/form-data; boundary=X\r\nContent-Length: {len(body)}\r\n\r\n"
    return b"POST /v1/classify/batch HTTP/1.1\r\nHost: gateway\r\n" + head.encode() + body


def call() -> bytes:
    instance = {"b64": base64.b64encode(PIXELS).decode()}
    body = json.dumps({"signature_name": "serving_bytes", "instances": [instance]}).encode()
    head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return b"POST /v1/models/my_model/versions/1:predict HTTP/1.1\r\nHost: gateway\r\n" + head.encode() + body


@pytest.mark.parametrize(
    ("kind", "transport"), [("upload", "rest"), ("upload", "grpc"), ("batch", "rest"), ("pass-through", "rest")]
)
async def test_of_three_replicas_one_dies_of_a_deadly_request_and_no_other_request_fails(
    tmp_path: Path, kind: str, transport: str
) -> None:
    message = {"upload": request(DEADLY), "batch": form(DEADLY), "pass-through": call()}[kind]
    digest = model.digest(PIXELS)
    async with replicas.running(3, grpc=transport == "grpc", service_s=0.01, deadly=digest) as made:
        settings = QUICK | made[0].as_settings | {"transport": transport, "deadline_s": 3}
        upstream = ",".join(each.address for each in made)
        async with running(tmp_path, names=None, upstream=upstream, **settings) as gateway:
            await gateway.takes_in(*(each.address for each in made))
            async with load.traffic(gateway.port, Offered(rate=60, clients=8)) as traffic:
                await traffic.requests("before", 2 * load.PICTURES)
                traffic.phase, wire = "deadly", Wire(gateway.port)
                answers = [await wire.ask(message) for _ in range(SENT)]
                wire.close()
                await traffic.more(50)
            everything = traffic.during()
            dead = [each for each in made if not each.alive]
            lines = gateway.lines("request quarantined")
        assert [answer.status for answer in answers] == [503] * SENT
        assert all("retry-after" in answer.headers for answer in answers)
        assert len(dead) == 1
        assert not everything.failed, everything.statuses()
        assert not everything.wrong, everything.statuses()
        assert [line["replica"] for line in lines] == [dead[0].address]
    record(
        "2b",
        f"{kind}, {transport}: sent {SENT} times, one of three replicas died; 0 of {len(everything)} others failed",
    )
