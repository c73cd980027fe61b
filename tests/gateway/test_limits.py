"""Bounds on what is at hand at once."""

import pytest

from gateway.errors import OverloadedError
from gateway.limits import MANY_BYTES, Bodies


def test_bodies_beyond_the_bound_are_turned_away_and_do_not_count() -> None:
    bodies = Bodies(100)
    bodies.add(60)
    with pytest.raises(OverloadedError):
        bodies.add(41)
    bodies.add(40)


def test_memory_is_given_back_once_many_bodies_are_gone() -> None:
    given_back: list[int] = []
    bodies = Bodies(4 * MANY_BYTES, give_back=lambda: given_back.append(1))
    bodies.add(MANY_BYTES)
    bodies.drop(MANY_BYTES)
    assert given_back == []  # ordinary traffic
    for _ in range(16):
        bodies.add(MANY_BYTES // 8)
    for left in reversed(range(16)):
        bodies.drop(MANY_BYTES // 8)
        assert bool(given_back) == (left == 0)
    assert given_back == [1]
