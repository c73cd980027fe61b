"""The demo's sample pictures, drawn here: nothing of others is committed. The same on every machine."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

SIDE_PX = 320
RGB = tuple[int, int, int]
SAND: tuple[RGB, RGB] = ((96, 84, 66), (206, 186, 150))
"""Darkest and lightest colour."""


def starfish(seed: int = 0, colour: RGB = (214, 96, 48)) -> Image.Image:
    """Five arms on sand: RGB, 320 x 320."""
    chance = np.random.default_rng(seed)
    down, across = np.mgrid[:SIDE_PX, :SIDE_PX] - SIDE_PX / 2
    angle, radius = np.arctan2(down, across) + chance.uniform(0, 6.28), np.hypot(across, down)
    edge = SIDE_PX * (0.1 + 0.34 * ((1 + np.cos(5 * angle)) / 2) ** 1.8)
    inside = 1 / (1 + np.exp((radius - edge) / 1.5))
    shadow = Image.fromarray((255 * np.roll(inside, (6, 7), (0, 1))).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(5)
    )
    bulge = np.clip(1 - radius / edge, 0, 1) ** 0.5
    ridge = np.exp(-((np.sin(2.5 * angle) * radius / 9) ** 2))
    light = 0.5 + 0.5 * bulge + 0.1 * np.clip(_grain(chance, 60), -1, 2) + 0.12 * ridge
    body = np.array(colour) * light[..., None]
    ground = _ground(chance, *SAND) * (1 - 0.45 * np.asarray(shadow, np.float64)[..., None] / 255)
    return _picture(ground + (body - ground) * inside[..., None])


def _ground(chance: np.random.Generator, darkest: RGB, lightest: RGB) -> NDArray[np.float64]:
    grain = 0.5 + 0.2 * _grain(chance, 10) + 0.12 * _grain(chance, SIDE_PX)
    levels: NDArray[np.float64] = darkest + np.subtract(lightest, darkest) * grain.clip(0, 1)[..., None]
    return levels


def _grain(chance: np.random.Generator, cells: int) -> NDArray[np.float64]:
    """Noise of this many cells a side, standard deviation 1 before it is smoothed."""
    coarse = Image.fromarray(chance.normal(0, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC), np.float64)


def _picture(levels: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def cloth(seed: int = 0) -> Image.Image:
    """Woven stripes, which resemble nothing that the demo knows: RGB, 320 x 320."""
    chance = np.random.default_rng(seed)
    across = np.arange(SIDE_PX)[None, :, None]
    stripe = np.array([(38, 70, 83), (233, 196, 106), (231, 111, 81)])[(across[..., 0] // 22) % 3]
    weave = 0.85 + 0.15 * np.sin(np.arange(SIDE_PX) * 1.6)[:, None, None] * np.sin(across * 1.6)
    return _picture((stripe + 8 * _grain(chance, SIDE_PX)[..., None]) * weave)
