"""Pictures that show no animal: noise, gradients, text, windows of a screen, shapes. Seeded; PNG."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from tests.pictures import encoded

WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "while",
    "invoices",
    "and",
    "reports",
    "wait",
    "for",
    "their",
    "answers",
    "in",
    "2026",
]
KINDS = ("noise", "blotches", "gradient", "text", "window", "shapes")


def strangers(count: int) -> Iterator[tuple[str, bytes]]:
    """Each with the name of its kind, in turn."""
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        yield f"{kind} {number}", encoded(_DRAWN[kind](np.random.default_rng(number)), "PNG")


def _noise(chance: np.random.Generator) -> Image.Image:
    channels = int(chance.choice([1, 3]))
    return Image.fromarray(chance.integers(0, 256, (224, 300, channels), np.uint8).repeat(3 // channels, axis=2))


def _blotches(chance: np.random.Generator) -> Image.Image:
    cells = int(chance.integers(2, 30))
    coarse = Image.fromarray(chance.integers(0, 256, (cells, cells, 3), np.uint8))
    return coarse.resize((300, 240), Image.Resampling(int(chance.choice([0, 2, 3]))))


def _gradient(chance: np.random.Generator) -> Image.Image:
    across, down = np.linspace(0, 1, 320)[None, :, None], np.linspace(0, 1, 240)[:, None, None]
    first, second, third = chance.integers(0, 256, (3, 3))
    return Image.fromarray(
        (first * across + second * (1 - across) * down + third * (1 - down) / 2).clip(0, 255).astype(np.uint8)
    )


def _text(chance: np.random.Generator) -> Image.Image:
    page = Image.new("RGB", (400, 300), tuple(map(int, chance.integers(200, 256, 3))))
    _write(page, (12, 8), chance, lines=int(chance.integers(3, 20)), ink=tuple(map(int, chance.integers(0, 90, 3))))
    return page


def _window(chance: np.random.Generator) -> Image.Image:
    screen = Image.new("RGB", (640, 400), tuple(map(int, chance.integers(0, 256, 3))))
    draw = ImageDraw.Draw(screen)
    for _ in range(int(chance.integers(1, 4))):
        left, top = (int(at) for at in chance.integers(0, 250, 2))
        draw.rectangle((left, top, left + 360, top + 220), fill=(250, 250, 250), outline=(90, 90, 90))
        draw.rectangle((left, top, left + 360, top + 22), fill=tuple(map(int, chance.integers(0, 256, 3))))
        _write(screen, (left + 10, top + 30), chance, lines=8, ink=(20, 20, 20))
    return screen


def _shapes(chance: np.random.Generator) -> Image.Image:
    ground = Image.new("RGB", (300, 300), tuple(map(int, chance.integers(0, 256, 3))))
    for _ in range(int(chance.integers(1, 12))):
        x, y, radius, corners, turn = (int(v) for v in chance.integers((0, 0, 8, 3, 0), (300, 300, 90, 9, 360)))
        fill = tuple(map(int, chance.integers(0, 256, 3)))
        ImageDraw.Draw(ground).regular_polygon((x, y, radius), corners, turn, fill=fill)
    return ground


def _write(
    page: Image.Image, at: tuple[int, int], chance: np.random.Generator, *, lines: int, ink: tuple[int, ...]
) -> None:
    text = "\n".join(" ".join(chance.choice(WORDS, 8)) for _ in range(lines))
    ImageDraw.Draw(page).multiline_text(at, text, fill=ink)


_DRAWN = {
    "noise": _noise,
    "blotches": _blotches,
    "gradient": _gradient,
    "text": _text,
    "window": _window,
    "shapes": _shapes,
}
