"""Bounds on what is at hand at once."""

import pytest

from gateway.admission import Bodies
from gateway.errors import OverloadedError


def test_bodies_beyond_the_bound_are_turned_away_and_do_not_count() -> None:
    bodies = Bodies(100)
    bodies.add(60)
    with pytest.raises(OverloadedError):
        bodies.add(41)
    bodies.add(40)
