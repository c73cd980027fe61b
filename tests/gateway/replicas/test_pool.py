"""Which replica has the turn, and which is out of turn for how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.replicas.pool import Pool
from tests.gateway.replicas.pools import MODELS, eject, occupy, pool_of, states, turn, turns


@pytest.fixture
def pool() -> Pool:
    return pool_of("abc")


# --- failures -------------------------------------------------------------------------------------------------------


def test_ejected_replica_is_skipped_until_its_time_is_up_and_it_has_proved_itself(pool: Pool) -> None:
    b = pool.replicas[1]
    pool.failed(b, now=0, reason="")
    assert turns(pool, now=0, count=3) == "abc"  # one failure is forgiven
    pool.failed(b, now=0, reason="")
    assert turns(pool, now=0.9, count=4) == "acac"
    assert turns(pool, now=1, count=2) == "ac"  # its time is up, but no golden picture has been answered
    pool.proved(b, now=1.5)
    assert turns(pool, now=1.5, count=3) == "bac"


def test_a_busy_replica_rests_longer_each_time_until_it_serves(pool: Pool) -> None:
    b = pool.replicas[1]
    pool.busy(b, now=0)
    pool.busy(b, now=0.05)  # was on its way already
    assert turns(pool, now=0.09, count=4) == "acac"
    assert turns(pool, now=0.1, count=3) == "bac"
    pool.busy(b, now=1)
    assert turns(pool, now=1.19, count=2) == "ac"
    pool.succeeded(b, now=1.2, seconds=0.01)
    pool.busy(b, now=2)
    assert turns(pool, now=2.1, count=3) == "bac"
    assert states(pool, now=0) == ["available"] * 3


def test_where_all_are_busy_all_get_turns(pool: Pool) -> None:
    for replica in pool.replicas:
        pool.busy(replica, now=0)
    assert turns(pool, now=0, count=4) == "abca"


def test_a_thousand_refusals_do_not_overflow(pool: Pool) -> None:
    for second in range(0, 4000, 3):
        pool.busy(pool.replicas[0], now=second)
    assert pool.replicas[0].resting_until == 3999 + 2


def test_a_proof_before_the_time_is_up_does_not_shorten_it(pool: Pool) -> None:
    b = pool.replicas[1]
    eject(pool, b, now=0)
    pool.proved(b, now=0.5)
    assert turns(pool, now=0.9, count=2) == "ac"
    assert turns(pool, now=1, count=1) == "b"


def test_each_further_ejection_is_twice_as_long_up_to_half_a_minute(pool: Pool) -> None:
    a, now, lengths = pool.replicas[0], 0.0, []
    for _ in range(8):
        eject(pool, a, now=now)
        lengths.append(a.ejected_until - now)
        now = a.ejected_until
        pool.proved(a, now)
    assert lengths == [1, 2, 4, 8, 16, 30, 30, 30]


def test_half_a_minute_of_good_service_resets_the_count(pool: Pool) -> None:
    a = pool.replicas[0]
    eject(pool, a, now=0)
    pool.proved(a, now=1)
    eject(pool, a, now=31.5)
    assert a.ejected_until - 31.5 == 1


def test_a_thousand_ejections_do_not_overflow(pool: Pool) -> None:
    a = pool.replicas[0]
    for second in range(0, 40_000, 31):
        eject(pool, a, now=second)
        pool.proved(a, now=second + 30)
    assert a.times_ejected > 1000


def test_a_success_forgives_the_failures_before_it(pool: Pool) -> None:
    a = pool.replicas[0]
    pool.failed(a, now=0, reason="")
    pool.succeeded(a, now=0, seconds=0.01)
    pool.failed(a, now=0, reason="")
    assert states(pool, 0) == ["available"] * 3
    assert turns(pool, now=0, count=3) == "abc"


def test_failures_of_attempts_that_were_under_way_do_not_lengthen_an_ejection(pool: Pool) -> None:
    a = pool.replicas[0]
    for _ in range(4):
        pool.failed(a, now=0, reason="")
    assert (a.ejected_until, a.times_ejected) == (1, 1)


@pytest.mark.parametrize(("names", "left"), [("a", "a"), ("ab", "b"), ("abc", "bc"), ("abcd", "cd"), ("abcde", "cde")])
def test_never_more_than_half_of_the_replicas_are_ejected(names: str, left: str) -> None:
    pool = pool_of(names)
    for replica in pool.replicas * 5:
        pool.failed(replica, now=0, reason="")
    assert turns(pool, now=0.5, count=len(left)) == left


def test_a_replica_that_is_not_ready_does_not_count_as_one_that_is_left() -> None:
    pool = pool_of("abc")
    pool.found(pool.replicas[2], 0, {}, reason="no version")
    for replica in pool.replicas[:2] * 2:
        pool.failed(replica, now=0, reason="")
    assert turns(pool, now=0.5, count=2) == "bb"


def test_when_all_that_is_left_is_ejected_it_gets_turns_and_a_good_answer_is_its_proof(pool: Pool) -> None:
    a, b, c = pool.replicas
    eject(pool, a, now=0)
    for replica in (b, c):
        pool.found(replica, 0, {}, reason="no version")
    assert turns(pool, now=0.5, count=2) == "aa"
    pool.succeeded(a, now=0.5, seconds=0.01)
    assert states(pool, 1) == ["available", "not ready", "not ready"]


# --- probes ---------------------------------------------------------------------------------------------------------


def test_two_probes_without_an_answer_eject_and_an_answer_brings_back(pool: Pool) -> None:
    a = pool.replicas[0]
    pool.missed(a, 0, "no status within 1 s")
    assert a.state(0) == "available"
    pool.missed(a, 1, "no status within 1 s")
    assert a.state(1.5) == "ejected"
    pool.found(a, 3, a.models)
    pool.proved(a, 3)
    assert a.state(3) == "available"


def test_probes_without_an_answer_under_load_do_not_empty_the_pool() -> None:
    pool = pool_of("abcd")
    for now in range(20):
        for replica in pool.replicas:
            pool.missed(replica, now, "no status within 1 s")
    assert states(pool, 19).count("ejected") <= 2
    assert states(pool, 19).count("not ready") == 0


def test_two_probes_without_a_connection_make_a_replica_not_ready_however_many_others_are(pool: Pool) -> None:
    for replica in pool.replicas:
        for now in (0, 1):
            pool.missed(replica, now, "no connection", gone=True)
    assert states(pool, 1) == ["not ready"] * 3


def test_what_was_not_ready_is_so_again_with_the_second_good_probe(pool: Pool) -> None:
    a = pool.replicas[0]
    pool.found(a, 0, {}, reason="no version")
    pool.found(a, 1, {"1": MODELS["1"]})
    assert a.state(1) == "not ready"
    pool.found(a, 2, {"1": MODELS["1"]})
    assert a.state(2) == "available"


def test_with_no_replica_ready_the_first_good_probe_is_enough(pool: Pool) -> None:
    for replica in pool.replicas:
        pool.found(replica, 0, {}, reason="no version")
    pool.found(pool.replicas[1], 1, {"1": MODELS["1"]})
    assert states(pool, 1) == ["not ready", "available", "not ready"]


def test_a_replica_without_a_version_gets_no_turn(pool: Pool) -> None:
    pool.found(pool.replicas[0], 0, {}, reason="no version")
    assert turns(pool, now=0, count=4) == "bcbc"


# --- choosing --------------------------------------------------------------------------------------------------------


def test_replicas_already_tried_are_skipped(pool: Pool) -> None:
    assert turns(pool, now=0, count=2, tried="ac") == "bb"
    assert turns(pool, now=0, count=1, tried="abc") == "-"


def test_a_full_replica_is_skipped_and_with_all_full_there_is_none() -> None:
    pool = pool_of("ab", max_in_flight=1)
    a, b = pool.replicas
    occupy(a)
    assert turns(pool, now=0, count=2) == "bb"
    occupy(b)
    assert turns(pool, now=0, count=1) == "-"
    pool.finished(a)
    assert turns(pool, now=0, count=1) == "a"


def test_an_ejected_replica_does_not_stand_in_for_a_full_one() -> None:
    pool = pool_of("ab", max_in_flight=1)
    a, b = pool.replicas
    occupy(a)
    eject(pool, b, now=0)
    assert turns(pool, now=0.5, count=1) == "-"


def test_a_replica_that_stays_keeps_what_is_known_of_it(pool: Pool) -> None:
    b = pool.replicas[1]
    occupy(b)
    pool.set_addresses("bd")
    assert [r.address for r in pool.replicas] == ["b", "d"]
    assert pool.replicas[0] is b
    assert b.in_flight == 1
    assert turns(pool, now=0, count=2) == "bb"  # d has not been probed yet


def test_the_state_is_what_an_operator_would_call_it(pool: Pool) -> None:
    _, b, c = pool.replicas
    pool.found(b, 0, {}, reason="no version")
    eject(pool, c, now=0)
    assert states(pool, 0.5) == ["available", "not ready", "ejected"]


def test_a_version_is_asked_of_the_replicas_that_have_it() -> None:
    pool = pool_of("abc")
    pool.found(pool.replicas[1], 0, {"1": MODELS["1"], "2": MODELS["2"]})
    assert turns(pool, now=0, count=2, version="2") == "bb"
    assert turns(pool, now=0, count=1, version="3") == "-"
    assert pool.model is MODELS["2"]


def test_a_version_held_back_is_the_default_only_where_there_is_no_other() -> None:
    pool = pool_of("ab", held_back="2")
    a, b = pool.replicas
    pool.found(b, 0, {"2": MODELS["2"]})
    assert turns(pool, now=0, count=2) == "aa"
    assert turns(pool, now=0, count=2, version="2") == "bb"
    pool.found(a, 0, {}, reason="no version")
    assert turns(pool, now=0, count=2) == "bb"


# --- any history ---------------------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["fail", "ok", "slow", "heard", "empty", "missed", "gone", "proved", "start", "finish"]),
        st.floats(0, 5),
    ),
    max_size=80,
)


def happen(pool: Pool, events: list[tuple[str, str, float]]) -> float:
    """All of them, one after the other; returns the moment of the last."""
    now = 0.0
    by_name = {replica.address: replica for replica in pool.replicas}
    for name, event, pause in events:
        replica, now = by_name[name], now + pause
        match event:
            case "fail":
                pool.failed(replica, now, "status 500")
            case "ok" | "slow":
                pool.succeeded(replica, now, 0.01 if event == "ok" else 1)
            case "heard" | "empty":
                pool.found(replica, now, {"1": MODELS["1"]} if event == "heard" else {})
            case "missed" | "gone":
                pool.missed(replica, now, "no status", gone=event == "gone")
            case "proved":
                pool.proved(replica, now)
            case "start":
                occupy(replica)
            case "finish" if replica.in_flight:
                pool.finished(replica)
    return now


@given(EVENTS)
def test_no_history_makes_it_pick_an_ejected_or_full_replica_while_another_is_available(
    events: list[tuple[str, str, float]],
) -> None:
    pool = pool_of("abcd", max_in_flight=2)
    now = happen(pool, events)
    open_ones = [r for r in pool.replicas if r.state(now) == "available" and r.in_flight < 2]
    by_name = {replica.address: replica for replica in pool.replicas}
    for _ in range(8):
        chosen = by_name.get(turn(pool, now))
        if open_ones:
            assert chosen in open_ones
        elif chosen:
            assert chosen.models
            assert chosen.in_flight < 2
            assert "available" not in states(pool, now)


@given(EVENTS)
def test_every_available_replica_gets_its_turn_after_every_history(events: list[tuple[str, str, float]]) -> None:
    pool = pool_of("abcd", max_in_flight=1000)
    now = happen(pool, events) + 100  # no replica is within its slow start
    available = [r for r in pool.replicas if r.state(now) == "available" and not (r.slow and r.in_flight)]
    picked = {turn(pool, now) for _ in available}
    assert picked == {r.address for r in available}


@given(EVENTS, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_no_history_puts_more_than_the_set_share_out_of_turn_by_failures(
    events: list[tuple[str, str, float]], share: float
) -> None:
    pool = pool_of("abcd", max_ejected_share=share)
    by_failures = [event for event in events if event[1] in ("fail", "ok", "slow", "missed")]
    now = happen(pool, by_failures)
    assert states(pool, now).count("ejected") <= share * 4


@given(EVENTS)
def test_no_history_leaves_a_healthy_replica_out_for_ever(events: list[tuple[str, str, float]]) -> None:
    pool = pool_of("abcd")
    now = happen(pool, events)
    for _ in range(40):  # from now on every probe is answered, rightly and quickly
        now += 1
        for replica in pool.replicas:
            pool.found(replica, now, {"1": MODELS["1"]})
            pool.proved(replica, now)
    assert states(pool, now) == ["available"] * 4
