"""Drawn specimens: pictures that anyone can make, for tests.

A class is a kind of body, a family of colours, a texture and a variant (arms, whorls, spines); any two classes
differ in the kind, the colour, or in both texture and variant. All else is chance: pose, light, tint,
background, blur, grain. The same class and seed give the same pixels on every machine.
"""

import colorsys
import io
import math
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps

from tests.drawings.bodies import KINDS, RADIAL
from tests.drawings.brush import CANVAS_PX, Brush, Colour, Palette, Pose, oval

PICTURE_PX = CANVAS_PX // 2
"""Side of a drawn picture."""
TABLE = Path(__file__).parent / "specimens.txt"
"""Label and kind, a class a line, in label order."""
COLOURS = {
    "red": (0.995, 0.80, 0.82),
    "amber": (0.115, 0.85, 0.95),
    "green": (0.33, 0.62, 0.66),
    "azure": (0.56, 0.72, 0.88),
    "violet": (0.77, 0.52, 0.76),
    "cream": (0.11, 0.12, 0.96),
}
"""Hue, saturation, value; 0..1."""
TEXTURES = ("plain", "spots", "bands", "rings")
GROUNDS = {
    "sand": ((150, 125, 92), (222, 200, 160)),
    "water": ((24, 78, 110), (110, 170, 190)),
    "gravel": ((62, 62, 60), (170, 165, 158)),
    "deep": ((6, 16, 30), (34, 62, 78)),
    "tray": ((196, 200, 204), (240, 242, 244)),
}
"""Darkest and lightest colour of what a specimen lies on."""


class Specimen(NamedTuple):
    """What a class looks like."""

    label: str
    kind: str
    colour: str
    texture: str
    variant: int
    """0..3"""


@cache
def specimens() -> tuple[Specimen, ...]:
    """All classes, in label order."""
    seen: dict[str, int] = {}
    rows = []
    for line in TABLE.read_text().splitlines():
        label, kind = line.split("\t")
        turn, colour = divmod(seen.get(kind, 0), len(COLOURS))
        texture = TEXTURES[(3 * turn + colour) % len(TEXTURES)]
        rows.append(Specimen(label, kind, list(COLOURS)[colour], texture, turn % 4))
        seen[kind] = seen.get(kind, 0) + 1
    return tuple(rows)


def draw(class_index: int, seed: int) -> Image.Image:
    """One RGB picture of a class, `PICTURE_PX` square. About 20 ms of CPU."""
    specimen = specimens()[class_index]
    chance = Random(f"{class_index}/{seed}")
    brush = Brush(_pose(specimen.kind, chance), _palette(specimen.colour, chance))
    KINDS[specimen.kind](brush, lambda: _texture(brush, specimen.texture, chance), specimen.variant, chance)
    paint, mask = brush.paint.reduce(2), brush.mask.reduce(2)
    ground = _shadowed(_ground(chance), mask, chance)
    return _photographed(Image.composite(_rounded(paint, mask, chance), ground, mask), chance)


def encoded(class_index: int, seed: int, *, quality: int = 90) -> bytes:
    """The same picture as a JPEG file."""
    file = io.BytesIO()
    draw(class_index, seed).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _pose(kind: str, chance: Random) -> Pose:
    turn = chance.uniform(-math.pi, math.pi) if kind in RADIAL else chance.uniform(-0.6, 0.6)
    size = chance.uniform(0.30, 0.44) * CANVAS_PX
    mirrored = 1 if kind in RADIAL or chance.random() < 0.5 else -1
    free = CANVAS_PX / 2 - size
    middle = (CANVAS_PX / 2 + chance.uniform(-free, free) * 0.8, CANVAS_PX / 2 + chance.uniform(-free, free) * 0.8)
    return Pose(turn, size, mirrored * chance.uniform(0.85, 1.1), middle)


def _palette(colour: str, chance: Random) -> Palette:
    hue, saturation, value = COLOURS[colour]
    hue += chance.uniform(-0.02, 0.02)
    saturation *= chance.uniform(0.85, 1.1)
    value *= chance.uniform(0.9, 1.05)
    pale = colour in ("cream", "amber")
    return {
        "body": _rgb(hue, saturation, value),
        "dark": _rgb(hue, saturation * 1.1, value * 0.55),
        "light": _rgb(hue, saturation * 0.45, value * 1.2),
        "accent": _rgb(hue + 0.03, 0.75, 0.34) if pale else _rgb(hue + 0.06, 0.22, 1.0),
        "white": (244, 244, 238),
        "eye": (24, 20, 26),
    }


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, min(saturation, 1), min(value, 1))
    return round(red * 255), round(green * 255), round(blue * 255)


