"""Every kind of TIFF (revision 6.0), written by hand: photometric interpretation, depth, layout, compression.

What Pillow claims to read is in its own table, `OPEN_INFO`. `twin` is computed from what another reader, tifffile,
finds in the same file.
"""

import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from gateway.imaging import Pixels
from tests.pictures import encoded, scene
from tests.pictures.profiles import SRGB, from_linear

Samples = NDArray[Any]
SIZE = (48, 32)
COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Samples per pixel of each photometric interpretation. One more without a meaning is taken for alpha, as is common."""
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = range(3)
MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8


class Form(NamedTuple):
    """How a picture is stored."""

    order: str = "<"
    photometric: int = MIN_IS_BLACK
    sample_format: int = 1
    fill_order: int = 1
    bits: tuple[int, ...] = (8,)
    extra: tuple[int, ...] = ()
    planar: bool = False
    tile: int = 0
    """Side of a tile; 0: strips."""
    compression: int = 1
    predictor: int = 1
    subsampling: tuple[int, int] = (1, 1)

    def __str__(self) -> str:
        parts = [f"photometric {self.photometric}", f"format {self.sample_format}", f"bits {self.bits}"]
        parts += [f"extra {self.extra}"] * bool(self.extra) + [f"order {self.order}"]
        parts += ["fill order 2"] * (self.fill_order == 2) + ["planar"] * self.planar + ["tiles"] * bool(self.tile)
        return ", ".join([*parts, f"compression {self.compression}"] + ["predictor"] * (self.predictor > 1))


COMPRESSIONS: dict[int, Callable[[bytes], bytes]] = {
    1: bytes,
    5: lambda data: bytes(imagecodecs.lzw_encode(data)),
    8: zlib.compress,
    32773: lambda data: bytes(imagecodecs.packbits_encode(data)),
    32946: zlib.compress,
    34925: lambda data: bytes(imagecodecs.lzma_encode(data)),
    50000: lambda data: bytes(imagecodecs.zstd_encode(data)),
}


def samples_for(form: Form) -> Samples:
    """(height, width, samples), each sample within its bits."""
    colours = np.array(scene(SIZE).convert("RGB")).astype(np.float64)
    channels = [colours[..., index % 3] for index in range(len(form.bits))]
    if form.photometric == LAB:  # a and b are small and signed, so that every colour is one of sRGB
        channels[1:] = [(channel - 128) / 8 % 256 for channel in channels[1:]]
    if form.extra and form.extra[0] != UNSPECIFIED:
        alpha = np.linspace(0, 255, SIZE[0])[None].repeat(SIZE[1], 0)
        at = len(form.bits) - len(form.extra)
        channels[at] = alpha
        if form.extra[0] == ASSOCIATED:
            channels[:at] = [channel * alpha / 255 for channel in channels[:at]]
    levels = np.dstack(channels) / 255
    if form.sample_format == 3:
        return np.asarray(levels, np.float32)
    top = 2 ** (form.bits[0] - (form.sample_format == 2)) - 1
    return np.asarray(np.rint(levels * top), np.int64)


def packed(samples: Samples, form: Form) -> bytes:
    """Rows of whole bytes."""
    bits, rows = form.bits[0], samples.reshape(samples.shape[0], -1)
    if form.sample_format == 3:
        return rows.astype(f"{form.order}f4").tobytes()
    if bits in (8, 16, 32):
        return rows.astype(f"{form.order}u{bits // 8}").tobytes()
    planes = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(planes.astype(np.uint8).reshape(rows.shape[0], -1), axis=1).tobytes()


def coded(samples: Samples, form: Form) -> bytes:
    """One strip or tile."""
    if form.predictor == 2:
        samples = np.concatenate([samples[:, :1], np.diff(samples, axis=1)], axis=1) % 2 ** form.bits[0]
    data = COMPRESSIONS[form.compression](packed(samples, form))
    return data if form.fill_order == 1 else bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)


def blocks(samples: Samples, form: Form) -> Iterator[Samples]:
    """The parts that are stored one by one."""
    planes = np.split(samples, samples.shape[2], axis=2) if form.planar else [samples]
    side = form.tile
    for plane in planes:
        if not side:
            yield from (plane[at : at + 11] for at in range(0, SIZE[1], 11))
            continue
        padded = np.pad(plane, ((0, -SIZE[1] % side), (0, -SIZE[0] % side), (0, 0)), mode="edge")
        for top, left in itertools.product(range(0, padded.shape[0], side), range(0, padded.shape[1], side)):
            yield padded[top : top + side, left : left + side]


def palette(form: Form) -> tuple[int, ...]:
    """Red, green and blue of every index, 16 bits each."""
    count = 2 ** form.bits[0]
    ramp = np.linspace(0, 65_535, count).astype(int)
    return (*ramp, *ramp[::-1], *(ramp * 7 % 65_536))


def tiff(form: Form) -> bytes:
    """A file of one picture."""
    parts = [coded(block, form) for block in blocks(samples_for(form), form)]
    return written(form, parts)


def written(form: Form, parts: list[bytes], more: dict[int, tuple[str, tuple[int, ...]]] | None = None) -> bytes:
    """Header, the coded parts, the directory."""
    starts = tuple(8 + sum(map(len, parts[:at])) for at in range(len(parts)))
    lengths = tuple(map(len, parts))
    tags: dict[int, tuple[str, tuple[int, ...]]] = {
        256: ("L", (SIZE[0],)),
        257: ("L", (SIZE[1],)),
        258: ("H", form.bits),
        259: ("H", (form.compression,)),
        262: ("H", (form.photometric,)),
        266: ("H", (form.fill_order,)),
        277: ("H", (len(form.bits),)),
        284: ("H", (2 if form.planar else 1,)),
        317: ("H", (form.predictor,)),
        339: ("H", (form.sample_format,) * len(form.bits)),
    }
    if form.tile:
        tags |= {322: ("L", (form.tile,)), 323: ("L", (form.tile,)), 324: ("L", starts), 325: ("L", lengths)}
    else:
        tags |= {273: ("L", starts), 278: ("L", (11,)), 279: ("L", lengths)}
    if form.extra:
        tags[338] = ("H", form.extra)
    if form.photometric == PALETTE:
        tags[320] = ("H", palette(form))
    if form.photometric == YCBCR:
        tags[530] = ("H", form.subsampling)
    tags |= more or {}
    return assembled(form.order, tags, parts)


def assembled(order: str, tags: dict[int, tuple[str, tuple[int, ...]]], parts: list[bytes]) -> bytes:
    body = b"".join(parts)
    body += bytes(len(body) % 2)
    at = 8 + len(body)
    entries, values = b"", b""
    for tag, (kind, numbers) in sorted(tags.items()):
        data = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        entries += struct.pack(f"{order}HHL", tag, {"H": 3, "L": 4}[kind], len(numbers))
        if len(data) <= 4:
            entries += data.ljust(4, b"\0")
        else:
            entries += struct.pack(f"{order}L", at + 2 + 12 * len(tags) + 4 + len(values))
            values += data
    directory = struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + values
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}L", at) + body + directory


# --- Forms that one kind of compression has --------------------------------------------------------------------------

STRIP = 16
"""Rows: a multiple of every subsampling."""


def subsampled(across: int, down: int) -> tuple[bytes, Pixels]:
    """Uncompressed YCbCr, luminance of a few pixels before their two colours; and what it shows."""
    form = Form(photometric=YCBCR, bits=(8, 8, 8), subsampling=(across, down))
    ycbcr = np.asarray(scene(SIZE).convert("YCbCr"))
    luma = ycbcr[..., 0].reshape(SIZE[1] // down, down, SIZE[0] // across, across).swapaxes(1, 2)
    colours = ycbcr[::down, ::across, 1:]
    units = np.concatenate([luma.reshape(*colours.shape[:2], -1), colours], axis=2).astype(np.uint8)
    strips = [units[at : at + STRIP // down].tobytes() for at in range(0, units.shape[0], STRIP // down)]
    whole = np.dstack([ycbcr[..., 0], colours.repeat(down, 0).repeat(across, 1)])
    twin = np.rint(from_ycbcr(whole / 255) * 255).astype(np.uint8)
    return written(form, strips, {278: ("L", (STRIP,))}), twin


def of_jpegs(photometric: int, subsampling: tuple[int, int] = (1, 1)) -> bytes:
    """Each strip is a JPEG."""
    modes = {MIN_IS_BLACK: "L", RGB: "RGB", YCBCR: "RGB", CMYK: "CMYK"}
    samples = np.asarray(scene(SIZE).convert(modes[photometric]))
    space = {MIN_IS_BLACK: "GRAYSCALE", RGB: "RGB", YCBCR: "YCBCR", CMYK: "CMYK"}[photometric]
    strips = [
        imagecodecs.jpeg8_encode(
            samples[at : at + STRIP],
            level=95,
            colorspace="CMYK" if photometric == CMYK else None,
            outcolorspace=space,
            subsampling=subsampling,
        )
        for at in range(0, SIZE[1], STRIP)
    ]
    bits = (8,) * (samples.shape[2] if samples.ndim == 3 else 1)
    form = Form(photometric=photometric, bits=bits, compression=7, subsampling=subsampling)
    return written(form, [bytes(strip) for strip in strips], {278: ("L", (STRIP,))})


def fax(compression: str) -> bytes:
    """Black and white, compressed as faxes are: written by Pillow's libtiff."""
    return encoded(scene(SIZE).convert("1"), "TIFF", compression=compression)


