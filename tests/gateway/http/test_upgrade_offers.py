"""A client offers another protocol on plain HTTP, as Java's HttpClient does by default: it is answered in this one."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from tests.fakes import FakeReplica
from tests.faults.smuggling import CORPUS
from tests.gateway.conftest import Start
from tests.gateway.http.bench import GET, Bench, turns

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
SIZED = b"Content-Length: 5\r\n\r\nhello"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"


def post(body: bytes, offer: bytes = H2C) -> bytes:
    return b"POST /v1/classify?top_k=1 HTTP/1.1\r\nHost: a\r\n" + offer + body


class Reader:
    """Notes each request and its body, and answers."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        self.bodies.append(body)
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


@pytest.mark.parametrize("body", [SIZED, CHUNKED], ids=["sized", "chunked"])
@pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
async def test_the_body_after_an_offer_is_read(body: bytes, piece_bytes: int) -> None:
    reader = Reader()
    connection, transport = Bench(reader).connect()
    sent = post(body)
    for start in range(0, len(sent), piece_bytes):
        connection.data_received(sent[start : start + piece_bytes])
    await turns()
    assert (reader.bodies, transport.statuses, transport.closed) == ([b"hello"], [200], False)
    assert (reader.scopes[0]["path"], reader.scopes[0]["query_string"]) == ("/v1/classify", b"top_k=1")
    assert b"upgrade" not in dict(reader.scopes[0]["headers"])


@pytest.mark.parametrize("offer", [H2C, b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"])
async def test_the_connection_stays_open_for_further_requests_with_offers_and_without(offer: bytes) -> None:
    reader = Reader()
    connection, transport = Bench(reader).connect()
    offering_get = GET[:-2] + offer + b"\r\n"
    connection.data_received(post(SIZED, offer) + offering_get + GET + post(CHUNKED, offer))
    for _ in range(4):
        await turns()
    assert reader.bodies == [b"hello", b"", b"", b"hello"]
    assert (transport.statuses, transport.closed) == ([200] * 4, False)


async def test_a_client_that_waits_for_100_continue_gets_it_beside_its_offer() -> None:
    reader = Reader()
    connection, transport = Bench(reader).connect()
    head, _, body = post(b"Expect: 100-continue\r\n" + SIZED).partition(b"\r\n\r\n")
    connection.data_received(head + b"\r\n\r\n")
    await turns()
    assert transport.statuses == [100]
    connection.data_received(body)
    await turns()
    assert (reader.bodies, transport.statuses) == ([b"hello"], [100, 200])


async def test_a_head_with_an_offer_may_be_as_large_as_any() -> None:
    connection, transport = Bench(max_head_bytes=2000).connect()
    connection.data_received(GET[:-2] + H2C + b"X: " + b"x" * 1500 + b"\r\n\r\n")
    await turns()
    assert transport.statuses == [200]


@pytest.mark.parametrize("name", [name for name, request in CORPUS.items() if request.startswith(b"POST")])
async def test_an_offer_makes_no_ambiguous_request_acceptable(name: str) -> None:
    reader = Reader()
    connection, transport = Bench(reader).connect()
    line, _, rest = CORPUS[name].partition(b"\r\n")
    connection.data_received(line + b"\r\n" + H2C + rest)
    await turns()
    assert (transport.statuses, transport.half_closed) == ([400], True)
    assert reader.bodies == []


async def test_an_offer_on_a_connection_to_be_closed_is_answered_and_the_connection_closed() -> None:
    reader = Reader()
    connection, transport = Bench(reader).connect()
    connection.data_received(post(SIZED, b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n"))
    await turns()
    assert (reader.bodies, transport.statuses, transport.closed) == ([b"hello"], [200], True)


async def test_an_offer_over_http_1_0_is_a_request_over_http_1_0() -> None:
    reader = Reader()
    connection, transport = Bench(reader).connect()
    connection.data_received(post(SIZED).replace(b"HTTP/1.1", b"HTTP/1.0"))
    await turns()
    assert (reader.bodies, reader.scopes[0]["http_version"]) == ([b"hello"], "1.0")
    assert transport.closed


ROUTES = ("/v1/classify", "/v1/classify/batch", "/v1/models/my_model:predict", "/v1/models/my_model/versions/1:predict")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("chunked", [False, True])
async def test_every_route_that_takes_a_body_gets_it(
    start: Start, replica: FakeReplica, jpeg: bytes, route: str, chunked: bool
) -> None:
    client = await start(replica)
    form = b'--X\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + jpeg + b"\r\n--X--\r\n"
    body = b'{"signature_name":"serving_bytes","instances":["a"]}' if "models" in route else form
    framed = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    if not chunked:
        framed = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    head = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=X\r\n" % route.encode()
    connection, transport = Bench(client._transport.app).connect()  # type: ignore[attr-defined]
    connection.data_received(head + H2C + framed)
    async with asyncio.timeout(10):
        while not transport.written:
            await asyncio.sleep(0)
    assert transport.statuses == [200], transport.written