def _texture(brush: Brush, texture: str, chance: Random) -> None:
    """Over the whole unit disc; the mask keeps what lies on the body."""
    step = chance.uniform(0.24, 0.3)
    shift = chance.uniform(0, step)
    rows = np.arange(-1.2, 1.2, step) + shift
    if texture == "spots":
        for row, y in enumerate(rows):
            for x in np.arange(-1.2, 1.2, step) + (row % 2) * step / 2:
                brush.dot((x, y), step * 0.3)
    if texture == "bands":
        for y in rows:
            brush.line(((-1.3, y), (1.3, y)), step * 0.42, "accent")
    if texture == "rings":
        for radius in (np.arange(0, 1.3, step) + shift)[::-1]:
            brush.mark(oval((0, 0), radius, radius), "accent")
            brush.mark(oval((0, 0), radius - step * 0.5, radius - step * 0.5), "body")


def _ground(chance: Random) -> Image.Image:
    """What it lies on: grain of two sizes between two colours, brighter towards one side."""
    darkest, lightest = GROUNDS[chance.choice(list(GROUNDS))]
    coarse = _grain(chance, chance.choice((5, 12, 40, 90)))
    grain = Image.blend(coarse, _grain(chance, PICTURE_PX), chance.uniform(0.1, 0.3))
    slope = Image.linear_gradient("L").rotate(90 * chance.randrange(4)).resize(grain.size)
    return ImageOps.colorize(Image.blend(grain, slope, chance.uniform(0.2, 0.6)), darkest, lightest)


def _grain(chance: Random, cells: int) -> Image.Image:
    noise = Image.frombytes("L", (cells, cells), chance.randbytes(cells * cells))
    return noise.resize((PICTURE_PX, PICTURE_PX), Image.Resampling.BICUBIC)


def _shadowed(ground: Image.Image, mask: Image.Image, chance: Random) -> Image.Image:
    small = ImageChops.offset(mask.reduce(4), chance.randint(-4, 4), chance.randint(1, 5))
    soft = small.filter(ImageFilter.GaussianBlur(2)).resize(ground.size)
    depth = chance.uniform(0.25, 0.6)
    return Image.composite(ground.point(lambda level: int(level * (1 - depth))), ground, soft)


def _rounded(paint: Image.Image, mask: Image.Image, chance: Random) -> Image.Image:
    """Light from one side on a body that bulges: the slope of the blurred outline stands for its surface."""
    small = mask.reduce(2).filter(ImageFilter.GaussianBlur(4))
    height = np.asarray(small, np.float32)
    down, right = np.gradient(height)
    side = chance.uniform(-0.8, 0.8)
    lit = 96 + 0.16 * height - chance.uniform(2.0, 4.0) * (down + side * right)
    shade = Image.fromarray(lit.clip(40, 190).astype(np.uint8)).resize(paint.size, Image.Resampling.BILINEAR)
    product = np.asarray(paint, np.uint16) * np.asarray(shade, np.uint16)[..., None] >> 7
    return Image.fromarray(np.minimum(product, 255).astype(np.uint8))


def _photographed(picture: Image.Image, chance: Random) -> Image.Image:
    """Exposure, tint, focus and grain of a camera held under water or over a tray."""
    exposure = chance.uniform(0.7, 1.2)
    gains = [exposure * chance.uniform(0.92, 1.08) for _ in range(3)]
    haze = chance.uniform(0, 18)
    curve = (np.arange(256) * np.array(gains)[:, None] + haze).round().clip(0, 255).astype(int)
    picture = picture.point(curve.ravel().tolist())
    if blur_px := chance.choice((0, 0, 0.6, 1.2)):
        picture = picture.filter(ImageFilter.GaussianBlur(blur_px))
    amount = chance.uniform(0.0, 0.12)
    noise = np.frombuffer(chance.randbytes(PICTURE_PX * PICTURE_PX), np.uint8).reshape(PICTURE_PX, PICTURE_PX)
    grain = ((noise.astype(np.int16) - 128) * amount).astype(np.int16)
    grainy = np.asarray(picture, np.int16) + grain[..., None]
    return Image.fromarray(grainy.clip(0, 255).astype(np.uint8))