def turned(orientation: int) -> bytes:
    """Stored upright, to be turned."""
    form = Form(photometric=RGB, bits=(8, 8, 8))
    parts = [coded(block, form) for block in blocks(samples_for(form), form)]
    return written(form, parts, {274: ("H", (orientation,))})


def big(**options: Any) -> bytes:
    """A BigTIFF."""
    file = BytesIO()
    tifffile.imwrite(file, np.asarray(scene(SIZE)), bigtiff=True, photometric="rgb", **options)
    return file.getvalue()


SPECIAL: dict[str, Callable[[], bytes]] = {
    "JPEG, grey": partial(of_jpegs, MIN_IS_BLACK),
    "JPEG, RGB": partial(of_jpegs, RGB),
    "JPEG, CMYK": partial(of_jpegs, CMYK),
    **{f"JPEG, YCbCr {size[0]}x{size[1]}": partial(of_jpegs, YCBCR, size) for size in ((1, 1), (2, 1), (2, 2))},
    **{name: partial(fax, name) for name in ("tiff_ccitt", "group3", "group4")},
    **{f"orientation {value}": partial(turned, value) for value in range(1, 9)},
    "BigTIFF": big,
    "BigTIFF, tiles": partial(big, tile=(16, 16)),
}
"""Files beside those that `tiff` writes."""


