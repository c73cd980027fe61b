"""How each kind of specimen is built: a function a kind, of a brush, a pattern, a variant and chance.

`variant` (0-3) is part of what a class is: arms, whorls, spines. What chance decides is pose, never class.
Every body fits the unit disc and stands upright, head up.
"""

import math
from collections.abc import Callable
from random import Random

import numpy as np

from tests.drawings.brush import Brush, Points, moved, oval, polar, wave

Pattern = Callable[[], None]
"""Paints the class's texture over all that has been painted so far."""
Body = Callable[[Brush, Pattern, int, Random], None]

TAU = 2 * math.pi


def star(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    arms, inner, sharp = ((5, 0.30, 1.2), (6, 0.42, 1.4), (8, 0.48, 1.0), (12, 0.55, 0.8))[variant]
    turn = np.linspace(0, TAU, 24 * arms, endpoint=False)
    bend = chance.uniform(-0.25, 0.25)
    radius = inner + (1 - inner) * ((1 + np.cos(arms * turn)) / 2) ** sharp
    brush.shape(polar(radius, turn + bend * radius**2))
    pattern()
    for arm in np.arange(arms) * TAU / arms:
        for r in np.linspace(0.2, 0.85, 5):
            brush.dot(polar(r, arm + bend * r * r), 0.045 * (1.2 - r), "light")
    brush.dot((0, 0), 0.07, "dark")


def brittle(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    """Brittle stars, and feather stars from variant 1 on."""
    arms = (5, 10, 7, 14)[variant]
    for arm in np.arange(arms) * TAU / arms:
        line = wave(polar(0.2, arm), polar(1, arm), chance.uniform(0.15, 0.3), chance.uniform(0, TAU))
        for x, y in line[2:-1]:
            side = polar(0.09, arm + math.pi / 2)
            brush.limb(((x - side[0], y - side[1]), (x, y), (x + side[0], y + side[1])), 0.03, tone="dark")
        brush.limb(line, 0.13, 0.04)
    brush.disc((0, 0), 0.34)
    pattern()
    brush.shape(polar(0.2 + 0.06 * np.cos(np.linspace(0, TAU, 30) * arms), np.linspace(0, TAU, 30)), "light")


def urchin(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    spines, length, thick = ((44, 1.0, 0.035), (26, 0.95, 0.07), (64, 0.8, 0.03), (18, 1.0, 0.1))[variant]
    for spine in np.arange(spines) * TAU / spines:
        angle = spine + chance.uniform(-0.05, 0.05)
        brush.limb(polar([0.4, length * chance.uniform(0.85, 1)], angle), thick, 0.01, "dark")
    brush.disc((0, 0), 0.62)
    pattern()
    for ray in np.arange(10) * TAU / 10 + 0.1:
        for r in (0.22, 0.36, 0.5):
            brush.dot(polar(r, ray), 0.028, "light")
    brush.dot((0, 0), 0.06, "dark")


def anemone(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    tentacles, length, thick = ((13, 0.75, 0.12), (21, 0.6, 0.08), (9, 0.8, 0.18), (27, 0.75, 0.06))[variant]
    column = ((-0.5, 1), (-0.42, 0.6), (-0.5, 0.1), (0.5, 0.1), (0.42, 0.6), (0.5, 1))
    for k, angle in enumerate(np.linspace(-1.75, 1.75, tentacles)):
        root = (0.5 * math.sin(angle * 0.75), 0.12 - 0.1 * math.cos(angle))
        tip = np.add(root, polar(length * (1 if k % 2 else 0.8), angle))
        brush.limb(wave(root, tip, 0.12, chance.uniform(0, TAU)), thick, thick * 0.7, "light")
        brush.disc(tip, thick * 0.5, "accent")
    brush.shape(column)
    pattern()
    brush.disc((0, 0.1), 0.52, "dark", flat=0.28)


def fan(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    """Sea fans and corals: a tree in one plane."""
    twigs, depth, thick = ((2, 4, 0.16), (3, 3, 0.2), (2, 4, 0.26), (4, 2, 0.24))[variant]
    tips: list[Points] = []

    def grow(root: tuple[float, float], angle: float, length: float, level: int) -> None:
        end = np.add(root, polar(length, angle))
        brush.limb((root, tuple(end)), thick * 0.75 ** (depth - level), thick * 0.75 ** (depth - level + 1))
        if level == 0:
            tips.append(end)
            return
        for step in np.linspace(-0.55, 0.55, twigs):
            grow((end[0], end[1]), angle + step + chance.uniform(-0.12, 0.12), length * 0.82, level - 1)

    grow((0, 1), 0, 0.52 if depth == 4 else 0.62, depth)
    pattern()
    for x, y in tips:
        brush.disc((x, y), 0.06, "light")


def pen(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    """Sea pens: a quill with leaves on both sides."""
    leaves, droop, length = ((9, 0.5, 0.55), (14, 0.9, 0.45), (6, 0.2, 0.5), (11, 1.2, 0.65))[variant]
    sway = chance.uniform(-0.2, 0.2)
    for t in np.linspace(0, 1, leaves):
        y, reach = 0.45 - 1.35 * t, length * (1 - 0.65 * abs(t - 0.35))
        for side in (-1, 1):
            root = (sway * (t - 0.5), y)
            tip = (root[0] + side * reach, y - reach * droop * 0.6)
            brush.limb(wave(root, tip, 0.08 * side), 0.15, 0.07)
    pattern()
    brush.limb(wave((0, 1), (sway * 0.6, -0.9), 0.02), 0.14, 0.05, "light")


def jelly(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    tentacles, height = ((8, 0.75), (14, 0.55), (5, 0.9), (10, 0.65))[variant]
    for x in np.linspace(-0.62, 0.62, tentacles):
        line = wave((x, -0.1), (x * 1.05, chance.uniform(0.65, 1)), 0.12, chance.uniform(0, TAU), waves=1.5)
        brush.limb(line, 0.06, 0.02, "light")
    for x in (-0.2, 0.0, 0.2):
        brush.limb(wave((x, -0.1), (x, 0.55), 0.16, chance.uniform(0, TAU), waves=1.3), 0.17, 0.08, "accent")
    rim = np.linspace(-math.pi / 2, math.pi / 2, 24)
    frill = [(0.75 - 1.5 * t, 0.02 + 0.05 * math.sin(t * 40)) for t in np.linspace(0, 1, 24)]
    brush.shape(np.concatenate((np.stack((0.78 * np.sin(rim), -height * np.cos(rim)), axis=1), frill)))
    pattern()


def worm(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    waves, thick, bristles = ((1.0, 0.26, 0.12), (0.75, 0.36, 0.2), (1.4, 0.2, 0.0), (0.6, 0.5, 0.28))[variant]
    t = np.linspace(0, 1, 40)
    phase = chance.uniform(0, TAU)
    x = np.stack((0.34 * np.sin(waves * TAU * t + phase), 0.95 - 1.9 * t), axis=1)
    for a, b in zip(x[2:-2:2], x[3:-1:2], strict=True):
        across = (b - a)[::-1] * (1, -1) / math.hypot(*(b - a)) * (thick / 2 + bristles)
        brush.limb((a - across, a, a + across), 0.03, tone="light")
    brush.limb(x, thick * 0.6, thick)
    pattern()
    for cut in range(3, 37, 3):
        across = (x[cut + 1] - x[cut])[::-1] * (1, -1)
        across = across / math.hypot(*across) * thick * 0.4
        brush.line((x[cut] - across, x[cut] + across), 0.02)
    for side in (-0.25, 0.25):
        brush.eye((x[-1][0] + side * thick, x[-1][1]), thick * 0.14)


def cucumber(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    thick, feelers, warts = ((0.72, 8, 5), (0.56, 12, 0), (0.85, 6, 8), (0.65, 16, 3))[variant]
    bend = chance.uniform(-0.25, 0.25)
    for angle in np.linspace(-1.1, 1.1, feelers):
        tip = np.add((bend, -0.62), polar(0.38, angle))
        brush.limb(wave((bend, -0.55), tip, 0.06, chance.uniform(0, TAU)), 0.09, 0.06, "accent")
    t = np.linspace(0, TAU, 48)
    y = -0.68 * np.cos(t) + 0.2
    side = np.sign(np.sin(t)) * np.abs(np.sin(t)) ** 0.6 * thick / 2 * (1 + 0.03 * np.cos(14 * t))
    brush.shape(np.stack((side + bend * y * y * 1.6, y), axis=1))
    pattern()
    for k in range(warts):
        height = -0.3 + k * 0.9 / warts
        for x in (-0.22, 0.0, 0.22):
            brush.dot((x * thick + bend * height * height * 1.6, height), 0.045, "light")


def slug(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    width, frills, plumes = ((0.42, 9, 5), (0.55, 5, 0), (0.34, 14, 9), (0.48, 22, 3))[variant]
    bend = chance.uniform(-0.3, 0.3)
    t = np.linspace(0, TAU, 120)
    y = -0.92 * np.cos(t)
    skirt = np.sin(t) * (width + 0.07 * np.cos(frills * 2 * t))
    brush.shape(np.stack((skirt + bend * np.sin(2 * y), y), axis=1), "light")
    brush.shape(np.stack((np.sin(t) * width * 0.72 + bend * np.sin(1.8 * y), y * 0.86), axis=1))
    pattern()
    for angle in np.linspace(-1, 1, plumes):
        root = (bend * math.sin(1.1), 0.55)
        brush.limb(wave(root, np.add(root, polar(0.24, angle)), 0.04), 0.08, 0.05, "accent")
    for side in (-1, 1):
        root = (bend * math.sin(-1.3) + side * 0.12, -0.62)
        brush.limb((root, (root[0] + side * 0.12, -0.98)), 0.09, 0.07, "accent")


def whelk(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    """Shells with a spire."""
    whorls, width, shrink = ((5, 0.62, 0.76), (7, 0.46, 0.82), (4, 0.74, 0.68), (9, 0.36, 0.86))[variant]
    lean = chance.uniform(-0.05, 0.05)
    canal = ((-0.3 * width, 0.45), (0.1 * width, 1.0), (0.3, 0.98), (width * 0.8, 0.4))
    brush.shape(canal)
    size, y = width, 0.3
    rings: list[tuple[float, float, float]] = []
    for k in range(whorls):
        rings.append((lean * k, y, size))
        y -= size * (0.42 + 0.22 * shrink)
        size *= shrink
    squeeze = min(1.0, 1.25 / (0.3 - y))
    rings = [(x, 0.3 - (0.3 - at) * squeeze, r) for x, at, r in rings]
    for x, at, r in reversed(rings):
        brush.disc((x, at), r, flat=0.72)
    pattern()
    for x, at, r in rings[1:]:
        arc = np.linspace(-0.9, 0.9, 12)
        brush.line(np.stack((x + r * 1.02 * np.sin(arc), at + r * 0.42 * np.cos(arc) + 0.03), axis=1), 0.03)
    brush.shape(oval((width * 0.38, 0.48), width * 0.34, 0.34), "light")
    brush.mark(oval((width * 0.42, 0.5), width * 0.2, 0.24), "eye")


def snail(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    """Round shells seen from above: a spiral."""
    turns, growth, lip = ((2.6, 0.16, 0.3), (3.4, 0.12, 0.2), (1.8, 0.24, 0.42), (4.2, 0.1, 0.15))[variant]
    outline = np.linspace(0, TAU, 48)
    brush.shape(polar(0.9 - lip * 0.5 * (1 - outline / TAU), outline))
    brush.shape(oval((0.28, -0.62), 0.45, lip * 0.8 + 0.05), "light")
    pattern()
    turn = np.linspace(0.4, turns * TAU, 90)
    brush.line(polar(0.84 * np.exp(-growth * (turns * TAU - turn)), turn), 0.055)
    brush.dot((0, 0), 0.06, "light")
    if chance.random() < 0.5:
        brush.limb(polar([0.8, 1.0], 0.5), 0.1, 0.05, "light")


def scallop(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    ribs, span = ((9, 1.1), (14, 0.95), (6, 1.25), (11, 0.8))[variant]
    turn = np.linspace(-span, span, 80)
    edge = 1.55 + 0.05 * np.cos(turn / span * ribs * math.pi)
    outline = moved(polar(edge, turn), 0, 0.75)
    for side in (-1, 1):
        brush.shape(((0, 0.9), (side * 0.38, 0.85), (side * 0.3, 0.45), (0, 0.5)), "light")
    brush.shape(np.concatenate((outline, [(0.1, 0.85), (-0.1, 0.85)])) * (0.85, 0.95))
    pattern()
    for rib in np.linspace(-span, span, ribs + 2)[1:-1]:
        brush.line(moved(polar([0.15, 1.45], rib), 0, 0.75) * (0.85, 0.95), 0.03)
    if chance.random() < 0.5:
        brush.dot((0, 0.72), 0.07, "dark")


def shrimp(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    curl, thick, claws = ((2.6, 0.34, 0.0), (1.7, 0.28, 0.0), (2.2, 0.4, 0.3), (3.2, 0.3, 0.2))[variant]
    t = np.linspace(0, 1, 9)
    turn = -0.4 + curl * t
    spine = np.stack((0.55 * np.sin(turn) - 0.25, -0.62 * np.cos(turn) + 0.05), axis=1)
    for k in range(1, 7):
        x, y = spine[k]
        inward = np.subtract((-0.25, 0.1), (x, y)) * 0.55
        swing = chance.uniform(-0.1, 0.1)
        brush.limb(((x, y), (x + inward[0] + swing, y + inward[1]), (x + inward[0] * 1.5, y + inward[1] * 1.4)), 0.06)
    tail = spine[-1] + (spine[-1] - spine[-2])
    for spread in (-0.5, 0.0, 0.5):
        angle = math.atan2(*(spine[-1] - spine[-2])) + spread
        brush.limb((spine[-1], moved(tail, 0.3 * math.sin(angle), 0.3 * math.cos(angle))), 0.1, 0.14, "accent")
    for k in range(8, -1, -1):
        brush.disc(spine[k], thick * (0.95 - 0.055 * k))
    pattern()
    head = spine[0]
    for lift in (-0.25, 0.05):
        tip = (head[0] - 0.55, head[1] + lift + chance.uniform(-0.1, 0.1))
        brush.limb(wave(head, tip, 0.12, chance.uniform(0, TAU)), 0.05, 0.02, "light")
    if claws:
        brush.limb((moved(head, 0, 0.1), moved(head, -0.4, 0.35)), 0.1, 0.08)
        brush.disc((head[0] - 0.45, head[1] + 0.4), claws * 0.6, "accent", flat=0.6)
    brush.eye((head[0] - thick * 0.45, head[1] - thick * 0.35), 0.075)


def crab(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    width, height, claw = ((0.55, 0.40, 0.2), (0.42, 0.46, 0.15), (0.62, 0.34, 0.27), (0.5, 0.5, 0.22))[variant]
    for side in (-1, 1):
        for k, lift in enumerate((-0.25, 0.05, 0.35, 0.62)):
            knee = (side * (0.86 - 0.07 * k), lift - 0.22 + chance.uniform(-0.06, 0.06))
            foot = (side * (1.0 - 0.08 * k), lift + 0.18 + chance.uniform(-0.05, 0.05))
            brush.limb(((side * width * 0.7, 0.12 * k - 0.1), knee, foot), 0.12, 0.04)
        elbow = (side * (width + 0.22), -0.4)
        hand = np.add((side * 0.42, -0.75), (chance.uniform(-0.08, 0.08), chance.uniform(-0.05, 0.05)))
        brush.limb(((side * width * 0.7, -0.1), elbow, tuple(hand)), 0.15, 0.12)
        brush.disc(hand, claw, "accent", flat=0.8)
        x, y = hand
        brush.mark(((x, y - claw), (x - side * claw * 0.9, y - claw * 0.5), (x - side * 0.02, y)), "dark")
    brush.disc((0, 0.05), width, flat=height / width)
    pattern()
    for side in (-1, 1):
        brush.limb(((side * 0.12, -height * 0.6), (side * 0.16, -height - 0.08)), 0.07, 0.06)
        brush.eye((side * 0.16, -height - 0.1), 0.075)


def spider(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    """Spider crabs and sea spiders: all legs."""
    legs, body, thick = ((4, 0.34, 0.08), (4, 0.22, 0.12), (5, 0.42, 0.06), (3, 0.3, 0.14))[variant]
    for side in (-1, 1):
        for angle in np.linspace(0.5, 2.6, legs) * side:
            knee = polar(0.68, angle * 0.9 + chance.uniform(-0.06, 0.06))
            foot = polar(1.0, angle * 1.1 + chance.uniform(-0.08, 0.08))
            brush.limb((polar(body * 0.6, angle), knee, foot), thick, thick * 0.5)
            brush.disc(knee, thick * 0.6, "light")
    brush.shape(polar(body * (1 + 0.12 * np.cos(np.linspace(0, TAU, 40) * 3)), np.linspace(0, TAU, 40)) * (1, 1.2))
    pattern()
    for side in (-1, 1):
        brush.eye((side * body * 0.35, -body * 1.1), 0.07)


def hermit(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    """A spiral shell with an animal in it."""
    turns, claw = ((2.2, 0.26), (3.0, 0.2), (1.7, 0.32), (2.6, 0.17))[variant]
    for k, angle in enumerate((-2.45, -2.0, -1.6)):
        knee = np.add((-0.2, 0.35), polar(0.5, angle + chance.uniform(-0.08, 0.08)))
        brush.limb(((-0.1, 0.35), tuple(knee), (knee[0] - 0.1, knee[1] + 0.28 - 0.05 * k)), 0.12, 0.05, "accent")
    brush.disc((-0.62, 0.42 + chance.uniform(-0.08, 0.08)), claw, "accent", flat=0.7)
    brush.disc((-0.4, 0.22), 0.24, "light")
    for x in (-0.55, -0.38):
        brush.limb(((x + 0.05, 0.15), (x - 0.05, -0.12)), 0.06, 0.05, "light")
        brush.eye((x - 0.05, -0.14), 0.075)
    brush.shape(moved(polar(np.linspace(0.62, 0.72, 40), np.linspace(0, TAU, 40)) * (1.05, 0.95), 0.28, -0.1))
    pattern()
    turn = np.linspace(0.4, turns * TAU, 80)
    brush.line(moved(polar(0.62 * np.exp(-0.2 * (turns * TAU - turn)), turn - 1), 0.28, -0.1), 0.05)


def sponge(brush: Brush, pattern: Pattern, variant: int, chance: Random) -> None:
    """Sponges and sea squirts: open tubes on one foot."""
    tubes = (((-0.34, 0.3, -0.4), (0.26, 0.36, -0.9)), ((0.0, 0.48, -0.9),),
             ((-0.5, 0.2, -0.3), (0.0, 0.25, -0.9), (0.5, 0.2, -0.5)),
             ((-0.55, 0.17, -0.6), (-0.18, 0.17, -0.95), (0.2, 0.17, -0.3), (0.55, 0.17, -0.75)))[variant]  # fmt: skip
    brush.disc((0, 0.8), 0.62, flat=0.3)
    for x, wide, top in tubes:
        top += chance.uniform(-0.08, 0.08)
        brush.shape(((x * 0.5 - wide * 0.7, 0.9), (x - wide, top), (x + wide, top), (x * 0.5 + wide * 0.7, 0.9)))
    pattern()
    for x, wide, top in tubes:
        brush.disc((x, top), wide, "light", flat=0.4)
        brush.mark(oval((x, top), wide * 0.65, wide * 0.24), "eye")


KINDS: dict[str, Body] = {
    body.__name__: body
    for body in (
        star, brittle, urchin, anemone, fan, pen, jelly, worm, cucumber,
        slug, whelk, snail, scallop, shrimp, crab, spider, hermit, sponge,
    )
}  # fmt: skip
RADIAL = frozenset({"star", "brittle", "urchin", "snail"})
"""Kinds that look the same from every side, so that they may lie turned in any way."""
