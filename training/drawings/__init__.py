"""Drawn specimens: pictures that anyone can make, for the demo model, for tests and for examples."""

from training.drawings.pictures import draw, encoded, specimens

__all__ = ["draw", "encoded", "specimens"]
