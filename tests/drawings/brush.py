"""Polygons in a body's own coordinates, painted into a picture twice as large as wanted.

A body lives in the unit disc: x to the right, y downwards. Where it lies in the picture is its pose's affair.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

CANVAS_PX = 640
"""Side of the painted canvas; `drawings` halves it, which smooths the edges."""

Points = NDArray[np.float64]
"""float64, shape (n, 2)."""
Colour = tuple[int, int, int]
Palette = Mapping[str, Colour]
"""Colours by tone: body, dark, light, accent, eye."""


class Pose(NamedTuple):
    """Where and how large a body lies in the picture."""

    turn: float
    """Radians, clockwise."""
    scale_px: float
    stretch: float
    """Width for height; negative: mirrored."""
    centre_px: tuple[float, float]

    def place(self, points: ArrayLike) -> Points:
        """Body coordinates to canvas pixels."""
        x, y = np.asarray(points, np.float64).reshape(-1, 2).T
        x = x * self.stretch
        cos, sin = math.cos(self.turn) * self.scale_px, math.sin(self.turn) * self.scale_px
        placed = (x * cos - y * sin + self.centre_px[0], x * sin + y * cos + self.centre_px[1])
        corners: Points = np.stack(placed, axis=1).round(2)
        return corners


class Brush:
    """Paints one specimen: its colours into `paint`, its outline into `mask`."""

    def __init__(self, pose: Pose, palette: Palette) -> None:
        self.pose = pose
        self.palette = palette
        self.paint = Image.new("RGB", (CANVAS_PX, CANVAS_PX), palette["body"])
        self.mask = Image.new("L", (CANVAS_PX, CANVAS_PX), 0)
        self._colours = ImageDraw.Draw(self.paint)
        self._outline = ImageDraw.Draw(self.mask)

    def shape(self, points: ArrayLike, tone: str = "body", *, rim: str = "dark", rim_px: int = 4) -> None:
        """A filled part of the body with a rim."""
        corners = self._corners(points)
        self._outline.polygon(corners, fill=255)
        self._colours.polygon(corners, fill=self.palette[tone])
        self._colours.line([*corners, *corners[:4]], fill=self.palette[rim], width=rim_px)  # outline= is 10x slower

    def limb(self, line: ArrayLike, width: float, tip: float | None = None, tone: str = "body") -> None:
        """A leg, arm or tentacle along a line of at least two points, `width` thick at its root."""
        self.shape(ribbon(np.asarray(line, np.float64), width, width / 3 if tip is None else tip), tone)

    def disc(self, at: ArrayLike, radius: float, tone: str = "body", *, flat: float = 1.0) -> None:
        """A round part; `flat` is its height for its width."""
        self.shape(oval(at, radius, radius * flat), tone)

    def mark(self, points: ArrayLike, tone: str = "accent") -> None:
        """Something on the skin: seen only where there is body."""
        self._colours.polygon(self._corners(points), fill=self.palette[tone])

    def dot(self, at: ArrayLike, radius: float, tone: str = "accent") -> None:
        self.mark(oval(at, radius, radius, corners=10), tone)

    def line(self, points: ArrayLike, width: float, tone: str = "dark") -> None:
        """A crease or a stripe on the skin."""
        self.mark(ribbon(np.asarray(points, np.float64), width, width), tone)

    def eye(self, at: ArrayLike, radius: float) -> None:
        self.disc(at, radius, "white")
        self.dot(at, radius * 0.6, "eye")

    def _corners(self, points: ArrayLike) -> list[float]:
        corners: list[float] = self.pose.place(points).ravel().tolist()
        return corners


def oval(at: ArrayLike, width: float, height: float, *, corners: int = 32) -> Points:
    """Closed outline around the point `at`; `width` and `height` are half axes."""
    turn = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    outline: Points = np.stack((width * np.cos(turn), height * np.sin(turn)), axis=1) + np.asarray(at, np.float64)
    return outline


def moved(points: Points, right: float, down: float) -> Points:
    """`points` somewhere else."""
    there: Points = points + np.array((right, down))
    return there


def ribbon(line: Points, width: float, tip: float) -> Points:
    """Outline of a stroke along `line` that narrows from `width` to `tip`, round at its end."""
    along = np.gradient(line, axis=0)
    across = along[:, ::-1] * (1, -1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    half = np.linspace(width, tip, len(line))[:, None] / 2
    end = line[-1] + along[-1] / max(math.hypot(*along[-1]), 1e-9) * tip / 2
    return np.concatenate((line + across * half, end[None], (line - across * half)[::-1]))


def polar(radius: ArrayLike, turn: ArrayLike) -> Points:
    """Points around the middle; a turn of 0 points up, and grows clockwise."""
    r, angle = np.broadcast_arrays(np.asarray(radius, np.float64), np.asarray(turn, np.float64))
    return np.stack((r * np.sin(angle), -r * np.cos(angle)), axis=-1)


def wave(start: ArrayLike, end: ArrayLike, swing: float, phase: float = 0.0, *, waves: float = 1.0) -> Points:
    """A line from `start` to `end` that swings to both sides, nothing at its root and `swing` at its tip."""
    first, last = np.asarray(start, np.float64), np.asarray(end, np.float64)
    t = np.linspace(0, 1, 10)[:, None]
    aside = (last - first)[::-1] * (1, -1) / max(math.hypot(*(last - first)), 1e-9)
    moved: Points = first + (last - first) * t + aside * (swing * t * np.sin(waves * 2 * math.pi * t + phase))
    return moved
