"""Colours as a profile stores them: the inverse of what a reader computes."""

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gateway.imaging import Pixels
from tests.pictures import DISPLAY_P3, icc_profile, icc_text, icc_xyz

Floats = NDArray[np.float64]
Colours = tuple[tuple[float, ...], ...]

SRGB: Colours = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
ADOBE_RGB: Colours = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""Red, green and blue as XYZ under D50, as ICC profiles name them."""


def to_linear(levels: Floats) -> Floats:
    """The curve of sRGB (IEC 61966-2-1), 0 to 1."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def from_linear(light: Floats) -> Floats:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def curve(gamma: float) -> bytes:
    """A `curv` of one number."""
    return b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256))


def table(shape: Callable[[Floats], Floats], points: int = 1024) -> bytes:
    """A `curv` of many points."""
    values = np.rint(shape(np.linspace(0, 1, points)) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">L", points) + values.tobytes()


def parametric() -> bytes:
    """The curve of sRGB as a formula, as small profiles have it."""
    return b"para\0\0\0\0\0\3\0\0" + b"".join(
        struct.pack(">l", round(value * 65536)) for value in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    )


def rgb(name: str, primaries: Colours, trc: bytes) -> bytes:
    """A profile of three primaries and one curve."""
    tags = {b"desc": icc_text(name), b"wtpt": icc_xyz(0.9642, 1.0, 0.8249)}
    for channel, colour in zip(b"rgb", primaries, strict=True):
        tags |= {bytes([channel]) + b"XYZ": icc_xyz(*colour), bytes([channel]) + b"TRC": trc}
    return icc_profile(b"RGB ", tags)


def grey(name: str, trc: bytes) -> bytes:
    return icc_profile(b"GRAY", {b"desc": icc_text(name), b"wtpt": icc_xyz(0.9642, 1.0, 0.8249), b"kTRC": trc})


def stored(shown: Pixels, primaries: Colours, encode: Callable[[Floats], Floats]) -> Pixels:
    """The levels that show as `shown` under a profile of these primaries, whose curve `encode` inverts."""
    light = to_linear(shown / 255) @ np.array(SRGB) @ np.linalg.inv(np.array(primaries))
    return np.rint(encode(np.clip(light, 0, 1)) * 255).astype(np.uint8)


def power(gamma: float) -> Callable[[Floats], Floats]:
    return lambda light: light ** (1 / gamma)


PROFILES: dict[str, tuple[bytes, Colours, Callable[[Floats], Floats]]] = {
    "sRGB": (rgb("sRGB IEC61966-2.1", SRGB, table(to_linear)), SRGB, from_linear),
    "sRGB by formula": (rgb("c2", SRGB, parametric()), SRGB, from_linear),
    "sRGB without a name": (rgb("", SRGB, table(to_linear)), SRGB, from_linear),
    "linear, named sRGB": (rgb("sRGB-elle-V2-g10.icc", SRGB, curve(1.0)), SRGB, power(1.0)),
    "gamma 1.8, named sRGB": (rgb("sRGB", SRGB, curve(1.8)), SRGB, power(1.8)),
    "Display P3": (rgb("Display P3", DISPLAY_P3, parametric()), DISPLAY_P3, from_linear),
    "Display P3, named sRGB": (rgb("sRGB", DISPLAY_P3, parametric()), DISPLAY_P3, from_linear),
    "Adobe RGB": (rgb("Adobe RGB (1998)", ADOBE_RGB, curve(2.19922)), ADOBE_RGB, power(2.19922)),
}
"""Name -> the profile, its primaries, the inverse of its curve."""
