"""When a replica counts as slow, and what it gets then."""

import pytest

from gateway.replicas.pool import Pool
from gateway.replicas.replica import Replica
from tests.gateway.replicas.pools import occupy, pool_of, quick, states, turns


@pytest.fixture
def pool() -> Pool:
    return pool_of("abc")


def answers(pool: Pool, replica: Replica, *, count: int, seconds: float, until: float, in_flight: int = 1) -> None:
    """So many answers, the last at `until`, each after `seconds`."""
    for left in reversed(range(count)):
        pool.succeeded(replica, until - left * seconds, seconds, in_flight=in_flight)


def test_a_replica_that_stays_slow_for_half_a_second_loses_its_regular_turns(pool: Pool) -> None:
    a, b, c = pool.replicas
    quick(pool, b, c)
    answers(pool, a, count=4, seconds=0.1, until=0.4)
    assert turns(pool, now=0.4, count=3) == "abc"
    answers(pool, a, count=1, seconds=0.1, until=0.5)
    assert a.reason == "slow: 100 ms, several times the others' time"
    assert turns(pool, now=0.5, count=5) == "abcbc"  # a's is the first trial
    assert states(pool, 0.5) == ["available"] * 3
    assert a.times_ejected == 0


def test_slow_answers_that_end_together_are_not_yet_a_slow_replica(pool: Pool) -> None:
    a, b, c = pool.replicas
    quick(pool, b, c)
    for _ in range(20):  # behind one pause of the machine
        pool.succeeded(a, now=0.4, seconds=0.4)
    assert not a.slow


def test_one_quick_answer_clears_a_replica_of_suspicion(pool: Pool) -> None:
    a, b, c = pool.replicas
    quick(pool, b, c)
    for second in range(10):
        answers(pool, a, count=4, seconds=0.1, until=second + 0.4)
        answers(pool, a, count=1, seconds=0.01, until=second + 0.5)
    assert not a.slow


def test_of_two_replicas_the_slow_one_is_told_from_the_quick_one_and_gives_way_when_there_is_room() -> None:
    pool = pool_of("ab", max_in_flight=1)
    a, b = pool.replicas
    quick(pool, a, seconds=0.01)
    answers(pool, b, count=5, seconds=0.2, until=1)
    assert (a.slow, b.slow) == (False, True)
    assert turns(pool, now=1, count=3) == "baa"
    occupy(a)
    assert turns(pool, now=1.1, count=1) == "b"  # a is full


def test_slowness_puts_no_more_than_the_set_share_on_trial(pool: Pool) -> None:
    pool = pool_of("abcd")
    a, b, c, d = pool.replicas
    quick(pool, c, d)
    for replica in (a, b):
        answers(pool, replica, count=8, seconds=0.1, until=1)
    quick(pool, d, seconds=0.001)
    answers(pool, c, count=50, seconds=0.5, until=30)
    assert [replica.slow for replica in pool.replicas] == [True, True, False, False]


def test_a_trial_is_due_only_when_nothing_else_is_in_flight_there(pool: Pool) -> None:
    a, b, c = pool.replicas
    quick(pool, b, c)
    occupy(a)
    answers(pool, a, count=5, seconds=0.1, until=1)
    assert turns(pool, now=1, count=4) == "bcbc"
    pool.finished(a)
    assert turns(pool, now=1, count=3) == "abc"


def test_a_slow_trial_makes_the_next_one_twice_as_late_up_to_half_a_minute(pool: Pool) -> None:
    a, b, c = pool.replicas
    quick(pool, b, c)
    answers(pool, a, count=5, seconds=0.1, until=0)
    now, pauses = 0.0, []
    for _ in range(9):
        assert turns(pool, now=now, count=1) == "a"
        pool.succeeded(a, now, seconds=0.1)
        pauses.append(a.trial_at - now)
        assert "a" not in turns(pool, now=a.trial_at - 0.01, count=4)
        now = a.trial_at
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_trial_as_quick_as_one_attempt_of_the_others_ends_the_slowness(pool: Pool) -> None:
    a, b, c = pool.replicas
    for replica in (b, c):
        for _ in range(5):
            pool.succeeded(replica, now=0, seconds=0.2, in_flight=8)  # 25 ms for one attempt
    answers(pool, a, count=5, seconds=0.9, until=0, in_flight=8)
    assert a.slow
    assert turns(pool, now=0, count=1) == "a"
    pool.succeeded(a, now=0.1, seconds=0.07)
    assert not a.slow
    assert turns(pool, now=0.1, count=3).count("a") == 1


