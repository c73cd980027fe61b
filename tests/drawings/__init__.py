"""Drawn specimens: pictures that anyone can make, for tests."""

from tests.drawings.pictures import draw, encoded, specimens

__all__ = ["draw", "encoded", "specimens"]
