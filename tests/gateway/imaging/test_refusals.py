"""What is refused, with which message, and at what cost."""

import random
import struct
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gateway.errors import (
    PICTURE_ERRORS,
    GatewayError,
    ImageDecodeError,
    ImageEmptyError,
    ImageTooComplexError,
    ImageTooLargeError,
    ImageTruncatedError,
    LargerShareError,
    UnsupportedImageTypeError,
)
from gateway.imaging import ALL_FORMATS, WEB_FORMATS, decode, preprocess, read_picture
from tests import pictures
from tests.pictures import cut, encoded, scene
from tests.pictures.gifs import COLOURS, INDICES, Frame, codes, gif
from tests.pictures.pngs import png_of_fewer_rows

MIB = 1024 * 1024
TINY = (40, 30)
SAMPLES: dict[str, bytes] = {
    "JPEG": pictures.jpeg(TINY),
    "progressive JPEG": pictures.jpeg(TINY, progressive=True),
    "JPEG with a thumbnail": pictures.jpeg(TINY, exif=pictures.exif(6) + pictures.jpeg((8, 8))),
    "PNG": pictures.png(TINY),
    "palette PNG": encoded(scene(TINY).quantize(16), "PNG"),
    "WebP": pictures.webp(TINY),
    "lossless WebP": encoded(scene(TINY), "WEBP", lossless=True),
    "GIF": pictures.gif(TINY),
    "animated GIF": pictures.animated("GIF", TINY),
    "animated WebP": pictures.animated("WEBP", TINY),
    "animated PNG": pictures.animated("PNG", TINY),
    "AVIF": pictures.avif(TINY),
    "BMP": pictures.bmp(TINY),
    "TIFF": pictures.tiff(TINY),
}


TOP_ROWS = np.array(scene(TINY))[:20]
MISSING_PIXELS: dict[str, bytes] = {
    "PNG": png_of_fewer_rows(TOP_ROWS, TINY),
    "interlaced PNG": png_of_fewer_rows(TOP_ROWS, TINY, interlaced=True),
    "16-bit PNG": png_of_fewer_rows(TOP_ROWS.astype(np.uint16) * 257, TINY),
    "PNG with alpha": png_of_fewer_rows(np.dstack([TOP_ROWS, TOP_ROWS[..., 0]]), TINY),
    "GIF": gif(Frame(INDICES[:30, :40], codes=codes(INDICES[:20, :40].tobytes(), 6)), colours=COLOURS, screen=TINY),
    "GIF without pixels": gif(Frame(INDICES[:30, :40], codes=codes(b"", 6)), colours=COLOURS, screen=TINY),
}
"""Whole files, whose coded pixels stop after twenty of thirty rows."""


def refusal(data: bytes, formats: tuple[str, ...] = WEB_FORMATS) -> str:
    """The sentence that the sender reads."""
    with pytest.raises(GatewayError) as caught:
        preprocess(data, formats=formats)  # type: ignore[arg-type]
    return caught.value.detail


# --- In which words ------------------------------------------------------------------------------------------


def test_an_empty_file_is_refused_as_empty() -> None:
    with pytest.raises(ImageEmptyError, match=r"^The file is empty: send the bytes of a picture\.$"):
        preprocess(b"")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\0", "not a picture that we can read"),
        (b"hello, world", "not a picture that we can read"),
        (b"BM is how this sentence begins", "not a picture that we can read"),
        (b'{"image": "aGVsbG8="}', "not a picture that we can read"),
        (b"\n<!DOCTYPE html><title>404</title>", "a web page"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg/>', "an SVG drawing"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript document"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\0\0\1\0\1\0", "an icon"),
        (b"PK\3\4", "a ZIP archive"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
        (b"\0\0\0\x20ftypisom", "a video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a camera's raw file"),
        (b"II*\0\x10\0\0\0CR\2\0", "a camera's raw file"),
        (b"FUJIFILMCCD-RAW 0201", "a camera's raw file"),
        (b"IIRO\x08\0\0\0", "a camera's raw file"),
        (b"IIU\0\x18\0\0\0", "a camera's raw file"),
        (b"II\xbc\x01\x20\0\0\0", "a JPEG XR picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC picture"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "an AVIF picture"),
        (pictures.avif(TINY), "an AVIF picture"),
        (pictures.tiff(TINY), "a TIFF picture"),
        (pictures.bmp(TINY), "a BMP picture"),
    ],
)
def test_another_type_is_named_with_what_to_send_instead(data: bytes, what: str) -> None:
    assert refusal(data) == f"This is {what}: send JPEG, PNG, WebP or GIF."
    with pytest.raises(UnsupportedImageTypeError):
        preprocess(data)


