"""Bounds on one connection, with a fake transport and a chosen time; `tests/faults` uses real sockets."""

import asyncio
import gc
import json
import socket
import struct
import weakref

import pytest
from prometheus_client import REGISTRY
from starlette.types import Receive, Scope, Send

from gateway.errors import OverloadedError
from gateway.fairness import Pace
from gateway.http.connection import LINGER_S
from gateway.http.connections import GROUPS
from gateway.observe import logs
from tests.fakes import FakeReplica
from tests.faults.smuggling import CORPUS
from tests.gateway.conftest import Start
from tests.gateway.http.bench import GET, POST, Bench, after, turns


async def test_a_head_that_takes_too_long_is_answered_with_408_and_the_connection_ends() -> None:
    connection, transport = Bench(head_timeout_s=5).connect()
    connection.data_received(GET[:10])
    connection.check(after(4))
    assert transport.written == b""
    connection.check(after(6))
    assert transport.statuses == [408]
    assert transport.half_closed
    connection.check(after(6 + LINGER_S))
    assert transport.closed


async def test_a_connection_without_a_byte_is_closed_without_an_answer() -> None:
    connection, transport = Bench(head_timeout_s=5).connect()
    connection.check(after(6))
    assert (transport.written, transport.closed) == (b"", True)


async def test_a_connection_may_be_idle_between_two_requests() -> None:
    connection, transport = Bench(head_timeout_s=5).connect()
    connection.data_received(GET)
    await turns()
    connection.check(after(60))
    assert (transport.statuses, transport.closed) == ([200], False)


@pytest.mark.parametrize(
    ("body", "pause_s", "late"),
    [
        (b"", 4, False),
        (b"", 6, True),  # idle for more than five seconds
        (b"x" * 1000, 4, False),
    ],
)
async def test_a_body_may_not_pause_for_long(body: bytes, pause_s: float, late: bool) -> None:
    bench = Bench(body_idle_s=5, body_timeout_s=100)
    connection, transport = bench.connect()
    connection.data_received(POST + body)
    await turns()
    connection.check(after(pause_s))
    await turns()
    assert transport.statuses == ([408] if late else [])
    assert bench.app.ended == ("RequestTimeoutError" if late else "")


@pytest.mark.parametrize(("received", "late"), [(1000, True), (30_000, False)])
async def test_a_body_that_keeps_its_pace_may_take_longer(received: int, late: bool) -> None:
    connection, transport = Bench(body_idle_s=300, body_timeout_s=2, body_min_bytes_per_s=10_000).connect()
    connection.data_received(POST + b"x" * received)
    await turns()
    connection.check(after(4))
    await turns()
    assert transport.statuses == ([408] if late else [])


async def test_bytes_sent_early_buy_no_time() -> None:
    connection, transport = Bench(body_idle_s=5, body_timeout_s=15, body_min_bytes_per_s=1000).connect()
    connection.data_received(POST + b"x" * 99_000)
    for quarters in range(61):
        await turns()
        connection.check(after(quarters / 4))
        if quarters % 16 == 15:
            connection._heard = after(quarters / 4)  # a byte every four seconds, at this simulated time
            connection._pace.received += 1
    assert transport.statuses == []
    connection.check(after(16))
    await turns()
    assert transport.statuses == [408]


async def test_a_body_that_must_make_room_for_others_ends_with_the_error_it_is_given() -> None:
    paces: list[Pace] = []

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        paces.append(scope["state"]["pace"])
        try:
            while (await receive())["type"] == "http.request":
                pass
        except OverloadedError:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body"})

    connection, transport = Bench(reading, body_idle_s=60).connect()
    connection.data_received(POST + b"x" * 1000)
    await turns()
    connection.check(after(2))
    assert paces[0].behind_s > 1
    paces[0].end(OverloadedError("others need the memory"))
    await turns()
    assert transport.statuses == [503]
    assert transport.half_closed


