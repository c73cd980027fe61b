"""Every kind of PNG: colour types, depths, transparency, profiles, orientation, animation, metadata, endings."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from gateway.imaging import Pixels
from tests.pictures import PNG_BEGIN, Levels, exif, png_chunk, png_pixels, raw_png
from tests.pictures.kinds import SQUARE, Kind, over_white, pixels, square
from tests.pictures.profiles import PROFILES, curve, grey, stored, to_linear
from tests.pictures.turns import stored_for

RGB = pixels(square())
GREY = np.array(square().convert("L"))
ALPHA = np.array(Image.radial_gradient("L").resize(SQUARE))


def grey_twin(levels: Levels) -> Pixels:
    return np.dstack([levels.astype(np.uint8)] * 3)


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and body of each chunk."""
    at = len(PNG_BEGIN)
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def built(parts: list[tuple[bytes, bytes]]) -> bytes:
    return PNG_BEGIN + b"".join(png_chunk(name, body) for name, body in parts)


def marked(data: bytes, *more: tuple[bytes, bytes], before: bytes = b"IDAT") -> bytes:
    """With more chunks before the first one named `before`."""
    parts = list(chunks(data))
    at = next(index for index, (found, _) in enumerate(parts) if found == before)
    return built([*parts[:at], *more, *parts[at:]])


def with_bad_crc(data: bytes, name: bytes) -> bytes:
    """The checksum of the first chunk of that name is wrong."""
    at = data.index(name) + 4
    end = at + int.from_bytes(data[at - 8 : at - 4])
    return data[:end] + bytes([data[end] ^ 0xFF]) + data[end + 1 :]


def png_of_fewer_rows(levels: Levels, size: tuple[int, int], *, interlaced: bool = False) -> bytes:
    """A whole file of that size, whose coded pixels stop after as many bytes as the rows of `levels` take."""
    header, _, end = chunks(raw_png(np.resize(levels, (size[1], size[0], *levels.shape[2:])), interlaced=interlaced))
    coded = png_pixels(levels, levels.itemsize * 8)
    return built([header, (b"IDAT", coded), end])


# --- Depths and colour types -------------------------------------------------------------------------------------