def jpeg_of(marker: int, *, precision: int = 8, components: int = 3) -> bytes:
    """A JPEG whose frame header says something else."""
    data = bytearray(SAMPLES["JPEG"])
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4], data[at + 9] = marker, precision, components
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (jpeg_of(0xC1, precision=12), "a JPEG with 12 bits per sample"),
        (jpeg_of(0xC2, precision=12), "a JPEG with 12 bits per sample"),
        (jpeg_of(0xC3), "a lossless JPEG"),
        (jpeg_of(0xC3, precision=16, components=1), "a lossless JPEG"),
        (jpeg_of(0xCB), "a lossless JPEG"),
        (jpeg_of(0xC5), "a hierarchical JPEG"),
        (jpeg_of(0xF7), "a JPEG-LS picture"),
        (jpeg_of(0xF7, precision=12, components=1), "a JPEG-LS picture"),
        (jpeg_of(0xC0, components=2), "a JPEG with 2 colours per pixel"),
    ],
)
def test_a_kind_of_jpeg_that_is_not_read_is_named(data: bytes, what: str) -> None:
    assert refusal(data) == f"This is {what}, which is not read here: save it as a plain JPEG and send that."
    with pytest.raises(UnsupportedImageTypeError):
        preprocess(data)


def test_a_png_out_of_an_app_is_named() -> None:
    data = SAMPLES["PNG"][:8] + pictures.png_chunk(b"CgBI", b"P\0 \2") + SAMPLES["PNG"][8:]
    assert refusal(data).startswith("This is a PNG that was optimised for an iPhone app, which is not read here")


@pytest.mark.parametrize(("at", "value"), [(30, 4), (30, 5), (30, 11), (28, 64), (28, 2)])
def test_a_form_of_bmp_that_is_not_read_is_named(at: int, value: int) -> None:
    """Its compression is JPEG, PNG or that of inks; 64 or 2 bits per pixel."""
    data = bytearray(SAMPLES["BMP"])
    data[at] = value
    assert refusal(bytes(data), ("BMP",)).startswith("This is a BMP in an unusual form, which is not read here")


@pytest.mark.parametrize(
    "coded",
    [
        pytest.param(partial(imagecodecs.ljpeg_encode, bitspersample=8), id="lossless"),
        pytest.param(imagecodecs.jpegls_encode, id="JPEG-LS"),
        pytest.param(imagecodecs.jpegxl_encode, id="JPEG XL"),
        pytest.param(imagecodecs.jpegxr_encode, id="JPEG XR"),
        pytest.param(imagecodecs.jpeg2k_encode, id="JPEG 2000"),
    ],
)
def test_what_other_encoders_write_is_never_called_damaged(coded: Callable[[Any], bytes]) -> None:
    with pytest.raises(UnsupportedImageTypeError, match="JPEG"):
        preprocess(coded(np.array(scene(TINY).convert("L"))))


def test_the_list_of_what_to_send_is_that_of_the_settings() -> None:
    assert refusal(pictures.gif(TINY), ("JPEG", "AVIF", "HEIC")) == "This is a GIF picture: send JPEG, AVIF or HEIC."
    assert refusal(pictures.gif(TINY), ("JPEG",)) == "This is a GIF picture: send JPEG."


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("sample", [name for name in SAMPLES if name != "TIFF" and "animated" not in name])
def test_the_beginning_of_a_file_is_never_taken_for_a_picture(sample: str, share: float) -> None:
    with pytest.raises(ImageTruncatedError, match=r"^This is only the beginning of an? \w+: send the whole file\.$"):
        preprocess(cut(SAMPLES[sample], share), formats=ALL_FORMATS)


@pytest.mark.parametrize("sample", [name for name in SAMPLES if name != "TIFF"])
def test_a_file_that_is_cut_off_shows_all_of_its_first_picture_or_nothing(sample: str) -> None:
    data = SAMPLES[sample]
    whole = preprocess(data, formats=ALL_FORMATS)
    for end in [*range(32, len(data), 17), *range(max(32, len(data) - 60), len(data))]:
        try:
            pixels = preprocess(data[:end], formats=ALL_FORMATS)
        except (ImageTruncatedError, ImageDecodeError):
            continue
        assert np.array_equal(pixels, whole), f"{len(data) - end} bytes are missing"


