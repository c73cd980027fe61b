"""Small files that ask for a lot: of memory, of time, or of a parser's patience. Made anew for each test."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

from PIL import Image

from tests import pictures
from tests.pictures import encoded, jpeg_stuffed, png_chunk, png_stuffed, png_tailed, scene

TINY = (40, 30)


def webp_canvas(side_px: int, *, animated: bool = False) -> bytes:
    """A tiny picture on a canvas of that size."""
    inner = pictures.webp((8, 8))[12:]
    flags = b"\2\0\0\0" if animated else bytes(4)
    canvas = b"VP8X" + struct.pack("<L", 10) + flags + (side_px - 1).to_bytes(3, "little") * 2
    return b"RIFF" + struct.pack("<L", 4 + len(canvas) + len(inner)) + b"WEBP" + canvas + inner


def png_header(width: int, height: int, *, bits: int = 8, colour: int = 2, interlaced: int = 0) -> bytes:
    """No pixels to speak of behind the header."""
    header = png_chunk(b"IHDR", struct.pack(">2L5B", width, height, bits, colour, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")


def png_of_more_pixels_than_announced() -> bytes:
    """100 MB of zeros in the pixels of an 8 x 8 picture."""
    data = pictures.png((8, 8))
    return data[:33] + png_chunk(b"IDAT", zlib.compress(bytes(100_000_000), 9)) + data[-12:]


def tiff_header(side_px: int) -> bytes:
    entries = [(256, 4, side_px), (257, 4, side_px), (258, 3, 1), (259, 3, 4), (262, 3, 0), (273, 4, 8), (279, 4, 8)]
    table = b"".join(struct.pack("<HHLL", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<LH", 8, len(entries)) + table + bytes(4)


def bmp_header(side_px: int) -> bytes:
    return b"BM" + struct.pack("<L4xL", 100, 54) + struct.pack("<LllHH6L", 40, side_px, side_px, 1, 24, *[0] * 6)


def frames(kind: str, count: int) -> bytes:
    """An animation whose frames all differ, or Pillow would leave them out."""
    rest = [Image.new("L", (4, 4), shade % 250) for shade in range(1, count)]
    file = BytesIO()
    Image.new("L", (4, 4), 255).save(file, kind, save_all=True, append_images=rest, duration=20, lossless=True)
    return file.getvalue()


def text(name: bytes, times: int) -> bytes:
    packed = zlib.compress(bytes(900_000), 9)
    body = b"note\0\1\0\0\0" + packed if name == b"iTXt" else b"note\0\0" + packed
    return png_stuffed(png_chunk(name, body) * times)


def profile_in_segments() -> bytes:
    """255 segments of one colour profile, 4 MB."""
    parts = (b"ICC_PROFILE\0" + bytes((at, 255)) + bytes(16_000) for at in range(1, 256))
    return jpeg_stuffed(b"".join(b"\xff\xe2" + struct.pack(">H", len(part) + 2) + part for part in parts))


def exif_that_loops() -> bytes:
    """Its first directory points to itself as the next."""
    block = b"Exif\0\0MM\0*" + struct.pack(">LHHHLLL", 8, 1, 0x8769, 4, 1, 8, 8)
    return pictures.jpeg(TINY, exif=block)


def tables(count: int) -> bytes:
    table = b"\xff\xc4\0\x14\0" + bytes(16) + b"\0"
    return jpeg_stuffed(table * count)


def exif_segments(count: int) -> bytes:
    """Pillow joins them one by one."""
    part = b"Exif\0\0" + bytes(16_000)
    return jpeg_stuffed((b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part) * count)


def gif_extensions(count: int, block: bytes = b"!\xfe\1x\0") -> bytes:
    return pictures.gif((8, 8))[:-1] + block * count + b";"


BOMBS: dict[str, Callable[[], bytes]] = {
    # of pixels
    "WebP of 34 bytes, 88 MP": pictures.webp_bomb,
    "WebP of 34 bytes, 268 MP": lambda: pictures.webp_bomb(16_383),
    "WebP, 16 MP, just small enough": lambda: pictures.webp_bomb(4000),
    "WebP canvas": lambda: webp_canvas(16_384),
    "WebP animation's canvas": lambda: webp_canvas(16_384, animated=True),
    "PNG, 1 bit, 88 MP": pictures.png_bomb,
    "PNG, 16 bits, 33 MP": lambda: pictures.png_bomb(6600, 5000, bits=16),
    "PNG, one pixel wide": lambda: pictures.png_bomb(1, 8_000_000, bits=8),
    "PNG, one pixel high": lambda: pictures.png_bomb(80_000_000, 1, bits=8),
    "PNG, 400 MP": lambda: png_header(20_000, 20_000),
    "PNG, as large as can be written": lambda: png_header(2**31 - 1, 2**31 - 1),
    "PNG with alpha, 49 MP": lambda: png_header(7000, 7000, colour=6),
    "PNG, interlaced, 88 MP": lambda: png_header(9400, 9400, interlaced=1),
    "PNG of more pixels than announced": png_of_more_pixels_than_announced,
    "JPEG, progressive, 88 MP": lambda: pictures.jpeg_bomb(9400, 9400, progressive=True),
    "JPEG, 4290 MP": lambda: pictures.jpeg_bomb(65_500, 65_500),
    "JPEG, 120 MP": lambda: pictures.jpeg_bomb(12_000, 10_000),
    "JPEG, 100 MP, just small enough": lambda: pictures.jpeg_bomb(10_000, 10_000),
    "GIF, 400 MP": pictures.gif_bomb,
    "GIF, large frame on a small screen": lambda: pictures.gif_bomb(13_000, 13_000, screen=(10, 10)),
    "GIF, 88 MP": lambda: pictures.gif_bomb(9400, 9400),
    "GIF, 36 MP, just small enough": lambda: pictures.gif_bomb(6000, 6000),
    "TIFF, 169 MP": lambda: tiff_header(13_000),
    "BMP, 400 MP": lambda: bmp_header(20_000),
    # of scans
    "20,000 scans": lambda: pictures.scan_bomb(20_000),
    "2,000 scans": lambda: pictures.scan_bomb(2_000),
    "100 scans, not progressive": lambda: pictures.scan_bomb(100, progressive=False),
    "64 scans of 1 MP, just few enough": lambda: pictures.scan_bomb(54),
    # of segments, chunks, data blocks: what parsers loop over
    "JPEG comments": lambda: jpeg_stuffed(b"\xff\xfe\0\2" * 200_000),
    "JPEG padding": lambda: jpeg_stuffed(b"\xff" * 1_000_000),
    "JPEG junk": lambda: jpeg_stuffed(b"\xff\0" * 500_000),
    "JPEG markers": lambda: jpeg_stuffed(b"\xff\x01" * 500_000),
    "JPEG tables": lambda: tables(50_000),
    "Photoshop resources": pictures.photoshop_bomb,
    "EXIF in 60 segments": lambda: exif_segments(60),
    "EXIF that loops": exif_that_loops,
    "PNG chunks": lambda: png_stuffed(png_chunk(b"prVt", b"") * 80_000),
    "PNG chunks behind the pixels": lambda: png_tailed(png_chunk(b"prVt", b"") * 80_000),
    "PNG texts": lambda: png_stuffed(png_chunk(b"tEXt", b"a\0") * 60_000),
    "GIF data blocks": lambda: gif_extensions(1, b"!\xfe" + b"\1x" * 500_000 + b"\0"),
    "GIF extensions": lambda: gif_extensions(200_000),
    # of text and profiles
    "zTXt": lambda: text(b"zTXt", 60),
    "iTXt": lambda: text(b"iTXt", 60),
    "iCCP": lambda: png_stuffed(png_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(64 * 2**20)))),
    "colour profile of 4 MB": profile_in_segments,
    # of frames
    "GIF of 3,000 frames": lambda: frames("GIF", 3000),
    "APNG of 3,000 frames": lambda: frames("PNG", 3000),
    "WebP of 3,000 frames": lambda: frames("WEBP", 3000),
    "MPO of 100 pictures": lambda: encoded(
        scene((8, 8)), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))] * 99
    ),
}
"""By what they are. Those that are small enough may be decoded; no test measures them without limits."""
ROWS = {
    "66": ("WebP of 34 bytes, 88 MP", "WebP of 34 bytes, 268 MP"),
    "67": tuple(name for name in BOMBS if " MP" in name and "WebP" not in name and "scans" not in name),
    "68": tuple(name for name in BOMBS if "scans" in name),
    "69": (
        *("JPEG comments", "JPEG padding", "JPEG junk", "JPEG markers", "JPEG tables", "EXIF that loops"),
        *("PNG chunks", "PNG chunks behind the pixels", "PNG texts", "GIF data blocks", "GIF extensions"),
    ),
    "70": ("zTXt", "iTXt", "iCCP", "colour profile of 4 MB"),
    "71": tuple(name for name in BOMBS if " of 3,000 frames" in name),
}
"""Those of each row of the fault catalogue."""


def mutants(seed: int, count: int) -> Iterator[bytes]:
    """Bytes changed, taken out, put in, parts repeated, ends cut off."""
    chance = random.Random(seed)
    samples = [
        *(pictures.jpeg(TINY), pictures.jpeg(TINY, progressive=True), pictures.jpeg((200, 150))),
        *(pictures.png(TINY), encoded(scene(TINY).quantize(16), "PNG"), pictures.webp(TINY)),
        *(encoded(scene(TINY), "WEBP", lossless=True), pictures.gif(TINY), pictures.animated("GIF", TINY)),
    ]
    for number in range(count):
        data = bytearray(samples[number % len(samples)])
        for _ in range(chance.randint(1, 12)):
            at = chance.randrange(len(data))
            match chance.randrange(6):
                case 0:
                    del data[at : at + chance.randint(1, 40)]
                case 1:
                    data[at:at] = chance.randbytes(chance.randint(1, 8))
                case 2:
                    data[at:at] = data[at : at + 200]
                case _:
                    data[at] = chance.choice((0, 0xFF, 0x7F, chance.randrange(256)))
            data = data or bytearray(b"\0")
        yield bytes(data)
