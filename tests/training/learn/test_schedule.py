import pytest

from training.learn.schedule import out_of_patience, rate_at


def test_the_rate_rises_then_falls_to_a_hundredth() -> None:
    rates = [rate_at(step, 100, 1.0) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.01)


def test_one_step_is_learnt_at_the_full_rate() -> None:
    assert rate_at(0, 1, 0.5) == 0.5


@pytest.mark.parametrize(
    ("losses", "ended"),
    [([1.0], False), ([1.0, 2.0, 3.0], True), ([1.0, 2.0, 0.5], False), ([3.0, 1.0, 1.0, 1.0], True)],
)
def test_patience_ends_after_so_many_epochs_without_a_better_one(losses: list[float], ended: bool) -> None:
    assert out_of_patience(losses, 2) is ended
