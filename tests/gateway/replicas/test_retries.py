"""How many retries there may be, and when a second replica is asked beside the first."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.replicas.retries import HedgeDelay, RetryBudget


def test_a_burst_is_there_from_the_start_and_then_it_is_a_share() -> None:
    budget = RetryBudget(share=0.5, burst=2)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    budget.requests += 1
    assert budget.take() is False
    budget.requests += 1
    assert [budget.take(), budget.take()] == [True, False]


def test_a_quiet_time_saves_up_no_more_than_the_burst() -> None:
    budget = RetryBudget(share=0.5, burst=2)
    for _ in range(1000):
        budget.requests += 1
    assert [budget.take() for _ in range(3)] == [True, True, False]


@given(st.lists(st.booleans(), max_size=500))
def test_over_any_stretch_retries_stay_within_share_and_burst(retries_wanted: list[bool]) -> None:
    budget = RetryBudget(share=0.1, burst=20)
    granted = []
    for wanted in retries_wanted:
        budget.requests += 1
        granted.append(wanted and budget.take())
    for start in range(0, len(granted), 7):
        stretch = granted[start:]
        assert sum(stretch) <= 0.1 * len(stretch) + 20


def learnt(times: list[float]) -> float | None:
    delay = HedgeDelay()
    for seconds in times:
        delay.add(seconds)
    return delay.seconds


def test_there_is_no_hedge_before_enough_is_known() -> None:
    assert learnt([0.1] * 49) is None


def test_a_hedge_waits_twice_the_95th_percentile() -> None:
    assert learnt([0.1] * 90 + [0.3] * 10) == 0.6


def test_a_hedge_waits_50_ms_at_least() -> None:
    assert learnt([0.002] * 100) == 0.05


def test_old_answers_are_forgotten() -> None:
    assert learnt([3.0] * 500 + [0.1] * 500) == 0.2
