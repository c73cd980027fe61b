"""When requests begin: callers in turn, on connections with a fake transport."""

import asyncio
from collections.abc import Callable

import pytest
from starlette.types import Receive, Scope, Send

from gateway.http.connection import Connection
from gateway.http.exchange import Turns
from tests.gateway.http.bench import Bench, Transport, turns

BURST = 16_000


class Begun:
    """An application that notes the path of each request that begins and never answers."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.bench = Bench(self, max_connections=100)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        await asyncio.Event().wait()

    def send(self, caller: str, path: str) -> tuple[Connection, Transport]:
        connection, transport = self.bench.connect()
        connection.data_received(f"GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {caller}\r\n\r\n".encode())
        return connection, transport


@pytest.fixture
async def begun() -> Begun:
    return Begun()


async def test_callers_begin_in_turn_and_the_requests_of_one_as_they_came(begun: Begun) -> None:
    for path in ("/a1", "/a2", "/a3", "/a4", "/b1", "/b2", "/c1"):
        begun.send(path[1], path)
    await turns()
    assert begun.paths == ["/a1", "/a2", "/b1", "/c1", "/a3", "/b2", "/a4"]


async def test_a_request_alone_begins_at_once(begun: Begun) -> None:
    for count in (1, 2, 3):
        begun.send("a", "/")
        await asyncio.sleep(0)
        assert len(begun.paths) == count


async def test_one_request_begins_in_each_round_of_the_event_loop(begun: Begun) -> None:
    for _ in range(20):
        begun.send("a", "/")
    per_round = []
    for _ in range(10):
        before = len(begun.paths)
        await asyncio.sleep(0)
        per_round.append(len(begun.paths) - before)
    assert per_round == [1, 0, 1, 1, 1, 1, 1, 1, 1, 1]  # to wake one that waits takes a round


async def test_a_burst_of_one_caller_delays_another_by_few_rounds() -> None:
    waiting: Turns[None] = Turns(lambda scope: str(scope))
    burst = [asyncio.create_task(waiting.begin("a", None)) for _ in range(BURST)]
    await asyncio.sleep(0)
    other = asyncio.create_task(waiting.begin("b", None))
    rounds = 0
    while not other.done():
        await asyncio.sleep(0)
        rounds += 1
    assert rounds <= 4
    assert sum(each.done() for each in burst) <= 4
    for each in burst:
        each.cancel()
    await asyncio.gather(*burst, return_exceptions=True)


@pytest.mark.parametrize("leave", [lambda task: task.cancel(), lambda task: None])
async def test_after_a_burst_nothing_waits_and_a_request_begins_at_once(
    leave: Callable[["asyncio.Task[None]"], object],
) -> None:
    waiting: Turns[None] = Turns(lambda scope: str(scope))
    burst = [asyncio.create_task(waiting.begin(caller, None)) for caller in "aaabbc"]
    await asyncio.sleep(0)
    for each in burst:
        leave(each)
    await asyncio.gather(*burst, return_exceptions=True)
    await turns()
    assert waiting.crowding() is None
    next_one = asyncio.create_task(waiting.begin("d", None))
    await asyncio.sleep(0)
    assert next_one.done()


async def test_a_request_whose_client_leaves_never_begins_and_takes_no_turn(begun: Begun) -> None:
    begun.send("a", "/1")
    leaving = [begun.send("a", "/left")[0] for _ in range(3)]
    begun.send("a", "/2")
    await asyncio.sleep(0)
    for connection in leaving:
        connection.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    assert begun.paths == ["/1", "/2"]


async def test_a_request_that_waits_when_the_gateway_stops_is_answered_503(begun: Begun) -> None:
    begun.send("a", "/1")
    connection, transport = begun.send("a", "/2")
    await asyncio.sleep(0)
    for task in connection.tasks:
        task.cancel()
    await turns()
    assert transport.statuses == [503]
    assert b"shutting-down" in transport.written
    assert begun.paths == ["/1"]


async def test_at_the_limit_the_latest_that_waits_gives_way_of_the_caller_with_most_of_them(begun: Begun) -> None:
    begun.bench.limiter.limit = 6
    sent = [begun.send(path[1], path)[1] for path in ("/a1", "/b1", "/a2", "/a3", "/b2", "/a4")]
    await asyncio.sleep(0)
    begun.send("c", "/c1")
    await turns()
    assert [transport.statuses for transport in sent] == [[], [], [], [], [], [503]]
    assert [transport.closed for transport in sent] == [False] * 5 + [True]
    assert b"retry-after: 1" in sent[-1].written
    assert "/c1" in begun.paths


async def test_at_the_limit_a_connection_gives_way_only_once(begun: Begun) -> None:
    begun.bench.limiter.limit = 4
    sent = [begun.send("a", "/a")[1] for _ in range(4)]
    await asyncio.sleep(0)
    new = [begun.send("b", "/b")[1] for _ in range(3)]
    assert [transport.statuses for transport in sent] == [[], [], [503], [503]]
    assert [transport.statuses for transport in new] == [[], [], [503]]


async def test_at_the_limit_a_caller_with_one_request_that_waits_keeps_it(begun: Begun) -> None:
    begun.bench.limiter.limit = 3
    sent = [begun.send(caller, "/")[1] for caller in "aab"]
    await asyncio.sleep(0)
    _, refused = begun.send("c", "/")
    assert [transport.statuses for transport in sent] == [[], [], []]
    assert refused.statuses == [503]
