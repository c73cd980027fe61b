"""Tiny pictures made in memory, for any test that needs a file to send.

What a test says of them may not depend on the encoder's version, so nothing here is compared by digest:
`tests/goldens/` keeps the files for that. PNG is also written by hand, for the forms that Pillow does not write.
"""

import struct
import zlib
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

Levels = NDArray[Any]
"""uint8 or uint16."""
SMALL = (512, 384)


def scene(size: tuple[int, int] = SMALL) -> Image.Image:
    """A starfish of sorts on a graded ground, a white square in the top left corner: no two corners are alike."""
    width, height = size
    across, down = np.linspace(0, 1, width), np.linspace(0, 1, height)[:, None]
    ground = np.empty((height, width, 3), np.uint8)
    ground[..., 0], ground[..., 1], ground[..., 2] = 40 + 150 * across, 80 + 120 * down, 200 - 120 * across * down
    image = Image.fromarray(ground)
    draw = ImageDraw.Draw(image)
    radius = min(size) * 0.38
    points = [
        (
            width * 0.45 + radius * (1 if arm % 2 == 0 else 0.4) * np.sin(arm * np.pi / 5),
            height * 0.55 - radius * (1 if arm % 2 == 0 else 0.4) * np.cos(arm * np.pi / 5),
        )
        for arm in range(10)
    ]
    draw.polygon(points, fill=(220, 90, 40), outline=(90, 20, 10), width=max(1, width // 100))
    draw.rectangle((0, 0, width // 8, height // 8), fill=(255, 255, 255))
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a file of Pillow's format `kind`."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(size: tuple[int, int] = SMALL, **options: Any) -> bytes:
    return encoded(scene(size), "JPEG", **{"quality": 90} | options)


def png(size: tuple[int, int] = SMALL) -> bytes:
    return encoded(scene(size), "PNG", compress_level=1)


def webp(size: tuple[int, int] = SMALL) -> bytes:
    return encoded(scene(size), "WEBP", quality=90, method=0)


def gif(size: tuple[int, int] = SMALL) -> bytes:
    return encoded(scene(size), "GIF")


def avif(size: tuple[int, int] = SMALL) -> bytes:
    return encoded(scene(size), "AVIF", quality=90, speed=10)


def tiff(size: tuple[int, int] = SMALL) -> bytes:
    return encoded(scene(size), "TIFF")


def bmp(size: tuple[int, int] = SMALL) -> bytes:
    return encoded(scene(size), "BMP")


@cache
def phone_jpeg_12mp() -> bytes:
    """As a phone writes it: 4000 x 3000 stored, grain that costs the decoder bits, EXIF orientation 6, 2-3 MB."""
    grain = np.random.default_rng(12).integers(0, 19, (500, 500), dtype=np.uint8)
    grains = Image.fromarray(np.tile(grain, (6, 8))).convert("RGB")
    grainy = ImageChops.subtract(scene((4000, 3000)), grains)
    return encoded(grainy, "JPEG", quality=85, exif=exif(6))


def animated(kind: str, size: tuple[int, int] = (64, 48)) -> bytes:
    """The scene, then three frames of plain colour."""
    frames = [Image.new("RGB", size, colour) for colour in ("red", "lime", "blue")]
    return encoded(scene(size), kind, save_all=True, append_images=frames, duration=50, lossless=True)


def mpo(size: tuple[int, int] = SMALL) -> bytes:
    """Two JPEGs in one file, as some phones store a portrait with its depth: the scene, then plain red."""
    return encoded(scene(size), "MPO", save_all=True, append_images=[Image.new("RGB", size, "red")])


def exif(orientation: int | bytes, *, order: str = "<", kind: int = 3, count: int = 1) -> bytes:
    """An EXIF block whose one tag is the orientation; `bytes` stand in for the value as they are."""
    value = orientation if isinstance(orientation, bytes) else struct.pack(f"{order}HH", orientation, 0)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHL", 0x0112, kind, count) + value
    return b"Exif\0\0" + magic + struct.pack(f"{order}LH", 8, 1) + entry + struct.pack(f"{order}L", 0)


# --- PNG by hand ---------------------------------------------------------------------------------------------

PNG_COLOUR_TYPES = {1: 0, 3: 2, 2: 4, 4: 6}
"""Channels -> PNG's number for grey, RGB, grey with alpha, RGBA."""
PNG_BEGIN = b"\x89PNG\r\n\x1a\n"
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row and steps of each pass."""


def raw_png(
    levels: Levels, *, bits: int | None = None, palette: bytes = b"", interlaced: bool = False, **chunks: bytes
) -> bytes:
    """A PNG of any depth.

    Args:
        levels: (height, width) or (height, width, channels); uint8, or uint16 for 16 bits.
        bits: a depth below that of the array.
        palette: RGB, RGB, ...; `levels` are then indices.
        interlaced: by Adam7.
        chunks: further chunks by their names, before the pixels: `tRNS=b"..."`.
    """
    height, width = levels.shape[:2]
    channels = levels.shape[2] if levels.ndim == 3 else 1
    depth = bits or levels.itemsize * 8
    colour_type = 3 if palette else PNG_COLOUR_TYPES[channels]
    parts = [(b"IHDR", struct.pack(">2L5B", width, height, depth, colour_type, 0, 0, interlaced))]
    parts += [(b"PLTE", palette)] if palette else []
    parts += [(name.encode(), body) for name, body in chunks.items()]
    parts += [(b"IDAT", png_pixels(levels, depth, interlaced=interlaced)), (b"IEND", b"")]
    return PNG_BEGIN + b"".join(png_chunk(name, body) for name, body in parts)


def png_pixels(levels: Levels, depth: int, *, interlaced: bool = False) -> bytes:
    """The body of an IDAT: rows without filters, compressed."""
    passes = [levels[y::down, x::across] for x, y, across, down in ADAM7] if interlaced else [levels]
    return zlib.compress(b"".join(png_rows(part, depth) for part in passes if part.size), 1)


def png_rows(levels: Levels, depth: int) -> bytes:
    height = levels.shape[0]
    if depth < 8:
        planes = (levels[..., None] >> np.arange(depth - 1, -1, -1, dtype=np.uint8)) & 1
        rows = np.packbits(planes.reshape(height, -1), axis=1)
    else:
        rows = levels.reshape(height, -1).astype(levels.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    return b"".join(b"\0" + row.tobytes() for row in rows)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


# --- Colour profiles -----------------------------------------------------------------------------------------

DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
"""Its red, green and blue as XYZ under D50: the wide gamut of phones."""


def rgb_profile(
    primaries: tuple[tuple[float, ...], ...] = DISPLAY_P3, *, name: str = "Wide", gamma: float = 2.2
) -> bytes:
    tags = {b"desc": icc_text(name), b"wtpt": icc_xyz(0.9642, 1.0, 0.8249)}
    for channel, colour in zip(b"rgb", primaries, strict=True):
        tags |= {bytes([channel]) + b"XYZ": icc_xyz(*colour), bytes([channel]) + b"TRC": icc_gamma(gamma)}
    return icc_profile(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    tags = {b"desc": icc_text("Grey"), b"wtpt": icc_xyz(0.9642, 1.0, 0.8249), b"kTRC": icc_gamma(gamma)}
    return icc_profile(b"GRAY", tags)


def cmyk_profile() -> bytes:
    """Inks that are all grey, cyan lightest: far from what plain conversion makes of them."""
    corners = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    lightness = [255 * max(0.0, 1 - 0.2 * c - 0.3 * m - 0.4 * y - 0.8 * k) for c, m, y, k in corners]
    ramp = bytes(range(256))
    identity = b"".join(struct.pack(">l", 65536 if i % 4 == 0 else 0) for i in range(9))
    table = b"".join(bytes([round(level), 128, 128]) for level in lightness)
    lut = b"mft1\0\0\0\0\4\3\2\0" + identity + ramp * 4 + table + ramp * 3
    return icc_profile(b"CMYK", {b"desc": icc_text("Inks"), b"A2B0": lut}, kind=b"prtr", space=b"Lab ")


def icc_profile(colours: bytes, tags: dict[bytes, bytes], *, kind: bytes = b"mntr", space: bytes = b"XYZ ") -> bytes:
    """ICC 2.1: a header of 128 bytes, the table of tags, the tags."""
    table, bodies, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        padded = body + bytes(-len(body) % 4)
        table += name + struct.pack(">2L", start + len(bodies), len(body))
        bodies += padded
    size = start + len(bodies)
    header = struct.pack(">L4xL", size, 0x02100000) + kind + colours + space + bytes(12) + b"acsp" + bytes(28)
    header += struct.pack(">3L", 0xF6D6, 0x10000, 0xD32D)
    return header.ljust(128, b"\0") + struct.pack(">L", len(tags)) + table + bodies


def icc_text(text: str) -> bytes:
    return b"desc\0\0\0\0" + struct.pack(">L", len(text) + 1) + text.encode() + bytes(1 + 8 + 3 + 67)


def icc_xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">l", round(value * 65536)) for value in values)


def icc_gamma(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256))


# --- What must be refused ------------------------------------------------------------------------------------


def webp_bomb(side_px: int = 9400) -> bytes:
    """34 bytes of lossless WebP, one colour: 88 megapixels and, decoded, 1.3 GB."""
    bits = (side_px - 1) | (side_px - 1) << 14
    body = b"\x2f" + struct.pack("<L", bits) + bytes.fromhex("8888080000")[:5] + b"\0" * 4
    chunk = b"VP8L" + struct.pack("<L", len(body)) + body
    return b"RIFF" + struct.pack("<L", 4 + len(chunk)) + b"WEBP" + chunk


def png_bomb(width: int = 9400, height: int = 9400, *, bits: int = 1) -> bytes:
    """Grey, all black, 10 KB at 88 megapixels of one bit."""
    pixels = zlib.compress(bytes((1 + (width * bits + 7) // 8) * height))
    header = struct.pack(">2L5B", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def gif_bomb(width: int = 20000, height: int = 20000, *, screen: tuple[int, int] | None = None) -> bytes:
    """A frame of that size, its disposal set so that Pillow would paint all of it as soon as it opens the file."""
    head = b"GIF89a" + struct.pack("<HH3B", *(screen or (width, height)), 0x80, 0, 0) + bytes((0, 0, 0, 255, 255, 255))
    control = b"!\xf9\4\x08\0\0\0\0"
    return head + control + b"," + struct.pack("<4HB", 0, 0, width, height, 0) + b"\2\2\x4c\1\0;"


def jpeg_bomb(width: int, height: int, *, progressive: bool = False) -> bytes:
    """A small JPEG whose header announces another size."""
    data = bytearray(jpeg((16, 16), progressive=progressive))
    frame = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def scan_bomb(scans: int, *, size: tuple[int, int] = (1000, 1000), progressive: bool = True) -> bytes:
    """A JPEG whose last scan comes that many times: 12 bytes each, and each a pass over the whole picture."""
    data = encoded(Image.new("L", size), "JPEG", progressive=progressive)
    if not progressive:
        data = encoded(Image.new("RGB", size), "JPEG")
        start = data.index(b"\xff\xda")
        return data[:start] + (b"\xff\xda\0\x08\1\1\0\0\x3f\0" + b"\x7f" * 2) * scans + b"\xff\xd9"
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * scans + b"\xff\xd9"


def jpeg_stuffed(segments: bytes, size: tuple[int, int] = (16, 16)) -> bytes:
    """A JPEG with something between its beginning and the rest."""
    data = jpeg(size)
    return data[:2] + segments + data[2:]


def photoshop_bomb() -> bytes:
    """Ten segments full of Photoshop's resources, all empty."""
    body = b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5_000
    return jpeg_stuffed((b"\xff\xed" + struct.pack(">H", len(body) + 2) + body) * 10)


def png_stuffed(chunks: bytes, size: tuple[int, int] = (8, 8)) -> bytes:
    """A PNG with further chunks behind its header."""
    data = png(size)
    return data[:33] + chunks + data[33:]


def png_tailed(chunks: bytes, size: tuple[int, int] = (8, 8)) -> bytes:
    """A PNG with further chunks between its pixels and its end."""
    data = png(size)
    return data[:-12] + chunks + data[-12:]


def cut(data: bytes, share: float) -> bytes:
    """The beginning of a file; at least one byte is missing."""
    return data[: min(int(len(data) * share), len(data) - 1)]