@pytest.mark.parametrize("name", MISSING_PIXELS)
def test_a_picture_whose_pixels_end_early_is_refused(name: str) -> None:
    with pytest.raises(ImageDecodeError):
        preprocess(MISSING_PIXELS[name])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")  # a format for files one trusts
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, 0.999])
def test_the_beginning_of_a_tiff_is_never_taken_for_a_picture(share: float) -> None:
    assert refusal(cut(SAMPLES["TIFF"], share), ALL_FORMATS).startswith("This TIFF is damaged")


@pytest.mark.parametrize("magic", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x20\0\0\0WEBP", b"GIF89a"])
def test_the_first_bytes_alone_are_the_beginning_of_a_file(magic: bytes) -> None:
    with pytest.raises(ImageTruncatedError):
        preprocess(magic)


def test_the_refusal_of_a_damaged_file_says_what_to_do() -> None:
    data = bytearray(pictures.png((64, 64)))
    data[100:140] = bytes(40)
    sentence = "This PNG is damaged: open it in an image program, save it again and send that."
    assert refusal(bytes(data)) == sentence
    with pytest.raises(ImageDecodeError):
        preprocess(bytes(data))


def test_no_word_of_our_libraries_reaches_the_sender() -> None:
    for data in (b"\xff\xd8\xff", pictures.webp_bomb(), cut(pictures.png(), 0.5), b"GIF89a;", b"BM"):
        sentence = refusal(data).lower()
        assert not any(word in sentence for word in ("pillow", "pil.", "0x", "<_io", "error", "exception", "marker"))


# --- Too large -----------------------------------------------------------------------------------------------


def webp_canvas_bomb() -> bytes:
    """A tiny picture on a canvas of 16,384 pixels a side, the largest that the container may announce."""
    inner = pictures.webp((8, 8))[12:]
    canvas = b"VP8X" + struct.pack("<L", 10) + bytes(4) + (16_383).to_bytes(3, "little") * 2
    return b"RIFF" + struct.pack("<L", 4 + len(canvas) + len(inner)) + b"WEBP" + canvas + inner


def text_bomb() -> bytes:
    """60 x 0.9 MB of zeros behind zTXt, 55 KB."""
    chunk = pictures.png_chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(900_000), 9))
    data = pictures.png((8, 8))
    return data[:33] + chunk * 60 + data[33:]


def profile_bomb() -> bytes:
    chunk = pictures.png_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(64 * MIB)))
    data = pictures.png((8, 8))
    return data[:33] + chunk + data[33:]


BOMBS: dict[str, Callable[[], bytes]] = {
    "lossless WebP of 34 bytes": pictures.webp_bomb,
    "WebP canvas": webp_canvas_bomb,
    "PNG, 1 bit, 88 MP": pictures.png_bomb,
    "PNG, 16 bits, 33 MP": lambda: pictures.png_bomb(6600, 5000, bits=16),
    "PNG, one pixel wide": lambda: pictures.png_bomb(1, 8_000_000, bits=8),
    "GIF": pictures.gif_bomb,
    "GIF, small screen": lambda: pictures.gif_bomb(13_000, 13_000, screen=(10, 10)),
    "GIF, just under Pillow's warning": lambda: pictures.gif_bomb(9400, 9400),
    "progressive JPEG, 88 MP": lambda: pictures.jpeg_bomb(9400, 9400, progressive=True),
    "JPEG, 4290 MP": lambda: pictures.jpeg_bomb(65_500, 65_500),
    "JPEG, 120 MP": lambda: pictures.jpeg_bomb(12_000, 10_000),
}


