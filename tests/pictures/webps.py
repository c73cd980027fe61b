"""Every kind of WebP (container specification): lossy, lossless, alpha, profile, orientation, animation."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from tests.pictures import encoded, exif
from tests.pictures.kinds import SQUARE, Kind, over_white, pixels, square
from tests.pictures.profiles import PROFILES, stored
from tests.pictures.turns import stored_for

RGB = pixels(square())
ALPHA = np.array(Image.radial_gradient("L").resize(SQUARE))
TRANSPARENT = Image.fromarray(np.dstack([RGB, ALPHA]))
CODINGS: dict[str, dict[str, Any]] = {"lossy": {"quality": 95}, "lossless": {"lossless": True, "exact": True}}


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<L", len(body)) + body + bytes(len(body) % 2)


def riff(body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<L", 4 + len(body)) + b"WEBP" + body


def bitstream(image: Image.Image, **options: Any) -> bytes:
    """The chunks that hold the pixels of a single picture: VP8, VP8L, or ALPH and VP8."""
    body = encoded(image, "WEBP", **options)[12:]
    if body.startswith(b"VP8X"):
        body = body[18:]
    return body


def extended(flags: int, *parts: bytes, size: tuple[int, int] = SQUARE) -> bytes:
    header = struct.pack("<L", flags) + b"".join((side - 1).to_bytes(3, "little") for side in size)
    return riff(chunk(b"VP8X", header) + b"".join(parts))


def frame(image: Image.Image, at: tuple[int, int] = (0, 0), flags: int = 0, **options: Any) -> bytes:
    """An ANMF chunk. Flags: 1 disposes to the background, 2 does not blend."""
    place = b"".join(
        value.to_bytes(3, "little") for value in (at[0] // 2, at[1] // 2, image.width - 1, image.height - 1)
    )
    return chunk(b"ANMF", place + (50).to_bytes(3, "little") + bytes([flags]) + bitstream(image, **options))


def stills() -> Iterator[Kind]:
    for coding, options in CODINGS.items():
        for method in (0, 4, 6):
            yield Kind(f"WebP: {coding}, method {method}", encoded(square(), "WEBP", method=method, **options), RGB)
        yield Kind(f"WebP: {coding}, alpha", encoded(TRANSPARENT, "WEBP", **options), over_white(RGB, ALPHA))
        yield Kind(f"WebP: {coding}, extended", extended(0, bitstream(square(), **options)), RGB)
        unknown = chunk(b"ABCD", b"anything")
        yield Kind(
            f"WebP: {coding}, unknown chunks", extended(0, unknown, bitstream(square(), **options), unknown), RGB
        )
        yield Kind(f"WebP: {coding}, trailing data", encoded(square(), "WEBP", **options) + b"PK\3\4" * 50, RGB)
        for name, (profile, primaries, encode) in PROFILES.items():
            levels = Image.fromarray(stored(RGB, primaries, encode))
            yield Kind(f"WebP: {coding}, profile {name}", encoded(levels, "WEBP", icc_profile=profile, **options), RGB)
    yield Kind("WebP: lossy, quality 100", encoded(square(), "WEBP", quality=100), RGB)
    alpha = encoded(TRANSPARENT, "WEBP", quality=95, alpha_quality=60)
    yield Kind("WebP: lossy, lossy alpha", alpha, over_white(RGB, ALPHA))


def turned() -> Iterator[Kind]:
    for value in range(10):
        data = encoded(stored_for(value, square()), "WEBP", lossless=True, exif=exif(value))
        yield Kind(f"WebP: orientation {value}", data, RGB, "WebP orientation" if 2 <= value <= 8 else "")


def animated() -> Iterator[Kind]:
    red = Image.new("RGB", SQUARE, "red")
    for coding, options in CODINGS.items():
        for background in (0, 0xFF0000FF):
            begin = chunk(b"ANIM", struct.pack("<LH", background, 0))
            name = f"WebP: {coding} animation, background {background:08x}"
            yield Kind(name, extended(2, begin, frame(square(), **options), frame(red)), RGB)
            part = square().crop((30, 40, 180, 140))
            small = np.full_like(RGB, 255)
            small[40:140, 30:180] = RGB[40:140, 30:180]
            for flags in range(4):
                placed = frame(part, (30, 40), flags, **options)
                data = extended(0x12, begin, placed, frame(red))
                yield Kind(f"{name}, first frame within its canvas, flags {flags}", data, small)
        clear = extended(0x12, chunk(b"ANIM", bytes(6)), frame(TRANSPARENT, **options), frame(red))
        yield Kind(f"WebP: {coding} animation, alpha", clear, over_white(RGB, ALPHA))
        one = extended(2, chunk(b"ANIM", bytes(6)), frame(square(), **options))
        yield Kind(f"WebP: {coding} animation of one frame", one, RGB)


def ended() -> Iterator[Kind]:
    red = Image.new("RGB", SQUARE, "red")
    for coding, options in CODINGS.items():
        moving = extended(2, chunk(b"ANIM", bytes(6)), frame(square(), **options), frame(red, **options))
        yield Kind(f"WebP: {coding} animation, cut within its second frame", moving[:-20], RGB, "unfinished")
        noted = extended(8, bitstream(square(), **options), chunk(b"EXIF", exif(1) + bytes(200)))
        yield Kind(f"WebP: {coding}, cut within its metadata", noted[:-100], RGB, "unfinished")


def every() -> Iterator[Kind]:
    for group in (stills, turned, animated, ended):
        yield from group()
