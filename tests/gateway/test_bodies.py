"""The pace of bodies, and the memory for them, in simulated time."""

import pytest

from gateway.errors import GatewayError, OverloadedError
from gateway.fairness import PATIENCE_S, SMALL_BYTES, Bodies, Body, Pace

RATE = 1000
KIB = 1024


def arriving(*received_by_second: int) -> float:
    """How far such a body is behind, in seconds."""
    pace = Pace(RATE)
    for received in received_by_second:
        pace.received += received
        pace.passed(1)
    return pace.behind_s


@pytest.mark.parametrize(
    ("received", "behind_s"),
    [
        ([], 0),
        ([0] * 5, 5),
        ([RATE] * 60, 0),
        ([RATE // 2] * 10, 5),
        ([3000, 0, 0, 3000, 0, 0], 2),
        ([0, 0, 3000], 0),
    ],
)
def test_a_body_is_behind_by_what_it_lacks_at_its_lowest_rate(received: list[int], behind_s: float) -> None:
    assert arriving(*received) == behind_s


def test_bytes_sent_early_buy_no_time() -> None:
    assert arriving(33_554_432, *[1] * 15) > 13.9


class Uploads:
    """Bodies that arrive."""

    def __init__(self, total: int = 100 * SMALL_BYTES) -> None:
        self.bodies = Bodies(total, lambda: OverloadedError("ended"))
        self.ended: list[str] = []

    def body(self, name: str, held: int = 0, *, announced: int | None = None, behind_s: float = 0) -> Body:
        """`name` begins with its caller; `held` has arrived, and nothing since for so long."""

        def end(error: GatewayError) -> None:
            self.ended.append(name)

        body = Body(name[0], announced, Pace(RATE, end))
        assert body.pace
        assert self.bodies.grow(body, held) == ""
        body.pace.passed(behind_s)
        return body

    def held(self, *bodies: Body) -> list[int]:
        return [body.held_bytes // SMALL_BYTES for body in bodies]


LARGE = 10 * SMALL_BYTES


def fill(uploads: Uploads, body: Body) -> int:
    """Let it grow to where it gets no more; how much it has then, in small bodies."""
    while not uploads.bodies.grow(body, SMALL_BYTES):
        pass
    return body.held_bytes // SMALL_BYTES


def test_the_large_bodies_of_one_caller_leave_room_for_those_of_another() -> None:
    uploads = Uploads()
    first, second = (uploads.body("a1", 2 * SMALL_BYTES) for _ in range(2))
    assert fill(uploads, first) + second.held_bytes // SMALL_BYTES == 89
    assert uploads.bodies.grow(second, SMALL_BYTES) == "share"
    other = uploads.body("b1", 2 * SMALL_BYTES)
    assert fill(uploads, other) == 10
    assert uploads.ended == []


def test_a_small_body_finds_room_where_the_large_ones_of_its_own_caller_have_taken_theirs() -> None:
    uploads = Uploads()
    first = uploads.body("a1", 2 * SMALL_BYTES)
    uploads.body("a2", 2 * SMALL_BYTES)
    fill(uploads, first)
    uploads.body("a3", SMALL_BYTES, announced=SMALL_BYTES)
    chunked = uploads.body("a4", SMALL_BYTES)
    assert uploads.bodies.grow(chunked, 1) == "share"
    assert uploads.bodies.grow(Body("a", SMALL_BYTES + 1, None), 1) == "share"


def test_the_only_body_may_take_all_of_the_memory() -> None:
    uploads = Uploads()
    assert fill(uploads, uploads.body("a1")) == 100


def test_for_a_newcomer_the_slowest_body_ends() -> None:
    uploads = Uploads(total=4 * LARGE)
    slow = [uploads.body(name, LARGE, behind_s=behind_s) for name, behind_s in (("a1", 3), ("b1", 5), ("c1", 4))]
    newcomer = uploads.body("d1", LARGE)
    assert uploads.ended == []
    assert uploads.bodies.grow(newcomer, LARGE) == ""
    assert uploads.ended == ["b1"]
    assert uploads.held(*slow, newcomer) == [10, 0, 10, 20]
    assert uploads.bodies.held_bytes == 4 * LARGE


def test_the_slowest_body_ends_first_of_the_caller_that_holds_most() -> None:
    uploads = Uploads(total=4 * LARGE)
    for name, behind_s in (("a1", 3), ("a2", 2), ("b1", 5)):
        uploads.body(name, LARGE, behind_s=behind_s)
    uploads.body("c1", LARGE)
    uploads.body("d1", LARGE)
    assert uploads.ended == ["a1"]


def test_a_body_that_makes_progress_is_not_ended_for_a_newcomer() -> None:
    uploads = Uploads(total=4 * LARGE)
    for name in ("a1", "b1", "c1", "d1"):
        uploads.body(name, LARGE, behind_s=PATIENCE_S)
    assert uploads.bodies.grow(Body("e", None, None), 1) == "all"
    assert uploads.ended == []


def test_a_body_that_has_arrived_is_not_ended() -> None:
    uploads = Uploads(total=4 * LARGE)
    whole = uploads.body("a1", 4 * LARGE, behind_s=9)
    assert uploads.bodies.grow(whole, 0, last=True) == ""
    assert uploads.bodies.grow(Body("b", None, None), 1) == "all"
    uploads.bodies.release(whole)
    assert uploads.bodies.grow(Body("b", None, None), 1) == ""


def test_a_caller_that_has_used_its_share_up_loses_a_body_of_its_own() -> None:
    uploads = Uploads()
    slow = uploads.body("a1", 50 * SMALL_BYTES, behind_s=2)
    uploads.body("b1", 5 * SMALL_BYTES, behind_s=9)
    newcomer = uploads.body("a2", 30 * SMALL_BYTES)
    assert [uploads.bodies.grow(newcomer, SMALL_BYTES) for _ in range(20)] == [""] * 20
    assert uploads.ended == ["a1"]
    assert slow.held_bytes == 0


def test_a_caller_with_several_bodies_costs_no_other_caller_a_slow_one() -> None:
    uploads = Uploads()
    uploads.body("b1", 5 * SMALL_BYTES, behind_s=9)
    uploads.body("a1", 2 * SMALL_BYTES)
    fill(uploads, uploads.body("a2", 2 * SMALL_BYTES))
    assert uploads.ended == []


def test_of_eighty_half_uploads_from_as_many_addresses_none_keeps_a_newcomer_out() -> None:
    uploads = Uploads(total=256 * KIB * KIB)
    half = [Body(f"10.0.0.{number}", 33_554_432, Pace(RATE)) for number in range(80)]
    for _ in range(128):
        for body in half:
            uploads.bodies.grow(body, SMALL_BYTES)
    for _ in range(100):
        assert uploads.bodies.grow(Body("small", 100 * KIB, None), KIB) == ""
    for body in half:
        assert body.pace
        body.pace.passed(2)
    large = Body("large", 33_554_432, Pace(RATE))
    assert all(uploads.bodies.grow(large, SMALL_BYTES) == "" for _ in range(128))
