"""Bounds on concurrent work, and the queues before them."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from starlette.types import Message, Receive, Scope, Send

from gateway.admission import Admission, Queue, QueueFullError, Shares
from gateway.errors import GatewayError, OverloadedError
from gateway.fairness import CALLER, Pace

MIB = 1024 * 1024


def shed(by: str) -> float:
    return REGISTRY.get_sample_value("gateway_shed_total", {"by": by}) or 0


# --- Bodies and requests in flight --------------------------------------------------------------------------------


class Uploads:
    """Requests to an application that reads the body and answers when the test allows it."""

    def __init__(
        self, max_in_flight: int = 1, max_bodies_bytes: int = 100, queue_size: int = 0, queue_wait_s: float = 30
    ) -> None:
        self.finish = asyncio.Event()
        self.read = 0
        """Pieces."""
        self.answered: list[str] = []
        """Addresses."""
        self.app = Admission(
            self._read_and_wait,
            max_in_flight=max_in_flight,
            max_bodies_bytes=max_bodies_bytes,
            queue_size=queue_size,
            queue_wait_s=queue_wait_s,
        )

    async def _read_and_wait(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await self.finish.wait()
        self.answered.append(scope["client"][0])

    async def send(self, *pieces: int, address: str = "a") -> None:
        """Pieces of so many bytes each."""
        left = list(pieces)

        async def receive() -> Message:
            self.read += 1
            piece = left.pop(0)
            return {"type": "http.request", "body": bytes(piece), "more_body": bool(left)}

        async def nothing(message: Message) -> None:
            pass

        headers = [(b"content-length", b"%d" % sum(pieces))]
        scope = {"type": "http", "headers": headers, "client": (address, 1), "state": {}}
        await self.app(scope, receive, nothing)

    async def under_way(self, *pieces: int, address: str = "a") -> "asyncio.Task[None]":
        task = asyncio.create_task(self.send(*pieces, address=address))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task


def gauge(name: str) -> float | None:
    return REGISTRY.get_sample_value(name)


async def test_bodies_beyond_the_bound_are_refused_counted_and_do_not_stay() -> None:
    uploads, before = Uploads(max_in_flight=9), shed("bodies")
    first = await uploads.under_way(60)
    with pytest.raises(OverloadedError):
        await uploads.send(20, 21)
    assert gauge("gateway_body_bytes") == 60
    second = await uploads.under_way(40)
    uploads.finish.set()
    await asyncio.gather(first, second)
    assert (gauge("gateway_body_bytes"), shed("bodies") - before) == (0, 1)


async def test_requests_beyond_the_bound_are_refused_before_their_body_is_read_and_counted() -> None:
    uploads, before = Uploads(), shed("requests")
    first = await uploads.under_way(10)
    with pytest.raises(OverloadedError):
        await uploads.send(10)
    assert (uploads.read, gauge("gateway_in_flight")) == (1, 1)
    uploads.finish.set()
    await first
    assert (gauge("gateway_in_flight"), shed("requests") - before) == (0, 1)
    await uploads.send(10)


async def test_of_two_bodies_that_end_at_once_one_takes_the_last_place() -> None:
    uploads = Uploads()
    both = [await uploads.under_way(10, 10) for _ in range(2)]
    uploads.finish.set()
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(map(repr, map(type, outcomes))) == sorted(map(repr, [type(None), OverloadedError]))


async def test_a_caller_that_has_its_share_of_the_places_leaves_some_for_others() -> None:
    uploads, before = Uploads(max_in_flight=18, max_bodies_bytes=10_000), shed("share")
    under_way = [await uploads.under_way(10) for _ in range(16)]
    with pytest.raises(OverloadedError):
        await uploads.send(10)
    assert (uploads.read, shed("share") - before) == (16, 1)
    under_way += [await uploads.under_way(10, address="b") for _ in range(2)]
    assert gauge("gateway_in_flight") == 18
    uploads.finish.set()
    await asyncio.gather(*under_way)
    assert gauge("gateway_in_flight") == 0


@pytest.mark.parametrize("most", [1, 2])
async def test_of_one_or_two_places_a_caller_with_nothing_in_flight_gets_a_free_one(most: int) -> None:
    uploads = Uploads(max_in_flight=most)
    first = await uploads.under_way(10)
    second = await uploads.under_way(10, address="b")
    uploads.finish.set()
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert [outcome is None for outcome in outcomes] == [True, most == 2]
    await uploads.send(10, address="b")


async def test_requests_over_the_places_in_flight_wait_and_callers_have_turns() -> None:
    uploads, before = Uploads(max_in_flight=2, queue_size=8), shed("requests")
    under_way = [await uploads.under_way(10, address=address) for address in "aaaaabc"]
    assert (uploads.read, gauge("gateway_in_flight")) == (7, 2)
    uploads.finish.set()
    await asyncio.gather(*under_way)
    assert "".join(uploads.answered) == "aaabcaa"
    assert (gauge("gateway_in_flight"), gauge("gateway_body_bytes"), shed("requests") - before) == (0, 0, 0)


async def test_a_caller_over_its_share_of_the_places_waits_and_keeps_no_other_waiting() -> None:
    uploads = Uploads(max_in_flight=18, max_bodies_bytes=10_000, queue_size=8)
    under_way = [await uploads.under_way(10) for _ in range(17)]
    assert (uploads.read, gauge("gateway_in_flight")) == (17, 16)
    under_way += [await uploads.under_way(10, address="b")]
    assert gauge("gateway_in_flight") == 17
    uploads.finish.set()
    await asyncio.gather(*under_way)
    assert gauge("gateway_in_flight") == 0


async def test_a_request_that_waits_too_long_for_a_place_is_refused_and_counted() -> None:
    uploads, before = Uploads(queue_size=1, queue_wait_s=0), shed("requests")
    first = await uploads.under_way(10)
    with pytest.raises(OverloadedError) as refused:
        await uploads.send(10)
    assert refused.value.retry_after_s == 1
    assert (gauge("gateway_in_flight"), gauge("gateway_body_bytes"), shed("requests") - before) == (1, 10, 1)
    uploads.finish.set()
    await first


async def test_of_one_caller_only_a_share_may_wait_and_the_next_is_refused_unread() -> None:
    uploads = Uploads(queue_size=18, max_bodies_bytes=10_000)
    under_way = [await uploads.under_way(10) for _ in range(1 + 16)]
    with pytest.raises(OverloadedError):
        await uploads.send(10)
    assert uploads.read == 17
    under_way += [await uploads.under_way(10, address="b")]
    assert uploads.read == 18
    uploads.finish.set()
    await asyncio.gather(*under_way)


@pytest.mark.parametrize("granted", [False, True])
async def test_a_client_that_leaves_while_it_waits_takes_no_place(granted: bool) -> None:
    uploads = Uploads(queue_size=1)
    first = await uploads.under_way(10)
    waiting = await uploads.under_way(10)
    uploads.finish.set()
    if granted:
        await first
    waiting.cancel()
    await asyncio.gather(first, waiting, return_exceptions=True)
    assert (gauge("gateway_in_flight"), gauge("gateway_body_bytes"), len(uploads.app.queue.waiting)) == (0, 0, 0)


async def test_with_the_beginning_of_its_answer_a_request_gives_back_what_it_holds() -> None:
    reads = asyncio.Event()

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * 10}

    async def send(message: Message) -> None:
        await reads.wait()  # the client has not read its last answer

    app = Admission(answers, max_in_flight=1, max_bodies_bytes=100, queue_size=0, queue_wait_s=0)
    scope: Scope = {"type": "http", "headers": [(b"content-length", b"10")], "state": {}}
    unread = asyncio.create_task(app(scope, receive, send))
    await asyncio.sleep(0)
    assert (gauge("gateway_in_flight"), gauge("gateway_body_bytes")) == (0, 0)
    reads.set()
    await unread
    assert (gauge("gateway_in_flight"), gauge("gateway_body_bytes")) == (0, 0)


async def test_a_slow_body_ends_for_one_that_finds_no_room_and_is_counted() -> None:
    uploads, before = Uploads(max_in_flight=9), shed("slow-bodies")
    ended: list[GatewayError] = []
    half = Pace(1000, ended.append)

    async def half_a_body() -> Message:
        if half.received:
            await asyncio.Event().wait()
        half.received = 60
        return {"type": "http.request", "body": bytes(60), "more_body": True}

    async def nothing(message: Message) -> None:
        pass

    scope: Scope = {"type": "http", "headers": [(b"content-length", b"90")], "client": ("a", 1)}
    slow = asyncio.create_task(uploads.app({**scope, "state": {"pace": half}}, half_a_body, nothing))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await uploads.send(50, address="b")
    half.passed(2)
    uploads.finish.set()
    await uploads.send(50, address="b")
    assert [error.status for error in ended] == [503]
    assert shed("slow-bodies") - before == 1
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    assert gauge("gateway_body_bytes") == 0


async def test_large_bodies_are_read_in_turn_and_small_ones_at_once() -> None:
    uploads = Uploads(max_in_flight=9, max_bodies_bytes=10 * MIB)
    uploads.finish.set()
    large = [asyncio.create_task(uploads.send(*[256 * 1024] * 3)) for _ in range(4)]
    for _ in range(9):
        await asyncio.sleep(0)
    assert uploads.read == 4 + 2  # two pieces of them fill the half megabyte
    await uploads.send(100, 100, address="b")
    assert uploads.read == 4 + 2 + 2
    await asyncio.gather(*large)


# --- Queue ----------------------------------------------------------------------------------------------------------


class Places:
    """Places by kind; a request takes one of the kinds that it can use."""

    def __init__(self, size: int = 8, **free: int) -> None:
        self.free = dict(free)
        self.looks = 0
        """Times that a request was asked what it can have."""
        self.queue: Queue[str] = Queue(size=size)
        self.served: list[str] = []
        """Callers."""

    def take(self, kinds: str) -> Callable[[], str | None]:
        def taking() -> str | None:
            self.looks += 1
            kind = next((kind for kind in kinds if self.free[kind]), None)
            if kind:
                self.free[kind] -= 1
            return kind

        return taking

    def give_back(self, kind: str) -> None:
        self.free[kind] += 1
        self.queue.assign()

    def get(self, kinds: str, wait_s: float = 30, caller: str = "") -> "asyncio.Task[str]":
        return asyncio.create_task(self._get(kinds, wait_s, caller))

    async def _get(self, kinds: str, wait_s: float, caller: str) -> str:
        CALLER.set(caller)
        kind = await self.queue.get(self.take(kinds), self.give_back, need=lambda: kinds, wait_s=wait_s)
        self.served.append(caller)
        return kind

    async def waiting(self, count: int) -> None:
        while len(self.queue.waiting) < count:
            await asyncio.sleep(0)


async def test_the_longest_waiting_request_is_served_first() -> None:
    places = Places(a=0)
    requests = []
    for count in (1, 2, 3):
        requests.append(places.get("a"))
        await places.waiting(count)
    for served in (1, 2, 3):
        places.give_back("a")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [request.done() for request in requests] == [number < served for number in range(3)]


async def test_no_request_waits_behind_one_that_cannot_be_served() -> None:
    places = Places(a=0, b=0)
    stuck = places.get("a")
    await places.waiting(1)
    others = [places.get("ab") for _ in range(3)]
    await places.waiting(4)
    for _ in others:
        places.give_back("b")
    assert await asyncio.gather(*others) == ["b", "b", "b"]
    places.give_back("a")
    assert await stuck == "a"


async def test_a_new_request_is_served_past_one_that_cannot_be() -> None:
    places = Places(a=0, b=1)
    stuck = places.get("a")
    await places.waiting(1)
    assert await places.get("b") == "b"
    places.give_back("a")
    await stuck


async def test_a_request_leaves_the_queue_when_its_time_is_up() -> None:
    places = Places(a=0)
    with pytest.raises(TimeoutError):
        await places.get("a", wait_s=0)
    assert len(places.queue.waiting) == 0


async def test_a_full_queue_refuses_at_once() -> None:
    places = Places(a=0)
    requests = [places.get("a") for _ in range(8)]
    await places.waiting(8)
    with pytest.raises(QueueFullError):
        await places.get("a")
    for _ in requests:
        places.give_back("a")
    assert await asyncio.gather(*requests) == ["a"] * 8


async def test_callers_have_turns_and_the_requests_of_one_are_served_as_they_came() -> None:
    places = Places(a=0)
    requests = [places.get("a", caller=caller) for caller in "xxxxyyz"]
    await places.waiting(7)
    for _ in requests:
        places.give_back("a")
    await asyncio.gather(*requests)
    assert "".join(places.served) == "xyzxyxx"


async def test_the_turn_stays_where_it_was_when_places_come_one_by_one() -> None:
    places = Places(a=0)
    requests = [places.get("a", caller=caller) for caller in "xxx"]
    await places.waiting(3)
    for caller in ("", "yy", "z"):
        requests += [places.get("a", caller=one) for one in caller]
        await places.waiting(len(requests) - len(places.served))
        places.give_back("a")
        for _ in range(3):
            await asyncio.sleep(0)
    while len(places.served) < len(requests):
        places.give_back("a")
        for _ in range(3):
            await asyncio.sleep(0)
    assert "".join(places.served) == "xxyxzy"


async def test_one_caller_cannot_fill_the_queue() -> None:
    places = Places(a=0, size=18)
    requests = [places.get("a", caller="x") for _ in range(16)]
    await places.waiting(16)
    with pytest.raises(QueueFullError):
        await places.get("a", caller="x")
    requests.append(places.get("a", caller="y"))
    await places.waiting(17)
    places.give_back("a")
    places.give_back("a")
    assert await requests[-1] == "a"
    for request in requests:
        request.cancel()
    await asyncio.gather(*requests, return_exceptions=True)


async def test_what_a_cancelled_request_was_just_granted_goes_to_the_next() -> None:
    places = Places(a=0)
    first = places.get("a")
    await places.waiting(1)
    second = places.get("a")
    await places.waiting(2)
    places.give_back("a")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == "a"


async def test_of_waiting_requests_with_equal_needs_one_is_looked_at() -> None:
    places = Places(a=0, b=0)
    requests = [places.get(kinds) for kinds in ("a", "b", "a", "b", "a")]
    await places.waiting(5)
    places.looks = 0
    places.queue.assign()
    assert places.looks == 2
    places.looks = 0
    places.give_back("b")
    assert places.looks == 3  # the first a, the first b, and the second b in vain
    for request in requests:
        request.cancel()
    await asyncio.gather(*requests, return_exceptions=True)


async def test_a_request_that_is_leaving_takes_nothing() -> None:
    places = Places(a=0)
    leaving = places.get("a")
    await places.waiting(1)
    leaving.cancel()
    places.give_back("a")  # before the event loop has told the request that it is cancelled
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert places.free["a"] == 1


STEP = st.tuples(
    st.sampled_from(["come", "come", "come", "give back", "cancel"]),
    st.sampled_from(["a", "b", "c", "ab", "bc", "abc"]),
    st.sampled_from("xyz"),
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(STEP, max_size=40), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))
def test_no_schedule_leaves_a_request_waiting_that_could_be_served(
    steps: list[tuple[str, str, str]], a: int, b: int, c: int
) -> None:
    async def run() -> None:
        places = Places(a=a, b=b, c=c)
        waiting: dict[asyncio.Task[str], str] = {}
        for step, kinds, caller in steps:
            if step == "come":
                waiting[places.get(kinds, caller=caller)] = kinds
            elif step == "cancel" and waiting:
                next(iter(waiting)).cancel()
            elif step == "give back":
                places.give_back(kinds[0])
            for _ in range(4):
                await asyncio.sleep(0)
            waiting = {task: kinds for task, kinds in waiting.items() if not task.done()}
            servable = [kinds for kinds in waiting.values() if any(places.free[kind] for kind in kinds)]
            assert not servable, (places.free, servable)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(run())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["x", "x", "x", "y", "z", "serve", "cancel"]), max_size=60))
def test_no_caller_waits_for_more_than_one_request_of_each_other_caller(steps: list[str]) -> None:
    """From the moment that a caller's first request waits, however many the others send."""

    async def run() -> None:
        places, tasks = Places(a=0, size=1000), []
        passed: dict[str, dict[str, int]] = {}
        for step in steps:
            waiting = list(places.queue.waiting)
            if step in "xyz":
                tasks.append(places.get("a", caller=step))
                passed.setdefault(step, {})
            elif step == "cancel" and tasks:
                tasks[len(tasks) // 2].cancel()
            elif step == "serve" and waiting:
                places.give_back("a")
            for _ in range(4):
                await asyncio.sleep(0)
            if step == "serve" and waiting:
                served = places.served[-1]
                still = {waiter.caller for waiter in places.queue.waiting}
                passed = {caller: counts for caller, counts in passed.items() if caller in still and caller != served}
                passed |= {caller: {} for caller in still - passed.keys()}
                for counts in (passed[caller] for caller in still - {served}):
                    counts[served] = counts.get(served, 0) + 1
                    assert counts[served] == 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["come", "give back", "cancel first", "cancel last", "turn"]), max_size=30))
