"""Every kind of JPEG: colours, sampling, coding, profiles, orientation, metadata, endings (ITU-T T.81, annex B)."""

import itertools
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from gateway.imaging import Pixels
from tests.goldens.draw import GOLDENS, grained, unmarked
from tests.pictures import cmyk_profile, encoded, exif, mpo
from tests.pictures.kinds import SQUARE, Kind, pixels, square
from tests.pictures.profiles import PROFILES, curve, from_linear, grey, stored, to_linear
from tests.pictures.turns import stored_for

RGB = pixels(square())
GREY = np.dstack([np.array(square().convert("L"))] * 3)
FINE: dict[str, Any] = {"quality": 95, "subsampling": 0}


def jpeg(image: Image.Image | None = None, **options: Any) -> bytes:
    return encoded(square() if image is None else image, "JPEG", **(FINE | options))


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def begun(data: bytes, *segments: bytes) -> bytes:
    """With more segments at the beginning."""
    return data[:2] + b"".join(segments) + data[2:]


def without(data: bytes, marker: int) -> bytes:
    """Without the first segment of that marker."""
    at = data.index(bytes((0xFF, marker)))
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]


def coded() -> Iterator[Kind]:
    inks = square().convert("CMYK")
    for mode, image, twin in (("grey", square().convert("L"), GREY), ("YCbCr", square(), RGB), ("CMYK", inks, RGB)):
        for progressive, optimize in itertools.product((False, True), repeat=2):
            data = jpeg(image, progressive=progressive, optimize=optimize)
            way = ("progressive" if progressive else "baseline") + (", optimised tables" if optimize else "")
            yield Kind(f"JPEG: {mode}, {way}", data, twin)
        for blocks in (1, 7, 100):
            yield Kind(f"JPEG: {mode}, restart every {blocks} blocks", jpeg(image, restart_marker_blocks=blocks), twin)
    for sampling, progressive in itertools.product(("4:4:4", "4:2:2", "4:2:0", "4:1:1"), (False, True)):
        way = "progressive" if progressive else "baseline"
        yield Kind(f"JPEG: {sampling}, {way}", jpeg(subsampling=sampling, progressive=progressive), RGB)
    yield Kind("JPEG: CMYK without Adobe's marker", unmarked(jpeg(inks)), RGB)
    yield Kind("JPEG: YCCK", ycck(), RGB)
    yield Kind("JPEG: RGB by Adobe's marker", jpeg(keep_rgb=True), RGB)
    named = bytearray(jpeg(keep_rgb=True))
    yield Kind("JPEG: RGB by the names of its components", unmarked(bytes(named)), RGB)
    without_jfif = without(jpeg(), 0xE0)
    yield Kind("JPEG: without JFIF", without_jfif, RGB)
    extended = bytearray(jpeg())
    extended[extended.index(b"\xff\xc0") + 1] = 0xC1
    yield Kind("JPEG: extended sequential", bytes(extended), RGB)
    for quality in (30, 60, 100):
        yield Kind(f"JPEG: quality {quality}", jpeg(quality=quality), RGB)
    yield Kind("JPEG: grey named as one of three", jpeg(square().convert("L").convert("RGB")), GREY)


def ycck() -> bytes:
    """CMY as luminance and chroma. Pillow writes none, so the marker is changed by hand."""
    inks = np.asarray(square().convert("CMYK"))
    ycc = np.asarray(Image.fromarray(inks[..., :3]).convert("YCbCr"))
    data = bytearray(jpeg(Image.fromarray(np.dstack([255 - ycc, inks[..., 3]]), "CMYK")))
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def profiles() -> Iterator[Kind]:
    for name, (profile, primaries, encode) in PROFILES.items():
        levels = Image.fromarray(stored(RGB, primaries, encode))
        for progressive in (False, True):
            way = "progressive" if progressive else "baseline"
            data = jpeg(levels, icc_profile=profile, progressive=progressive, quality=100)
            yield Kind(f"JPEG: {way}, profile {name}", data, RGB)
    light = np.rint(255 * (GREY[..., 0] / 255) ** 2.2).astype(np.uint8)
    data = jpeg(Image.fromarray(light), icc_profile=grey("Grey", curve(1.0)), quality=100)
    yield Kind("JPEG: grey, grey profile", data, GREY)
    yield Kind("JPEG: grey, sRGB profile", jpeg(square().convert("L"), icc_profile=PROFILES["sRGB"][0]), GREY)
    gamma = PROFILES["gamma 1.8, named sRGB"][0]
    lighter = Image.fromarray(np.rint(255 * to_linear(GREY[..., 0] / 255) ** (1 / 1.8)).astype(np.uint8))
    yield Kind("JPEG: grey, RGB profile of gamma 1.8", jpeg(lighter, icc_profile=gamma), GREY)
    yield Kind("JPEG: CMYK, profile of inks", jpeg(square().convert("CMYK"), icc_profile=cmyk_profile()), printed())
    yield Kind("JPEG: CMYK, RGB profile", jpeg(square().convert("CMYK"), icc_profile=gamma), RGB)
    yield Kind("JPEG: YCbCr, grey profile", jpeg(icc_profile=grey("Grey", curve(1.0))), RGB)
    yield Kind("JPEG: YCbCr, profile of inks", jpeg(icc_profile=cmyk_profile()), RGB)
    yield Kind("JPEG: profile of nonsense", jpeg(icc_profile=b"nonsense" * 100), RGB)
    yield Kind("JPEG: profile cut off", jpeg(icc_profile=PROFILES["Display P3"][0][:200]), RGB)
    profile, primaries, encode = PROFILES["Display P3"]
    long = struct.pack(">L", len(profile) + 100_000) + profile[4:] + bytes(100_000)
    levels = Image.fromarray(stored(RGB, primaries, encode))
    yield Kind("JPEG: profile in two segments", jpeg(levels, icc_profile=long, quality=100), RGB)
    half = len(profile) // 2
    parts = [
        segment(0xE2, b"ICC_PROFILE\0" + bytes((2, 2)) + profile[half:]),
        segment(0xE2, b"ICC_PROFILE\0" + bytes((1, 2)) + profile[:half]),
    ]
    yield Kind("JPEG: profile in two segments, the second first", begun(jpeg(levels, quality=100), *parts), RGB)
    yield Kind("JPEG: profile whose second segment is missing", begun(jpeg(), parts[1]), RGB)