# --- What another reader finds ------------------------------------------------------------------------------------


def twin(data: bytes) -> Pixels:
    """What the file shows, from what tifffile reads: uint8, (height, width, 3)."""
    with tifffile.TiffFile(BytesIO(data)) as file:
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        samples = page.asarray()
        if page.planarconfig == 2 and samples.ndim == 3:
            samples = np.moveaxis(samples, 0, 2)
        samples = samples.reshape(samples.shape[0], samples.shape[1], -1)
        if page.compression == 7 and page.photometric == YCBCR:
            return np.asarray(samples, np.uint8)  # decoded to RGB
        top = 1.0 if samples.dtype.kind == "f" else 2.0**page.bitspersample - 1
        colours = shown(samples, page.photometric, top, page.colormap)
        extra = tuple(page.extrasamples) or (UNASSOCIATED,) * (samples.shape[2] - COLOURS[page.photometric])
        return over_white(colours, samples / top, extra)


def shown(samples: Samples, photometric: int, top: float, colours: Samples | None) -> Samples:
    """Floats, 0 to 1, (height, width, 3)."""
    levels = samples / top
    if photometric == MIN_IS_WHITE:
        return np.repeat(1 - levels[..., :1], 3, axis=2)
    if photometric == MIN_IS_BLACK:
        return np.repeat(levels[..., :1], 3, axis=2)
    if photometric == PALETTE:
        assert colours is not None
        return np.moveaxis(colours[:, samples[..., 0].astype(int)], 0, 2) / 65_535
    if photometric == CMYK:
        return (1 - levels[..., :3]) * (1 - levels[..., 3:4])
    if photometric == YCBCR:
        return from_ycbcr(levels)
    if photometric == LAB:
        return from_lab(samples)
    return levels[..., :3]


def from_ycbcr(levels: Samples) -> Samples:
    """ITU-R BT.601, full range, as JPEG has it."""
    luma, blue, red = levels[..., 0], levels[..., 1] - 128 / 255, levels[..., 2] - 128 / 255
    return np.clip(np.dstack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue]), 0, 1)


def from_lab(samples: Samples) -> Samples:
    """Signed a and b, white point D50."""
    lightness, a, b = samples[..., 0] / 2.55, samples[..., 1].astype(np.int8), samples[..., 2].astype(np.int8)
    height = (lightness + 16) / 116
    roots = np.dstack([height + a / 500, height, height - b / 200])
    xyz = np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * 3 * (6 / 29) ** 2) * (0.9642, 1.0, 0.8249)
    return from_linear(xyz @ np.linalg.inv(np.array(SRGB)))


def over_white(colours: Samples, levels: Samples, extra: tuple[int, ...]) -> Pixels:
    at = levels.shape[2] - len(extra)
    if extra and extra[0] != UNSPECIFIED:
        alpha = levels[..., at : at + 1]
        colours = (colours if extra[0] == ASSOCIATED else colours * alpha) + 1 - alpha
    return np.asarray(np.rint(np.clip(colours, 0, 1) * 255), np.uint8)