def test_no_schedule_loses_a_place(steps: list[str]) -> None:
    """Between two turns of the event loop, several things happen at once."""

    async def run() -> None:
        places, tasks, given_back = Places(a=0), [], 0
        for step in steps:
            if step == "come":
                tasks.append(places.get("a"))
            elif step == "give back":
                places.give_back("a")
                given_back += 1
            elif step == "turn":
                await asyncio.sleep(0)
            elif waiting := [task for task in tasks if not task.done()]:
                waiting[0 if step == "cancel first" else -1].cancel()
        for _ in range(4):
            await asyncio.sleep(0)
        served = sum(task.done() and not task.cancelled() for task in tasks)
        assert served + places.free["a"] == given_back
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


# --- Shares ---------------------------------------------------------------------------------------------------------


async def test_a_large_share_is_not_starved_by_small_ones_that_come_later() -> None:
    shares, order = Shares(3), []
    await shares.acquire(2)

    async def take(share: int) -> None:
        await shares.acquire(share)
        order.append(share)

    tasks = []
    for share in (3, 1, 1):
        tasks.append(asyncio.create_task(take(share)))
        await asyncio.sleep(0)
    assert order == []
    shares.release(2)
    await tasks[0]
    shares.release(3)
    await asyncio.gather(*tasks)
    assert order == [3, 1, 1]


