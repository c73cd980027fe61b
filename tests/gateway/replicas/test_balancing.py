"""Which of several available replicas is asked next."""

from collections import Counter
from random import Random

from gateway.replicas.balancing import LeastLoaded, RoundRobin
from tests.gateway.replicas.pools import eject, occupy, pool_of, turns


def test_turns_go_round() -> None:
    assert turns(pool_of("abc"), now=0, count=7) == "abcabca"


def test_ten_thousand_turns_over_four_replicas_are_exactly_even() -> None:
    assert Counter(turns(pool_of("abcd"), now=0, count=10_000)) == dict.fromkeys("abcd", 2500)


def test_turns_stay_even_among_the_replicas_that_are_left() -> None:
    pool = pool_of("abcd")
    turns(pool, now=0, count=2)
    eject(pool, pool.replicas[1], now=0)
    assert Counter(turns(pool, now=0.5, count=300)) == dict.fromkeys("acd", 100)


def test_turns_are_even_again_at_once_when_replicas_come_and_go() -> None:
    pool = pool_of("abcd")
    turns(pool, now=0, count=7)
    grown = pool_of("abcdef")
    pool.replicas += grown.replicas[4:]
    assert Counter(turns(pool, now=0, count=600)) == dict.fromkeys("abcdef", 100)
    pool.set_addresses("bf")
    assert Counter(turns(pool, now=0, count=600)) == dict.fromkeys("bf", 300)


def test_a_replica_that_is_back_gets_a_growing_share_of_its_turns() -> None:
    pool = pool_of("abcd", balancing=RoundRobin(slow_start_s=10))
    b = pool.replicas[1]
    eject(pool, b, now=0)
    pool.proved(b, now=1)
    shares = [turns(pool, now=now, count=400).count("b") for now in (1, 6, 11)]
    assert shares[0] < 20
    assert 40 < shares[1] < 70
    assert shares[2] == 100


def test_when_all_have_just_come_back_their_turns_are_even_all_the_same() -> None:
    pool = pool_of("ab", balancing=RoundRobin(slow_start_s=10))
    for replica in pool.replicas:
        replica.returned_at = 0
    assert Counter(turns(pool, now=1, count=100)) == {"a": 50, "b": 50}


def test_the_less_loaded_of_two_is_chosen() -> None:
    pool = pool_of("ab", balancing=LeastLoaded(random=Random(1)))
    occupy(pool.replicas[0])
    assert turns(pool, now=0, count=5) == "bbbbb"


def test_a_slow_replica_gets_few_turns_when_the_least_loaded_is_chosen() -> None:
    pool = pool_of("abcd", balancing=LeastLoaded(random=Random(1)))
    for replica in pool.replicas:
        replica.latency.add(0.1 if replica.address == "a" else 0.01)
    assert turns(pool, now=0, count=1000).count("a") == 0


def test_the_least_loaded_are_spread_over_all() -> None:
    pool = pool_of("abcd", balancing=LeastLoaded(random=Random(1)))
    dealt = Counter(turns(pool, now=0, count=4000))
    assert all(800 < dealt[name] < 1200 for name in "abcd")


def test_one_that_is_back_gets_less_of_the_least_loaded_too() -> None:
    pool = pool_of("ab", balancing=LeastLoaded(slow_start_s=10, random=Random(1)))
    pool.replicas[0].returned_at = 0
    assert turns(pool, now=1, count=100).count("a") == 0