async def test_a_body_that_has_arrived_is_not_behind_and_cannot_be_ended() -> None:
    bench = Bench()
    bench.app.go_on.clear()
    connection, transport = bench.connect()
    connection.data_received(POST + b"x" * 50_000)
    connection.check(after(4))
    connection.data_received(b"x" * 50_000)
    assert connection._pace.behind_s == 0
    connection._pace.end(OverloadedError(""))
    bench.app.go_on.set()
    await turns()
    assert transport.statuses == [200]


async def test_time_in_which_we_do_not_read_is_not_the_clients() -> None:
    bench = Bench(body_idle_s=5, body_timeout_s=5)
    bench.app.reads, bench.app.go_on = False, asyncio.Event()
    connection, transport = bench.connect()
    connection.data_received(POST + b"x" * 70_000)
    assert transport.paused
    connection.check(after(60))
    bench.app.go_on.set()
    await turns()
    assert transport.statuses == [200]


async def test_an_answer_that_is_not_taken_in_time_ends_the_connection() -> None:
    connection, transport = Bench(send_timeout_s=10).connect()
    transport.unsent = 1000
    connection.check(after(0))
    connection.check(after(9))
    assert not transport.aborted
    connection.check(after(11))
    assert transport.aborted


@pytest.mark.parametrize(("request_", "body"), [(GET, b"ok"), (GET.replace(b"GET", b"HEAD"), b"")])
async def test_an_answer_leaves_in_one_write(request_: bytes, body: bytes) -> None:
    connection, transport = Bench().connect()
    connection.data_received(request_)
    await turns()
    assert transport.written.partition(b"\r\n\r\n")[2] == body
    assert transport.writes == 1


async def test_an_answer_whose_body_fails_is_begun_and_cut_off() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        raise RuntimeError

    connection, transport = Bench().connect()
    connection.app = failing
    connection.data_received(GET)
    await turns()
    assert (transport.statuses, transport.closed) == ([200], True)


async def test_a_client_that_leaves_ends_the_work_for_it() -> None:
    bench = Bench()
    bench.app.go_on.clear()
    connection, transport = bench.connect()
    connection.data_received(GET)
    await turns()
    connection.connection_lost(None)
    await turns()
    assert (bench.app.ended, transport.written) == ("CancelledError", b"")