def printed() -> Pixels:
    """What the scene's inks look like under `cmyk_profile`."""
    lightness = 100 * (1 - (255 - RGB) / 255 @ np.array((0.2, 0.3, 0.4)))
    grey_levels = np.rint(255 * from_linear(((lightness + 16) / 116) ** 3)).astype(np.uint8)
    return np.dstack([grey_levels] * 3)


def turned() -> Iterator[Kind]:
    for value in range(10):
        for order in "<>":
            data = jpeg(stored_for(value, square()), exif=exif(value, order=order))
            way = "little" if order == "<" else "big"
            yield Kind(f"JPEG: orientation {value}, {way}-endian", data, RGB)


def annotated() -> Iterator[Kind]:
    plain = jpeg()
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>"
    for name, segments in {
        "comment": [segment(0xFE, b"hello")],
        "comments of 600 KB": [segment(0xFE, b"a" * 60_000)] * 10,
        "XMP with an orientation": [segment(0xE1, xmp)],
        "EXIF of 60 KB": [segment(0xE1, exif(1) + bytes(60_000))],
        "two EXIF blocks": [segment(0xE1, exif(1)), segment(0xE1, exif(6))],
        "EXIF of nonsense": [segment(0xE1, b"Exif\0\0nonsense")],
        "Photoshop resources": [segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 20)],
        "unknown segments": [segment(0xE0 + number, bytes(100)) for number in range(3, 16) if number != 14],
        "padding before a segment": [b"\xff" * 50 + segment(0xFE, b"hello")],
        "a gain map's segment": [segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4))],
        "two JFIF segments": [segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")] * 2,
        "JFIF that is short": [segment(0xE0, b"JFIF\0\1")],
    }.items():
        yield Kind(f"JPEG: {name}", begun(plain, *segments), RGB)
    yield Kind("JPEG: two pictures in one file", mpo(SQUARE), RGB)
    other = exif(1) + jpeg(Image.new("RGB", (40, 30), "red"))
    yield Kind("JPEG: thumbnail", jpeg(exif=other), RGB)


def ended() -> Iterator[Kind]:
    for coding, data in (
        ("baseline", jpeg()),
        ("progressive", jpeg(progressive=True)),
        ("grey", jpeg(square().convert("L"))),
        ("4:2:0", jpeg(subsampling=2)),
        ("restarts", jpeg(restart_marker_blocks=5)),
        ("CMYK", jpeg(square().convert("CMYK"))),
    ):
        twin = GREY if coding == "grey" else RGB
        for name, ending in {
            "trailing data": b"\xff\xd9PK\3\4" + bytes(100),
            "FF14 after the scan": b"\xff\x14\xff\xd9",
            "FF14 and nothing more": b"\xff\x14",
            "no end": b"",
            "half of an end": b"\xff",
            "zeros before the end": bytes(20) + b"\xff\xd9",
            "zeros instead of an end": bytes(1000),
            "a comment before the end": segment(0xFE, b"hello") + b"\xff\xd9",
            "a comment that is cut off": segment(0xFE, b"hello" * 50)[:20],
            "a restart before the end": b"\xff\xd3\xff\xd9",
            "padding before the end": b"\xff" * 30 + b"\xd9",
            "a second beginning": b"\xff\xd8\xff\xe0\0\x10JFIF",
        }.items():
            unfinished = ending in (b"", b"\xff") or (
                coding == "progressive" and ending[:2] in (b"\xff\x14", b"\xff\xd8")
            )
            differs = "unfinished" if unfinished else ""
            yield Kind(f"JPEG: {coding}, {name}", data[:-2] + ending, twin, differs)


def arithmetic() -> Iterator[Kind]:
    """Coded by `cjpeg -arithmetic`, since Pillow writes none: one above 64 KB, and a progressive one."""
    twin = pixels(grained(square()))
    for name in ("arithmetic.jpg", "arithmetic-progressive.jpg"):
        yield Kind(f"JPEG: {name.partition('.')[0]}", (GOLDENS / name).read_bytes(), twin)


def every() -> Iterator[Kind]:
    for group in (coded, profiles, turned, annotated, ended, arithmetic):
        yield from group()