def test_a_trial_that_is_not_alone_decides_nothing(pool: Pool) -> None:
    a, b, c = pool.replicas
    quick(pool, b, c)
    answers(pool, a, count=5, seconds=0.1, until=0)
    pool.succeeded(a, now=0.1, seconds=0.01, in_flight=2)
    assert a.slow


@pytest.fixture
def deep(pool: Pool) -> Pool:
    """Of the replicas, b and c take 100 ms with 16 attempts in flight each, and a is slow."""
    a, b, c = pool.replicas
    for replica in (b, c):
        for _ in range(5):
            pool.succeeded(replica, now=0, seconds=0.1, in_flight=16)
    answers(pool, a, count=5, seconds=0.9, until=0, in_flight=16)
    return pool


def taken(pool: Pool, *, now: float, count: int) -> str:
    """The replicas that get a slot, none of which is given back."""
    return "".join(slot.replica.address for _ in range(count) if (slot := pool.take(now)))


def test_a_server_that_works_on_several_attempts_at_once_gets_its_turns_back(deep: Pool) -> None:
    a = deep.replicas[0]
    assert taken(deep, now=0, count=3).count("a") == 1
    deep.finished(a)
    deep.succeeded(a, now=0.1, seconds=0.1, in_flight=1)
    assert a.slow  # one attempt alone takes as long as 16 at once elsewhere: that shows nothing yet
    assert taken(deep, now=0.1, count=4) == "aabc"
    for in_flight in (1, 2):
        deep.finished(a)
        deep.succeeded(a, now=0.2, seconds=0.1, in_flight=in_flight)
    assert not a.slow
    assert turns(deep, now=0.2, count=3).count("a") == 1


def test_a_slow_server_fails_the_wider_trial_and_waits_for_the_next_one_alone(deep: Pool) -> None:
    a = deep.replicas[0]
    assert taken(deep, now=0, count=1) == "a"
    deep.finished(a)
    deep.succeeded(a, now=0.2, seconds=0.2)
    assert taken(deep, now=0.2, count=2) == "aa"
    for in_flight in (1, 2):
        deep.finished(a)
        deep.succeeded(a, now=0.6, seconds=0.2 * in_flight, in_flight=in_flight)
    assert a.slow
    assert (a.trials, a.trial_at) == (1, 0.7)
    assert taken(deep, now=0.7, count=3).count("a") == 1


def test_a_wider_trial_that_finds_too_few_requests_is_judged_by_those_it_had(deep: Pool) -> None:
    a, b, c = deep.replicas
    assert taken(deep, now=0, count=1) == "a"
    deep.finished(a)
    deep.succeeded(a, now=0.1, seconds=0.1)
    for _ in range(100):  # the load has ended
        for replica in (b, c):
            deep.succeeded(replica, now=0.2, seconds=0.09, in_flight=1)
    assert taken(deep, now=0.3, count=1) == "a"
    deep.finished(a)
    deep.succeeded(a, now=0.4, seconds=0.1, in_flight=1)
    assert not a.slow


def test_after_a_false_alarm_the_next_one_takes_twice_as_long(pool: Pool) -> None:
    a, b, c = pool.replicas
    took, tenths = [], 0
    for _ in range(5):
        quick(pool, b, c)
        began = tenths
        while not a.slow:
            tenths += 1
            pool.succeeded(a, now=tenths / 10, seconds=0.1)
        took.append(round((tenths - began) / 10))
        pool.succeeded(a, now=tenths / 10, seconds=0.01)
    assert took == [0, 1, 2, 4, 8]


def test_one_hiccup_shows_nothing(pool: Pool) -> None:
    a, b, c = pool.replicas
    quick(pool, a, b, c)
    pool.succeeded(a, now=0, seconds=5)
    assert not a.slow
    assert turns(pool, now=0, count=3) == "abc"


def test_differences_of_a_few_milliseconds_are_none(pool: Pool) -> None:
    a, b, c = pool.replicas
    quick(pool, b, c, seconds=0.002)
    answers(pool, a, count=100, seconds=0.02, until=2)
    assert not a.slow


def test_where_all_are_slow_alike_none_is(pool: Pool) -> None:
    for second in range(20):
        for replica in pool.replicas:
            answers(pool, replica, count=5, seconds=0.5 + second, until=second)
    assert not any(replica.slow for replica in pool.replicas)