async def test_a_large_share_is_not_starved_by_small_ones_of_other_callers() -> None:
    shares = Shares(3)
    await shares.acquire(2)
    order: list[str] = []

    async def take(caller: str, share: int) -> None:
        CALLER.set(caller)
        await shares.acquire(share)
        order.append(caller)

    tasks = []
    for caller, share in (("large", 3), *((f"small {number}", 1) for number in range(3))):
        tasks.append(asyncio.create_task(take(caller, share)))
        await asyncio.sleep(0)
    shares.release(2)
    await tasks[0]
    assert order == ["large"]
    shares.release(3)
    await asyncio.gather(*tasks)


async def test_when_a_large_request_gives_up_the_smaller_ones_behind_it_are_served() -> None:
    shares = Shares(2)
    await shares.acquire(1)
    large = asyncio.create_task(shares.acquire(2))
    await asyncio.sleep(0)
    small = asyncio.create_task(shares.acquire(1))
    await asyncio.sleep(0)
    large.cancel()
    assert await small == 1


async def test_more_than_there_is_takes_all_of_it() -> None:
    shares = Shares(2)
    async with shares.held(100):
        assert shares.free == 0
        with pytest.raises(TimeoutError):
            await shares.acquire(1, wait_s=0)
    assert shares.free == 2


async def test_a_share_that_is_given_back_as_its_next_holder_leaves_is_not_lost() -> None:
    shares = Shares(1)
    await shares.acquire()
    leaving = asyncio.create_task(shares.acquire())
    await asyncio.sleep(0)
    leaving.cancel()
    shares.release()
    await asyncio.gather(leaving, return_exceptions=True)
    assert shares.free == 1


async def test_a_share_that_is_free_in_the_moment_of_the_time_out_is_not_lost() -> None:
    shares = Shares(1)
    await shares.acquire()
    waiting = asyncio.create_task(shares.acquire(1, wait_s=0))
    await asyncio.sleep(0)
    shares.release()
    (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
    assert shares.free == (0 if outcome == 1 else 1)