def depths() -> Iterator[Kind]:
    """All fifteen combinations, plain and interlaced."""
    for interlaced in (False, True):
        way = ", interlaced" if interlaced else ""
        for bits in (1, 2, 4, 8):
            levels = GREY >> (8 - bits)
            twin = grey_twin(levels.astype(int) * 255 // (2**bits - 1))
            yield Kind(f"PNG: grey, {bits} bits{way}", raw_png(levels, bits=bits, interlaced=interlaced), twin)
            palette = square().quantize(2**bits)
            indices, colours = np.array(palette), bytes(palette.getpalette() or [])
            yield Kind(
                f"PNG: palette, {bits} bits{way}",
                raw_png(indices, bits=bits, palette=colours, interlaced=interlaced),
                pixels(palette),
            )
        deep_grey, deep = GREY.astype(np.uint16) * 257, RGB.astype(np.uint16) * 257
        alpha = ALPHA.astype(np.uint16) * 257
        half_grey, half = over_white(grey_twin(GREY), ALPHA), over_white(RGB, ALPHA)
        whole: list[tuple[str, Levels, Pixels]] = [
            ("grey, 16 bits", deep_grey, grey_twin(GREY)),
            ("RGB, 8 bits", RGB, RGB),
            ("RGB, 16 bits", deep, RGB),
            ("grey with alpha, 8 bits", np.dstack([GREY, ALPHA]), half_grey),
            ("grey with alpha, 16 bits", np.dstack([deep_grey, alpha]), half_grey),
            ("RGBA, 8 bits", np.dstack([RGB, ALPHA]), half),
            ("RGBA, 16 bits", np.dstack([deep, alpha]), half),
        ]
        for name, values, twin in whole:
            yield Kind(f"PNG: {name}{way}", raw_png(values, interlaced=interlaced), twin)


def transparent() -> Iterator[Kind]:
    """One colour that stands for transparent, or alpha of its own for each colour of a palette."""
    for bits in (1, 2, 4, 8, 16):
        levels: Levels = GREY.astype(np.uint16) * 257 if bits == 16 else GREY >> (8 - bits)
        key = int(levels[100, 100])
        grey_shown = np.where(levels == key, 255, levels.astype(int) * 255 // (2**bits - 1))
        data = raw_png(levels, bits=bits, tRNS=struct.pack(">H", key))
        yield Kind(f"PNG: grey, {bits} bits, colour key", data, grey_twin(grey_shown))
    for depth, times in ((8, 1), (16, 257)):
        levels = (RGB // 16 * 16).astype(np.uint16 if depth == 16 else np.uint8) * times
        colour = levels[100, 100]
        shown = np.where((levels == colour).all(axis=2)[..., None], 255, levels // times).astype(np.uint8)
        yield Kind(f"PNG: RGB, {depth} bits, colour key", raw_png(levels, tRNS=struct.pack(">3H", *colour)), shown)
    palette = square().quantize(16)
    indices, colours = np.array(palette), bytes(palette.getpalette() or [])
    for name, alphas in (
        ("alpha for each colour", bytes(range(0, 256, 16))),
        ("alpha for the first colours", bytes((0, 128, 255))),
        ("one colour transparent", b"\xff" * 5 + b"\0"),
        ("first colour transparent", b"\0"),
    ):
        alpha = np.frombuffer(alphas.ljust(16, b"\xff"), np.uint8)[indices]
        for bits in (4, 8):
            data = raw_png(indices, bits=bits, palette=colours, tRNS=alphas)
            yield Kind(f"PNG: palette, {bits} bits, {name}", data, over_white(pixels(palette), alpha))
    yield Kind("PNG: RGB, colour key that no pixel has", raw_png(RGB, tRNS=struct.pack(">3H", 1, 2, 3)), RGB)


# --- Colour -------------------------------------------------------------------------------------------------------


def icc(profile: bytes) -> bytes:
    """The body of an iCCP chunk."""
    return b"profile\0\0" + zlib.compress(profile)


def profiles() -> Iterator[Kind]:
    for name, (profile, primaries, encode) in PROFILES.items():
        levels = stored(RGB, primaries, encode)
        yield Kind(f"PNG: RGB, profile {name}", raw_png(levels, iCCP=icc(profile)), RGB)
        yield Kind(
            f"PNG: RGB, 16 bits, profile {name}", raw_png(levels.astype(np.uint16) * 257, iCCP=icc(profile)), RGB
        )
        opaque = np.full(SQUARE, 255, np.uint8)
        yield Kind(f"PNG: RGBA, profile {name}", raw_png(np.dstack([levels, opaque]), iCCP=icc(profile)), RGB)
        indexed = square().quantize(64)
        colours = np.frombuffer(bytes(indexed.getpalette() or []), np.uint8).reshape(-1, 1, 3)
        palette = stored(colours, primaries, encode).tobytes()
        data = raw_png(np.array(indexed), palette=palette, iCCP=icc(profile))
        yield Kind(f"PNG: palette, profile {name}", data, pixels(indexed))
    linear = np.rint(255 * (GREY / 255) ** 2.2).astype(np.uint8)
    light = grey("Grey", curve(1.0))
    yield Kind("PNG: grey, grey profile", raw_png(linear, iCCP=icc(light)), grey_twin(GREY))
    yield Kind("PNG: RGB, grey profile", raw_png(RGB, iCCP=icc(light)), RGB)
    yield Kind("PNG: grey, RGB profile", raw_png(GREY, iCCP=icc(PROFILES["sRGB"][0])), grey_twin(GREY))
    gamma = np.rint(255 * to_linear(GREY / 255) ** (1 / 1.8)).astype(np.uint8)
    eighteen = icc(PROFILES["gamma 1.8, named sRGB"][0])
    yield Kind("PNG: grey, RGB profile of gamma 1.8", raw_png(gamma, iCCP=eighteen), grey_twin(GREY))
    yield Kind("PNG: profile of nonsense", raw_png(RGB, iCCP=icc(b"nonsense" * 100)), RGB)
    yield Kind("PNG: profile cut off", raw_png(RGB, iCCP=icc(PROFILES["Display P3"][0])[:60]), RGB)
    yield Kind("PNG: sRGB chunk", raw_png(RGB, sRGB=b"\0"), RGB)
    usual = struct.pack(">L", 45455)
    yield Kind("PNG: sRGB chunk and gamma", raw_png(RGB, sRGB=b"\0", gAMA=usual), RGB)


def gamma() -> Iterator[Kind]:
    """What is stored is what the gateway shows: it does not use these chunks."""
    chromaticities = struct.pack(">8L", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    wide = struct.pack(">8L", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    yield Kind("PNG: gamma 2.2", raw_png(RGB, gAMA=struct.pack(">L", 45455)), RGB)
    yield Kind(
        "PNG: gamma 2.2, sRGB's primaries", raw_png(RGB, gAMA=struct.pack(">L", 45455), cHRM=chromaticities), RGB
    )
    for name, more in (
        ("gamma 1.0", [(b"gAMA", struct.pack(">L", 100_000))]),
        ("gamma 1.8", [(b"gAMA", struct.pack(">L", 55_556))]),
        ("gamma 2.2, primaries of P3", [(b"gAMA", struct.pack(">L", 45455)), (b"cHRM", wide)]),
        ("cICP of Display P3", [(b"cICP", bytes((12, 13, 0, 1)))]),
        ("cICP of BT.2100 PQ", [(b"cICP", bytes((9, 16, 0, 1)))]),
    ):
        yield Kind(f"PNG: {name}", marked(raw_png(RGB), *more), RGB, "gamma")


# --- Orientation, animation ---------------------------------------------------------------------------------------


def turned() -> Iterator[Kind]:
    for value in range(10):
        levels = pixels(stored_for(value, square()))
        block = exif(value)[6:]
        yield Kind(f"PNG: orientation {value}", raw_png(levels, eXIf=block), RGB)
        if value in (3, 6):
            behind = marked(raw_png(levels), (b"eXIf", block), before=b"IEND")
            yield Kind(f"PNG: orientation {value} behind the pixels", behind, RGB, "late orientation")


def control(number: int, size: tuple[int, int], at: tuple[int, int] = (0, 0), *, blend: int = 0) -> tuple[bytes, bytes]:
    """An fcTL chunk."""
    return b"fcTL", struct.pack(">5L2H2B", number, *size, *at, 1, 10, 0, blend)


def frames(number: int, levels: Levels) -> tuple[bytes, bytes]:
    """An fdAT chunk."""
    return b"fdAT", struct.pack(">L", number) + png_pixels(levels, levels.itemsize * 8)


def animated() -> Iterator[Kind]:
    """With the still picture as first frame, or with one that no animation shows."""
    red = np.zeros_like(RGB) + np.array((255, 0, 0), np.uint8)
    begin = (b"acTL", struct.pack(">2L", 2, 0))
    for name, first, last, twin in (
        ("RGB", RGB, red, RGB),
        ("RGBA", np.dstack([RGB, ALPHA]), np.dstack([red, ALPHA]), over_white(RGB, ALPHA)),
        ("grey", GREY, GREY // 2, grey_twin(GREY)),
        ("RGB, 16 bits", RGB.astype(np.uint16) * 257, red.astype(np.uint16), RGB),
    ):
        header, data, end = chunks(raw_png(first))
        other = next(body for kind, body in chunks(raw_png(last)) if kind == b"IDAT")
        shown = [header, begin, control(0, SQUARE), data, control(1, SQUARE), frames(2, last), end]
        yield Kind(f"PNG: animation, {name}", built(shown), twin)
        hidden = [header, begin, (b"IDAT", other), control(0, SQUARE), frames(1, first), control(2, SQUARE)]
        yield Kind(f"PNG: animation with a hidden picture, {name}", built([*hidden, frames(3, last), end]), twin)
        pieces = frames(1, first)[1][4:]
        split = [(b"fdAT", struct.pack(">L", 1) + pieces[:500]), (b"fdAT", struct.pack(">L", 2) + pieces[500:])]
        parts = [header, begin, (b"IDAT", other), control(0, SQUARE), *split, control(3, SQUARE), frames(4, last), end]
        yield Kind(f"PNG: animation with a hidden picture, {name}, in two chunks", built(parts), twin)
        box = np.s_[40:140, 30:180]
        small = np.full_like(twin, 255)
        small[box] = twin[box]
        for blend in (0, 1):
            placed = [control(0, (150, 100), (30, 40), blend=blend), frames(1, first[box]), control(2, SQUARE)]
            parts = [header, begin, (b"IDAT", other), *placed, frames(3, last), end]
            name_of_blend = ("source", "over")[blend]
            yield Kind(
                f"PNG: animation, {name}, first frame within its canvas, blend {name_of_blend}", built(parts), small
            )
    header, data, end = chunks(raw_png(RGB))
    yield Kind(
        "PNG: animation of one frame",
        built([header, (b"acTL", struct.pack(">2L", 1, 0)), control(0, SQUARE), data, end]),
        RGB,
    )
    yield Kind("PNG: animation of no frames", built([header, (b"acTL", bytes(8)), data, end]), RGB)
    yield Kind("PNG: animation whose frames are missing", built([header, begin, data, end]), RGB, "broken animation")
    outside = [header, begin, data, control(0, SQUARE, (1, 0)), frames(1, red), end]
    yield Kind("PNG: animation whose first frame lies outside", built(outside), RGB, "broken animation")
    palette = square().quantize(32)
    indices, colours = np.array(palette), bytes(palette.getpalette() or [])
    header, table, alphas, data, end = chunks(raw_png(indices, palette=colours, tRNS=b"\0\x80"))
    alpha = np.frombuffer(b"\0\x80".ljust(256, b"\xff"), np.uint8)[indices]
    other = png_pixels(indices[::-1], 8)
    parts = [header, begin, table, alphas, (b"IDAT", other), control(0, SQUARE), frames(1, indices), control(2, SQUARE)]
    parts += [frames(3, indices[::-1]), end]
    yield Kind("PNG: animation with a hidden picture, palette", built(parts), over_white(pixels(palette), alpha))


# --- Metadata and endings -----------------------------------------------------------------------------------------


def annotated() -> Iterator[Kind]:
    plain = raw_png(RGB)
    large = zlib.compress(bytes(1_300_000), 9)
    wide, primaries, encode = PROFILES["Display P3"]
    for name, body in {
        "tEXt": b"Comment\0hello",
        "zTXt": b"Comment\0\0" + large,
        "iTXt": b"Comment\0\1\0en\0\0" + large,
        "pHYs": struct.pack(">2LB", 2835, 2835, 1),
        "tIME": bytes((7, 234, 1, 1, 0, 0, 0)),
        "sBIT": bytes((8, 8, 8)),
        "bKGD": bytes(6),
        "prVt": b"anything",
        "gAMA": struct.pack(">L", 100_000),
        "sRGB": b"\0",
        "eXIf": exif(6)[6:],
        "tRNS": struct.pack(">3H", *RGB[100, 100]),
        "iCCP": icc(PROFILES["linear, named sRGB"][0]),
    }.items():
        data = marked(plain, (name.encode(), body))
        if name not in ("gAMA", "eXIf", "tRNS", "iCCP"):
            yield Kind(f"PNG: {name}", data, RGB)
        yield Kind(f"PNG: {name} with a wrong checksum", with_bad_crc(data, name.encode()), RGB)
    yield Kind("PNG: text of nonsense", raw_png(RGB, zTXt=b"a\0\1nonsense", iTXt=b"x"), RGB)
    yield Kind("PNG: zTXt behind the pixels", marked(plain, (b"zTXt", b"a\0\0" + large), before=b"IEND"), RGB)
    yield Kind("PNG: 600 texts", marked(plain, *[(b"tEXt", b"a\0" + b"b" * 9000)] * 600), RGB)
    long = wide + bytes(1_500_000)
    yield Kind("PNG: profile of 1.5 MB", raw_png(stored(RGB, primaries, encode), iCCP=icc(sized(long))), RGB)
    yield Kind(
        "PNG: short chunks of metadata", raw_png(RGB, pHYs=b"\0", gAMA=b"\0", cHRM=b"\0", sRGB=b"", tIME=b""), RGB
    )
    header, (_, body), end = chunks(plain)
    pieces = [(b"IDAT", body[at : at + 1000]) for at in range(0, len(body), 1000)]
    yield Kind("PNG: pixels in many chunks", built([header, (b"IDAT", b""), *pieces, (b"IDAT", b""), end]), RGB)


def sized(profile: bytes) -> bytes:
    """With its own length in its header."""
    return struct.pack(">L", len(profile)) + profile[4:]


def ended() -> Iterator[Kind]:
    plain = raw_png(RGB)
    yield Kind("PNG: no IEND", plain[:-12], RGB)
    yield Kind("PNG: IEND cut", plain[:-5], RGB)
    yield Kind("PNG: IEND with a wrong checksum", with_bad_crc(plain, b"IEND"), RGB)
    yield Kind(
        "PNG: text cut off behind the pixels", marked(plain, (b"tEXt", b"a\0" + b"b" * 99), before=b"IEND")[:-60], RGB
    )
    yield Kind("PNG: no checksum of the pixels, nothing behind", plain[:-16], RGB)
    yield Kind("PNG: trailing data", plain + b"PK\3\4" * 100, RGB)


def every() -> Iterator[Kind]:
    for group in (depths, transparent, profiles, gamma, turned, animated, annotated, ended):
        yield from group()