@pytest.mark.parametrize("leaves", ["", "end", "reset"])
async def test_a_client_that_leaves_behind_pipelined_requests_ends_the_work_for_it(leaves: str) -> None:
    """While they wait nothing is read, and so the event loop does not see it."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            bench = Bench()
            bench.app.reads = False
            bench.app.go_on.clear()
            connection, transport = bench.connect(descriptor=accepted.fileno())
            connection.data_received(GET + GET)
            await turns()
            if leaves == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if leaves:
                client.close()
            connection.check(after(0.25))
            assert (transport.paused, transport.aborted) == (True, bool(leaves))


async def test_reading_goes_on_while_a_large_upload_is_worked_on_so_that_leaving_is_noticed() -> None:
    bench = Bench()
    bench.app.go_on.clear()
    connection, transport = bench.connect()
    connection.data_received(POST)
    await turns()
    connection.data_received(b"x" * 100_000)
    await turns()
    assert not transport.paused


async def test_the_body_is_handed_on_as_it_comes_and_what_waits_in_one() -> None:
    bench = Bench()
    came: list[tuple[bytes, bool]] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            came.append((message["body"], message["more_body"]))
            if not message["more_body"]:
                break
        await bench.app(scope, receive, send)

    bench.config.loaded_app = noting
    connection, _ = bench.connect()
    connection.app = noting
    bench.app.reads = False
    connection.data_received(POST.replace(b"Content-Length: 100000", b"Transfer-Encoding: chunked"))
    connection.data_received(b"1\r\na\r\n1\r\nb\r\n")
    await turns()
    connection.data_received(b"1\r\nc\r\n")
    await turns()
    connection.data_received(b"0\r\n\r\n")
    await turns()
    assert came == [(b"ab", True), (b"c", True), (b"", False)]


async def test_nothing_more_is_read_while_the_application_does_not_take_what_came() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(POST)
    connection.data_received(b"x" * 70_000)
    assert transport.paused
    await turns()
    assert not transport.paused


async def test_connections_are_checked_in_groups_and_each_is_in_one() -> None:
    bench = Bench()
    connected = [bench.connect() for _ in range(100)]
    for connection, _ in connected:
        connection.data_received(GET[:8])
    ended = []
    for group in range(GROUPS):
        bench.limiter.check(after(6), group)
        ended.append(sum(bool(transport.written) for _, transport in connected))
    assert ended == [100 * (group + 1) // GROUPS for group in range(GROUPS)]


OFFER = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", GET[:8], GET, GET + GET[:8], OFFER, POST, POST + b"x" * 100_000])
@pytest.mark.parametrize("too_late", [True, False])
@pytest.mark.parametrize("reset", [True, False])
async def test_a_closed_connection_needs_no_garbage_collection(sent: bytes, too_late: bool, reset: bool) -> None:
    """With two thousand slow clients, one garbage collection of their closed connections took half a second."""
    assert not await leaves_garbage(sent, too_late=too_late, reset=reset)


async def test_a_connection_whose_request_was_refused_needs_none_either() -> None:
    """The stored error referred back to the connection, which kept thirty objects a request."""
    requests = CORPUS | {"a long address": b"GET /" + b"a" * 20_000, "many fields": GET[:-2] + b"a: b\r\n" * 200}
    behind = [name for name, sent in requests.items() if await leaves_garbage(sent, too_late=False)]
    assert behind == []


async def leaves_garbage(sent: bytes, *, too_late: bool, reset: bool = False) -> bool:
    """Whether the connection is still in memory after its client has sent that and left."""
    bench = Bench()
    connection, _ = bench.connect()
    gc.disable()
    try:
        connection.data_received(sent)
        await turns()
        if too_late:
            bench.limiter.check(after(20))
            await turns()
        connection.connection_lost(ConnectionResetError() if reset else None)
        await turns()
        still_there = weakref.ref(connection)
        del connection
        return still_there() is not None
    finally:
        gc.enable()


async def test_at_the_limit_an_idle_connection_makes_room_and_a_busy_one_does_not() -> None:
    bench = Bench(max_connections=1)
    first, resting = bench.connect()
    first.data_received(GET)
    await turns()
    second, busy = bench.connect()
    assert resting.closed
    bench.app.go_on.clear()
    second.data_received(GET)
    await turns()
    _, refused = bench.connect()
    assert (refused.statuses, refused.closed, busy.closed) == ([503], True, False)


async def test_a_refused_connection_counts_among_all_refusals() -> None:
    def shed() -> float:
        return REGISTRY.get_sample_value("gateway_shed_total", {"by": "connections"}) or 0

    bench, before = Bench(max_connections=1), shed()
    bench.app.go_on.clear()
    first, _ = bench.connect()
    first.data_received(GET)
    await turns()
    _, refused = bench.connect()
    assert b"too-many-connections" in refused.written
    assert shed() - before == 1


async def test_an_error_after_a_good_request_waits_for_its_turn() -> None:
    bench = Bench()
    bench.app.go_on.clear()
    connection, transport = bench.connect()
    connection.data_received(GET + b"nonsense\r\n\r\n")
    await turns()
    assert transport.statuses == []
    bench.app.go_on.set()
    await turns()
    assert transport.statuses == [200, 400]


REPLICA_CALL = (
    b'POST /v1/models/my_model:predict%b HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n%b\r\n{"instances":[1]}'
)
UPLOAD = b'POST /v1/classify%b HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n%b\r\n{"instances":[1]}'
FIELDS = (
    b"Content-Type",
    b"Content-Encoding",
    b"Authorization",
    b"X-Request-ID",
    b"X-Forwarded-For",
    b"traceparent",
    b"tracestate",
    b"Origin",
    b"Cookie",
)


@pytest.mark.parametrize("request_", [REPLICA_CALL, UPLOAD], ids=["predict", "classify"])
@pytest.mark.parametrize("place", ["header", "query", "path"])
async def test_no_byte_that_a_client_sends_is_a_defect_of_ours(
    start: Start, replica: FakeReplica, request_: bytes, place: str
) -> None:
    client = await start(replica, cors_origins="https://www.example.org", trusted_proxies="127.0.0.1", canary="1:50%")
    bench = Bench(client._transport.app)  # type: ignore[attr-defined]
    defects = {}
    for number in range(256):
        byte = bytes([number])
        fields = b"".join(b"%b: a%bb\r\n" % (field, byte) for field in FIELDS) if place == "header" else b""
        target = {"header": b"", "query": b"?a" + byte, "path": byte}[place]
        connection, transport = bench.connect()
        connection.data_received(request_ % (target, fields))
        async with asyncio.timeout(5):
            while not transport.written:
                await asyncio.sleep(0)
        connection.connection_lost(None)
        if transport.statuses[0] >= 500:
            defects[byte] = transport.statuses
    assert defects == {}


async def test_while_it_drains_every_answer_closes_its_connection() -> None:
    bench = Bench()
    bench.lifecycle.draining = True
    connection, transport = bench.connect()
    connection.data_received(GET)
    await turns()
    assert b"connection: close" in transport.written
    assert transport.closed


async def test_an_answer_before_the_body_has_arrived_closes_its_connection() -> None:
    bench = Bench()
    bench.app.reads = False
    connection, transport = bench.connect()
    connection.data_received(POST + b"x" * 10)
    await turns()
    assert b"connection: close" in transport.written
    assert transport.half_closed


async def test_an_answer_to_a_body_that_has_arrived_unread_leaves_its_connection_open() -> None:
    bench = Bench()
    bench.app.reads = False
    connection, transport = bench.connect()
    connection.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxxx")
    await turns()
    assert transport.statuses == [200]
    assert not transport.closed


async def test_an_answered_client_that_reads_nothing_gives_way_at_once() -> None:
    """Closing would wait for the answer to be read, and keep the descriptor until then."""
    bench = Bench(max_connections=1)
    first, unread = bench.connect()
    first.data_received(GET)
    await turns()
    unread.unsent = 1_500_000
    bench.connect()
    assert (unread.aborted, unread.closed) == (True, False)


@pytest.mark.parametrize("reads_again", [False, True])
async def test_a_client_that_reads_nothing_gives_way_although_its_next_request_is_in_progress(
    reads_again: bool,
) -> None:
    bench = Bench(max_connections=1)
    first, unread = bench.connect()
    first.data_received(GET)
    await turns()
    bench.app.go_on.clear()
    first.data_received(GET)
    await turns()
    first.pause_writing()
    unread.unsent = 1_500_000
    if reads_again:
        first.resume_writing()
    _, new = bench.connect()
    assert (unread.aborted, new.statuses) == ((False, [503]) if reads_again else (True, []))


async def test_the_last_descriptors_are_not_for_connections() -> None:
    bench = Bench()
    bench.limiter.last_descriptor = 100
    _, taken = bench.connect(descriptor=100)
    _, refused = bench.connect(descriptor=101)
    assert (taken.statuses, refused.statuses, refused.closed) == ([], [503], True)
    assert b"retry-after: 1" in refused.written


async def test_connections_that_are_turned_away_are_one_line_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    bench = Bench(max_connections=1)
    bench.connect()
    capsys.readouterr()
    for tenth in range(30):
        bench.connect()
        bench.limiter.check(after(60 + tenth / 10), group=99)
    counts = [json.loads(line)["count"] for line in capsys.readouterr().err.splitlines()]
    assert counts == [1, 10, 10]