def peak_bytes() -> int:
    """Peak of this process's resident memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_costs_anything(name: str) -> None:
    data = BOMBS[name]()
    if (reset := Path("/proc/self/clear_refs")).exists():
        reset.write_text("5", encoding="ascii")  # the peak starts anew
        before = peak_bytes()
    sentence = refusal(data)
    assert "megapixels, and at most" in sentence
    assert sentence.endswith("send a smaller version of the picture.")
    if reset.exists():
        assert peak_bytes() - before < 5 * MIB


@pytest.mark.parametrize("bomb", [text_bomb, profile_bomb])
def test_text_is_not_unpacked_and_a_profile_only_as_far_as_profiles_go(bomb: Callable[[], bytes]) -> None:
    data = bomb()
    if (reset := Path("/proc/self/clear_refs")).exists():
        reset.write_text("5", encoding="ascii")
        before = peak_bytes()
    assert read_picture(data).width == 8
    if reset.exists():
        assert peak_bytes() - before < 10 * MIB


def test_a_refusal_says_how_large_would_do() -> None:
    assert refusal(pictures.webp_bomb()) == (
        "This WebP has 88.4 megapixels, and at most 16.4 of its kind can be decoded here: "
        "send a smaller version of the picture."
    )


FITS_4_MIB: dict[str, tuple[int, Callable[[tuple[int, int]], bytes]]] = {
    "plain JPEG": (1300, pictures.jpeg),
    "progressive JPEG": (1000, lambda size: pictures.jpeg(size, progressive=True)),
    "PNG": (970, pictures.png),
    "GIF": (880, pictures.gif),
    "PNG with alpha": (700, lambda size: encoded(scene(size).convert("RGBA"), "PNG", compress_level=1)),
    "WebP": (500, pictures.webp),
}
"""What the decoders need differs by a factor of seven: side in pixels of the largest square that may pass."""


@pytest.mark.parametrize("kind", FITS_4_MIB)
def test_the_limit_is_one_of_memory_and_not_of_pixels(kind: str) -> None:
    side, make = FITS_4_MIB[kind]
    assert read_picture(make((side, side)), max_decoded_bytes=4 * MIB).width == side
    with pytest.raises(ImageTooLargeError):
        read_picture(make((side + 30, side + 30)), max_decoded_bytes=4 * MIB)


def test_a_jpeg_in_several_scans_is_charged_for_the_whole_picture() -> None:
    """Not progressive, but one scan a colour: libjpeg keeps all of it just the same."""
    data = bytearray(pictures.jpeg_bomb(11_600, 8_700))
    scan = data.index(b"\xff\xda")
    data[scan + 2 : scan + 10] = struct.pack(">HB", 8, 1) + b"\1\0" + b"\0\x3f\0"
    with pytest.raises(ImageTooLargeError):
        preprocess(bytes(data))


# --- Too complex ---------------------------------------------------------------------------------------------

MANY: dict[str, tuple[str, Callable[[], bytes]]] = {
    "scans": ("scans", lambda: pictures.scan_bomb(2_000)),
    "scans of a plain JPEG": ("scans", lambda: pictures.scan_bomb(100, progressive=False)),
    "comments in a JPEG": ("segments", lambda: pictures.jpeg_stuffed(b"\xff\xfe\0\2" * 500_000)),
    "padding in a JPEG": ("padding", lambda: pictures.jpeg_stuffed(b"\xff" * 2_000_000)),
    "junk in a JPEG": ("padding", lambda: pictures.jpeg_stuffed(b"\xff\0" * 1_000_000)),
    "lone markers in a JPEG": ("segments", lambda: pictures.jpeg_stuffed(b"\xff\x01" * 1_000_000)),
    "Photoshop resources": ("Photoshop resources", pictures.photoshop_bomb),
    "chunks of a PNG": ("chunks", lambda: pictures.png_stuffed(pictures.png_chunk(b"prVt", b"") * 160_000)),
    "chunks behind a PNG's pixels": (
        "chunks",
        lambda: pictures.png_tailed(pictures.png_chunk(b"tEXt", b"a\0") * 40_000),
    ),
    "data blocks of a GIF": ("data blocks", lambda: pictures.gif((8, 8))[:-1] + b"!\xfe" + b"\1x" * 300_000 + b"\0;"),
}


@pytest.mark.parametrize("name", MANY)
def test_more_parts_than_any_encoder_makes_are_refused_by_name_and_at_once(name: str) -> None:
    what, make = MANY[name]
    data = make()
    started = time.process_time()
    with pytest.raises(ImageTooComplexError, match=f"more {what} than can be read here"):
        preprocess(data)
    assert time.process_time() - started < 1  # 0.03 s at most where it was measured; unbounded 0.3 to 20 s


@pytest.mark.parametrize(("mode", "scans"), [("L", 6), ("RGB", 10), ("CMYK", 18)])
def test_progressive_jpegs_as_encoders_write_them_pass(mode: str, scans: int) -> None:
    data = encoded(scene((2000, 1500)).convert(mode), "JPEG", progressive=True)
    assert data.count(b"\xff\xda") == scans
    assert read_picture(data).width == 2000


def test_many_scans_pass_as_long_as_the_picture_is_small() -> None:
    few_pixels, many_pixels = pictures.scan_bomb(40, size=(1000, 1000)), pictures.scan_bomb(40, size=(2000, 1000))
    assert read_picture(few_pixels).width == 1000
    with pytest.raises(ImageTooComplexError):
        preprocess(many_pixels)


def test_a_picture_that_needs_more_than_its_share_says_how_much() -> None:
    with pytest.raises(LargerShareError) as more:
        decode(pictures.png((1000, 1000)), share_bytes=4_000_000)
    assert 4_000_000 < more.value.needed_bytes < 5_000_000
    assert decode(pictures.png((1000, 1000)), share_bytes=more.value.needed_bytes).width == 1000


@pytest.mark.parametrize("screen", [(3000, 3000), (3001, 3000)])
@pytest.mark.parametrize("options", [{}, {"transparency": 3}])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_the_share_that_a_large_gif_asks_for_is_enough(
    screen: tuple[int, int], options: dict[str, int], mode: str
) -> None:
    """A second request for more would be a failure: nothing has changed since the first."""
    image = Image.new("L", (3000, 3000)) if mode == "L" else Image.new("RGB", (3000, 3000), "red").quantize(8)
    file = bytearray(encoded(image, "GIF", **options))
    file[6:10] = struct.pack("<HH", *screen)
    with pytest.raises(LargerShareError) as more:
        decode(bytes(file), share_bytes=32 * MIB)
    assert decode(bytes(file), share_bytes=more.value.needed_bytes).width == screen[0]


# --- Anything at all -----------------------------------------------------------------------------------------


REFUSALS = PICTURE_ERRORS


def pixels_or_refusal(data: bytes) -> None:
    """Assert that the bytes give pixels or a refusal, and nothing else."""
    with suppress(*REFUSALS):
        picture = read_picture(data, formats=ALL_FORMATS, max_decoded_bytes=16 * MIB)
        assert picture.pixels.shape == (224, 224, 3)
        assert picture.pixels.dtype == np.uint8


FUZZED_FORMATS = ("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
"""Pillow's parsers of TIFF and APNG warn as they read; what counts here is how it ends."""


