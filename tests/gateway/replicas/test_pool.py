"""Whose turn it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contract import ServedModel
from gateway.labels import Description, Preprocessing
from gateway.replicas.pool import Pool, Replica

MODEL = ServedModel(
    name="my_model",
    version="1",
    description=Description(title="t", labels=("a",), preprocessing=Preprocessing(fingerprint="f")),
    signature="serving_bytes",
    encoding="bytes",
    input_range=(0, 1),
    output="probabilities",
    softmax=True,
)


def pool_of(names: str, *, max_in_flight: int = 32) -> Pool:
    pool = Pool(max_in_flight=max_in_flight)
    pool.set_addresses(names)
    for replica in pool.replicas:
        replica.model = MODEL
    return pool


@pytest.fixture
def pool() -> Pool:
    return pool_of("abc")


def turns(pool: Pool, *, now: float, count: int, tried: str = "") -> str:
    skipped = [replica for replica in pool.replicas if replica.address in tried]
    picked = [pool.pick(now, tried=skipped) for _ in range(count)]
    return "".join(replica.address if replica else "-" for replica in picked)


def test_turns_go_round(pool: Pool) -> None:
    assert turns(pool, now=0, count=7) == "abcabca"


def test_ten_thousand_turns_over_four_replicas_are_exactly_even() -> None:
    dealt = turns(pool_of("abcd"), now=0, count=10_000)
    assert {name: dealt.count(name) for name in "abcd"} == dict.fromkeys("abcd", 2500)


def test_ejected_replica_is_skipped_until_its_time_is_up(pool: Pool) -> None:
    b = pool.replicas[1]
    pool.failed(b, now=0)
    assert turns(pool, now=0, count=3) == "abc"  # one failure is forgiven
    pool.failed(b, now=0)
    assert turns(pool, now=0.9, count=4) == "acac"
    assert turns(pool, now=1, count=3) == "abc"


def test_each_further_ejection_is_twice_as_long_up_to_half_a_minute(pool: Pool) -> None:
    a, now, lengths = pool.replicas[0], 0.0, []
    pool.failed(a, now)
    for _ in range(8):
        pool.failed(a, now)
        lengths.append(a.ejected_until - now)
        now = a.ejected_until
    assert lengths == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_thousand_failures_do_not_overflow(pool: Pool) -> None:
    for second in range(0, 100_000, 50):
        pool.failed(pool.replicas[0], now=second)
    assert pool.replicas[0].ejected_until == 99_950 + 30


def test_a_success_wipes_the_slate(pool: Pool) -> None:
    a = pool.replicas[0]
    pool.failed(a, now=0)
    pool.succeeded(a)
    assert pool.failed(a, now=0) is False
    assert turns(pool, now=0, count=3) == "abc"


def test_failures_of_attempts_that_were_under_way_do_not_lengthen_an_ejection(pool: Pool) -> None:
    a = pool.replicas[0]
    assert [pool.failed(a, now=0) for _ in range(4)] == [False, True, False, False]
    assert a.ejected_until == 1


@pytest.mark.parametrize(("names", "left"), [("a", "a"), ("ab", "b"), ("abc", "bc"), ("abcd", "cd"), ("abcde", "cde")])
def test_at_most_half_of_the_replicas_are_ejected_whatever_happens(names: str, left: str) -> None:
    pool = pool_of(names)
    for replica in pool.replicas * 5:
        pool.failed(replica, now=0)
    assert turns(pool, now=0.5, count=len(left)) == left


def test_a_replica_that_is_not_ready_does_not_count_as_one_that_is_left() -> None:
    pool = pool_of("abc")
    pool.replicas[2].model = None
    for replica in pool.replicas[:2] * 2:
        pool.failed(replica, now=0)
    assert turns(pool, now=0.5, count=2) == "bb"


def test_when_all_that_is_left_is_ejected_it_gets_turns_all_the_same(pool: Pool) -> None:
    a, b, c = pool.replicas
    pool.failed(a, now=0)
    pool.failed(a, now=0)
    b.model = c.model = None
    assert turns(pool, now=0.5, count=2) == "aa"


def test_a_replica_that_is_not_ready_gets_no_turn(pool: Pool) -> None:
    pool.replicas[0].model = None
    assert turns(pool, now=0, count=4) == "bcbc"


def test_replicas_already_tried_are_skipped(pool: Pool) -> None:
    assert turns(pool, now=0, count=2, tried="ac") == "bb"
    assert turns(pool, now=0, count=1, tried="abc") == "-"


def test_a_full_replica_is_skipped_and_with_all_full_there_is_none() -> None:
    pool = pool_of("ab", max_in_flight=1)
    a, b = pool.replicas
    pool.started(a)
    assert turns(pool, now=0, count=2) == "bb"
    pool.started(b)
    assert turns(pool, now=0, count=1) == "-"
    pool.finished(a)
    assert turns(pool, now=0, count=1) == "a"


def test_an_ejected_replica_does_not_stand_in_for_a_full_one() -> None:
    pool = pool_of("ab", max_in_flight=1)
    a, b = pool.replicas
    pool.started(a)
    pool.failed(b, now=0)
    pool.failed(b, now=0)
    assert turns(pool, now=0.5, count=1) == "-"


def test_a_replica_that_stays_keeps_what_is_known_of_it(pool: Pool) -> None:
    b = pool.replicas[1]
    pool.started(b)
    pool.set_addresses("bd")
    assert [r.address for r in pool.replicas] == ["b", "d"]
    assert pool.replicas[0] is b
    assert b.in_flight == 1
    assert turns(pool, now=0, count=2) == "bb"  # d has not been probed yet


def test_the_state_is_what_an_operator_would_call_it(pool: Pool) -> None:
    a, b, c = pool.replicas
    b.model = None
    pool.failed(c, now=0)
    pool.failed(c, now=0)
    assert [r.state(0.5) for r in (a, b, c)] == ["available", "not ready", "ejected"]


EVENTS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["fail", "ok", "ready", "gone"])), max_size=60)


@given(EVENTS, st.floats(0, 100))
def test_no_history_makes_it_pick_an_ejected_replica_while_another_is_available(
    events: list[tuple[str, str]], now: float
) -> None:
    pool = pool_of("abcd")
    by_name: dict[str, Replica] = {replica.address: replica for replica in pool.replicas}
    for name, event in events:
        replica = by_name[name]
        if event == "fail":
            pool.failed(replica, now)
        elif event == "ok":
            pool.succeeded(replica)
        else:
            replica.model = MODEL if event == "ready" else None
    available = [r for r in pool.replicas if r.state(now) == "available"]
    picked = [pool.pick(now) for _ in range(len(available))]
    if available:
        assert sorted(r.address for r in picked if r) == sorted(r.address for r in available)
    else:
        assert all(r is None or r.model for r in picked)
