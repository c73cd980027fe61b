"""When a second replica is asked beside the first."""

from gateway.replicas.quantile import HedgeDelay


def learnt(times: list[float]) -> float | None:
    delay = HedgeDelay()
    for seconds in times:
        delay.took(seconds)
    return delay.seconds


def test_nobody_is_asked_beside_before_enough_is_known() -> None:
    assert learnt([0.1] * 49) is None


def test_it_is_twice_the_95th_percentile() -> None:
    assert learnt([0.1] * 90 + [0.3] * 10) == 0.6


def test_it_is_never_below_50_ms() -> None:
    assert learnt([0.002] * 100) == 0.05


def test_old_answers_are_forgotten() -> None:
    assert learnt([3.0] * 500 + [0.1] * 500) == 0.2