@pytest.mark.filterwarnings(*FUZZED_FORMATS)
@given(st.sampled_from(list(SAMPLES)), st.data())
@settings(max_examples=150, deadline=None)
def test_mutated_pictures_give_pixels_or_a_refusal(sample: str, data: st.DataObject) -> None:
    mutant = bytearray(SAMPLES[sample])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(mutant) - 1))
        mutant[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        if not mutant:
            break
    pixels_or_refusal(bytes(mutant))


@pytest.mark.filterwarnings(*FUZZED_FORMATS)
@given(st.sampled_from([data[:16] for data in SAMPLES.values()] + [b""]), st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_arbitrary_bytes_behind_a_true_beginning_give_pixels_or_a_refusal(beginning: bytes, rest: bytes) -> None:
    pixels_or_refusal(beginning + rest)


@pytest.mark.filterwarnings(*FUZZED_FORMATS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_thousands_of_mutants_do_no_harm(sample: str) -> None:
    chance = random.Random(sample)
    for _ in range(700):
        mutant = bytearray(SAMPLES[sample])
        for _ in range(chance.randint(1, 12)):
            mutant[chance.randrange(len(mutant))] = chance.choice((0, 0xFF, 0x7F, chance.randrange(256)))
        pixels_or_refusal(bytes(mutant))


def test_many_threads_get_the_same_pixels() -> None:
    files = [pictures.jpeg((300, 200), icc_profile=pictures.rgb_profile()), pictures.webp(TINY), pictures.gif(TINY)]
    alone = [preprocess(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        for turn, pixels in enumerate(pool.map(preprocess, files * 20)):
            assert np.array_equal(pixels, alone[turn % 3])


def test_memory_running_out_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "resize", fail)
    with pytest.raises(ImageTooLargeError, match="send a smaller version"):
        preprocess(pictures.png(TINY))
