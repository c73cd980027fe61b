"""What the model sees of a picture, for every kind of file."""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from gateway.imaging import ALL_FORMATS, SIDE_PX, Format, Pixels, check_formats, fingerprint, preprocess, read_picture
from tests import pictures
from tests.pictures import SMALL, encoded, exif, raw_png, scene
from tests.pictures.profiles import PROFILES, stored

GOLDENS = Path(__file__).parents[2] / "goldens"


def plain(image: Image.Image) -> Pixels:
    """The pixels of an RGB picture, by the shortest way there is."""
    return np.array(image.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR))


def difference(one: Pixels, other: Pixels) -> float:
    """Mean absolute difference, of 255."""
    return float(np.abs(one.astype(int) - other).mean())


TWIN = plain(scene())
"""The scene as a plain RGB picture: what every odd form of it must come close to."""
GREY_TWIN = plain(scene().convert("L"))


# --- Formats -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif", "avif", "tiff", "bmp"])
def test_every_format_gives_the_same_picture(kind: str) -> None:
    picture = read_picture(getattr(pictures, kind)(), formats=ALL_FORMATS)
    assert (picture.format, picture.width, picture.height) == (kind.upper(), 512, 384)
    assert (picture.pixels.shape, picture.pixels.dtype.name) == ((224, 224, 3), "uint8")
    assert difference(picture.pixels, TWIN) < (6 if kind == "gif" else 2)  # a GIF has 256 colours


def test_heic_is_read_where_its_plugin_is_installed() -> None:
    pytest.importorskip("pi_heif", reason="the optional package pi-heif is not installed")
    picture = read_picture((GOLDENS / "specimen.heic").read_bytes(), formats=ALL_FORMATS)
    assert (picture.format, picture.width, picture.height) == ("HEIC", 96, 64)
    assert difference(picture.pixels, plain(scene((96, 64)))) < 4


def test_heic_without_its_plugin_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.imaging.formats.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install pi-heif"):
        check_formats(("JPEG", "HEIC"))
    check_formats(("JPEG", "AVIF"))


def test_a_phones_two_in_one_file_counts_as_the_first_jpeg() -> None:
    picture = read_picture(pictures.mpo())
    assert picture.format == "JPEG"
    assert difference(picture.pixels, TWIN) < 2


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    assert difference(preprocess(pictures.animated(kind)), plain(scene((64, 48)))) < 6


def test_the_bytes_decide_and_what_follows_the_picture_is_ignored() -> None:
    assert np.array_equal(preprocess(pictures.png() + b"PK\3\4 an archive behind the picture"), TWIN)
    assert read_picture(pictures.jpeg() + b"PK\3\4" + bytes(100)).format == "JPEG"
    assert read_picture(pictures.gif() + b"PK\3\4" + bytes(100)).format == "GIF"


@pytest.mark.parametrize("size", [(1, 1), (1, 65_000), (65_500, 1), (2, 60_000), (224, 224), (223, 225), (3, 3)])
def test_odd_sizes_are_squashed_to_the_square(size: tuple[int, int]) -> None:
    flat = Image.new("RGB", size, (10, 120, 200))
    for data in (encoded(flat, "PNG"), encoded(flat, "JPEG", quality=95)):
        picture = read_picture(data)
        assert (picture.width, picture.height) == size
        assert np.abs(picture.pixels.astype(int) - (10, 120, 200)).max() <= 3


# --- Which way up --------------------------------------------------------------------------------------------

CORNERS = {"top left": (0, 0), "top right": (0, -1), "bottom right": (-1, -1), "bottom left": (-1, 0)}
WHITE_CORNER = dict(enumerate([*CORNERS, *CORNERS], start=1))
"""Where the top left corner of the stored picture belongs, by orientation."""


def white_corner(pixels: Pixels) -> str:
    return max(CORNERS, key=lambda corner: pixels[CORNERS[corner]].astype(int).min())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_picture_is_turned_as_the_camera_was_held(orientation: int) -> None:
    picture = read_picture(pictures.jpeg((600, 400), exif=exif(orientation, order=">")))
    assert white_corner(picture.pixels) == WHITE_CORNER[orientation]
    assert (picture.width, picture.height) == ((600, 400) if orientation < 5 else (400, 600))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turning_the_square_equals_turning_the_picture(orientation: int) -> None:
    turned = Image.open(GOLDENS / f"orientation-{orientation}.jpg")
    upright = ImageOps.exif_transpose(turned)
    pixels = preprocess((GOLDENS / f"orientation-{orientation}.jpg").read_bytes())
    assert np.abs(pixels.astype(int) - plain(upright)).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_other_formats_are_turned_too(kind: Format) -> None:
    block: bytes | Image.Exif = exif(6)
    if kind == "TIFF":
        block = Image.Exif()
        block[0x0112] = 6
    picture = read_picture(encoded(scene((60, 40)), kind, exif=block), formats=ALL_FORMATS)
    assert (picture.width, picture.height) == (40, 60)
    assert white_corner(picture.pixels) == "top right"


LOOP = b"Exif\0\0II*\0" + struct.pack("<LHHHLLL", 8, 1, 0x8769, 4, 1, 8, 8)
"""A directory that contains itself and is followed by itself."""


@pytest.mark.parametrize(
    "block",
    [
        exif(0),
        exif(9),
        exif(65_535),
        exif(b"six\0", kind=2, count=4),
        exif(struct.pack("<L", 6), kind=4),
        exif(6, count=2),
        LOOP,
        exif(6)[:17],
        exif(6)[:12],
        b"Exif\0\0",
        b"Exif\0\0nonsense, and more of it",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
    ],
    ids=["0", "9", "65535", "text", "long", "two", "loop", "cut", "cut early", "empty", "nonsense", "far away"],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_nonsense_in_exif_is_ignored_without_any_output(
    kind: str, block: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    picture = read_picture(encoded(scene((60, 40)), kind, exif=block))
    assert (picture.width, picture.height) == (60, 40)
    assert white_corner(picture.pixels) == "top left"
    assert capfd.readouterr() == ("", "")


# --- Colour --------------------------------------------------------------------------------------------------


def test_grey_in_every_depth_equals_its_8_bit_twin() -> None:
    grey = np.asarray(scene().convert("L"))
    deep = grey.astype(np.uint16) * 257
    assert difference(preprocess(raw_png(grey)), GREY_TWIN) == 0
    assert difference(preprocess(raw_png(deep)), GREY_TWIN) <= 1
    assert difference(preprocess(raw_png(grey >> 4, bits=4)), GREY_TWIN) <= 8
    assert difference(preprocess(raw_png(grey >> 6, bits=2)), GREY_TWIN) <= 32
    assert difference(preprocess(raw_png(np.dstack([grey, np.full_like(grey, 255)]))), GREY_TWIN) <= 1


def test_black_and_white_is_averaged_and_not_sampled() -> None:
    chequers = np.indices((448, 448), dtype=np.uint8).sum(axis=0, dtype=np.uint8) % 2
    assert np.abs(preprocess(raw_png(chequers, bits=1)).astype(int) - 127).max() <= 3


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_deep_tiffs_are_scaled_and_not_clipped(mode: str) -> None:
    levels = np.asarray(scene().convert("L")).astype("<u2" if mode == "I;16" else ">u2") * 257
    data = encoded(Image.frombytes(mode, SMALL, levels.astype("<u2" if mode == "I;16" else ">u2").tobytes()), "TIFF")
    assert difference(preprocess(data, formats=ALL_FORMATS), GREY_TWIN) <= 1


def test_colour_in_16_bits_equals_its_8_bit_twin() -> None:
    deep = np.asarray(scene()).astype(np.uint16) * 257
    assert difference(preprocess(raw_png(deep)), TWIN) <= 1
    opaque = np.dstack([deep, np.full(deep.shape[:2], 65_535, np.uint16)])
    assert difference(preprocess(raw_png(opaque)), TWIN) <= 1


def test_palettes_are_resolved_before_colours_are_averaged() -> None:
    image = scene().quantize(256)
    assert difference(preprocess(encoded(image, "PNG")), plain(image.convert("RGB"))) == 0


@pytest.mark.parametrize("mode", ["YCbCr", "LAB", "CMYK", "RGBX", "L", "1"])
def test_unusual_modes_come_out_as_rgb(mode: str) -> None:
    image = scene().convert("RGBA").convert(mode) if mode == "LAB" else scene().convert(mode)
    twin = plain(image.convert("L")) if mode == "1" else plain(image.convert("RGB"))
    pixels = preprocess(encoded(image, "TIFF"), formats=ALL_FORMATS)
    assert difference(pixels, twin) <= 1


@pytest.mark.parametrize("name", ["adobe-cmyk.jpg", "adobe-ycck.jpg", "unmarked-cmyk.jpg"])
def test_printers_inks_come_out_as_the_colours_they_print(name: str) -> None:
    pixels = preprocess((GOLDENS / name).read_bytes())
    assert difference(pixels, plain(scene((96, 64)))) < 3


# --- Transparency --------------------------------------------------------------------------------------------

HALF = np.zeros((40, 40), bool)
HALF[:, 20:] = True
RED, GREEN, WHITE = (np.array(colour, np.uint8) for colour in ((255, 0, 0), (0, 255, 0), (255, 255, 255)))


def with_hidden_half(kind: str) -> bytes:
    """Left half red; right half fully transparent, with green beneath."""
    rgb = np.where(HALF[..., None], GREEN, RED)
    alpha = np.where(HALF, 0, 255).astype(np.uint8)
    indices = HALF.astype(np.uint8)
    palette, key = RED.tobytes() + GREEN.tobytes(), struct.pack(">3H", 0, 255, 0)
    rgba = Image.fromarray(np.dstack([rgb, alpha]))
    return {
        "RGBA": lambda: raw_png(np.dstack([rgb, alpha])),
        "RGBA 16 bits": lambda: raw_png(np.dstack([rgb, alpha]).astype(np.uint16) * 257),
        "colour key": lambda: raw_png(rgb, tRNS=key),
        "colour key 16 bits": lambda: raw_png(rgb.astype(np.uint16) * 257, tRNS=struct.pack(">3H", 0, 65_535, 0)),
        "palette": lambda: raw_png(indices, palette=palette, tRNS=b"\xff\0"),
        "palette of one bit": lambda: raw_png(indices, bits=1, palette=palette, tRNS=b"\xff\0"),
        "GIF": lambda: encoded(Image.open(BytesIO(raw_png(indices, palette=palette))), "GIF", transparency=1),
        "WebP": lambda: encoded(rgba, "WEBP", lossless=True, exact=True),
        "TIFF": lambda: encoded(rgba, "TIFF"),
        "AVIF": lambda: encoded(rgba, "AVIF", quality=100, subsampling="4:4:4"),
    }[kind]()


TRANSPARENT = "RGBA, RGBA 16 bits, colour key, colour key 16 bits, palette, palette of one bit, GIF, WebP, TIFF, AVIF"


@pytest.mark.parametrize("kind", TRANSPARENT.split(", "))
def test_transparent_parts_are_white_and_what_lies_beneath_never_shows(kind: str) -> None:
    pixels = preprocess(with_hidden_half(kind), formats=ALL_FORMATS).astype(int)
    assert np.abs(pixels[:, :100] - RED).max() <= 3
    assert np.abs(pixels[:, -100:] - WHITE).max() <= 3
    assert (np.abs(pixels[..., 1] - pixels[..., 2]) <= 3).all()  # red to white at the edge: no green


@pytest.mark.parametrize(("bits", "key"), [(1, 1), (2, 3), (4, 15), (8, 255), (16, 65_535)])
def test_a_transparent_grey_is_found_in_every_depth(bits: int, key: int) -> None:
    levels = np.where(HALF, key, 0).astype(np.uint16 if bits == 16 else np.uint8)
    solid = preprocess(raw_png(levels, bits=bits, tRNS=struct.pack(">H", 0)))
    assert solid.min() == 255  # black was the key, the rest is white
    light = preprocess(raw_png(levels, bits=bits, tRNS=struct.pack(">H", key)))
    assert (light[:, :100] == 0).all()
    assert (light[:, -100:] == 255).all()


def test_half_transparent_is_half_white() -> None:
    rgba = np.dstack([np.zeros((8, 8, 3), np.uint8), np.full((8, 8), 128, np.uint8)])
    assert np.unique(preprocess(raw_png(rgba))).tolist() == [127]


# --- Colour profiles -----------------------------------------------------------------------------------------


def flat(colour: tuple[int, ...], profile: bytes | None, mode: str = "RGB", kind: str = "PNG") -> list[int]:
    """What a picture of one colour under a profile comes out as."""
    data = encoded(Image.new(mode, (32, 32), colour if len(colour) > 1 else colour[0]), kind, icc_profile=profile)
    red, green, blue = preprocess(data, formats=ALL_FORMATS)[100, 100]
    return [int(red), int(green), int(blue)]


def test_a_wide_gamut_is_brought_to_srgb() -> None:
    display_p3 = pictures.rgb_profile()
    assert flat((255, 255, 255), display_p3) == pytest.approx([255, 255, 255], abs=1)
    assert flat((128, 128, 128), display_p3) == pytest.approx([128, 128, 128], abs=2)
    # sRGB's red is paler, so that the same red needs more of it and less of the others.
    assert flat((180, 100, 90), display_p3) == pytest.approx([193, 96, 85], abs=2)


def test_a_wide_gamut_photo_comes_out_in_its_stronger_colours() -> None:
    stored = preprocess((GOLDENS / "orientation-1.jpg").read_bytes())  # the same scene without a profile
    shown = preprocess((GOLDENS / "wide-gamut.jpg").read_bytes())
    assert stored[120, 100].tolist() == pytest.approx([221, 90, 34], abs=2)  # the starfish's middle
    assert shown[120, 100].tolist() == pytest.approx([243, 74, 0], abs=2)


@pytest.mark.parametrize("name", ["sRGB", "sRGB by formula", "sRGB without a name"])
def test_srgb_itself_is_left_alone(name: str) -> None:
    assert flat((180, 100, 90), PROFILES[name][0]) == [180, 100, 90]


@pytest.mark.parametrize("name", ["linear, named sRGB", "gamma 1.8, named sRGB", "Display P3, named sRGB"])
def test_a_profile_is_judged_by_its_curves_and_primaries_and_not_by_its_name(name: str) -> None:
    profile, primaries, encode = PROFILES[name]
    asked = np.array([[[180, 100, 90]]], np.uint8)
    red, green, blue = stored(asked, primaries, encode)[0, 0].tolist()
    assert flat((red, green, blue), profile) == pytest.approx([180, 100, 90], abs=2)


def test_a_profile_for_rgb_is_applied_to_grey_as_in_browsers() -> None:
    assert flat((128,), PROFILES["linear, named sRGB"][0], "L") == pytest.approx([188, 188, 188], abs=2)


def test_a_grey_profile_is_applied_to_grey() -> None:
    assert flat((128,), pictures.grey_profile(1.0), "L") == pytest.approx([188, 188, 188], abs=2)
    assert flat((128,), pictures.grey_profile(2.2), "L") == pytest.approx([128, 128, 128], abs=2)


def test_a_profile_of_inks_is_applied_to_inks() -> None:
    inks = pictures.cmyk_profile()
    no_ink, cyan = flat((0, 0, 0, 0), inks, "CMYK", "TIFF"), flat((255, 0, 0, 0), inks, "CMYK", "TIFF")
    assert no_ink == pytest.approx([255, 255, 255], abs=3)
    assert cyan == pytest.approx([198, 198, 198], abs=6)  # this profile's cyan is a light grey, L* 80
    assert flat((255, 0, 0, 0), None, "CMYK", "TIFF") == [0, 255, 255]


@pytest.mark.parametrize(
    "profile",
    [
        b"not a profile",
        pictures.rgb_profile()[:200],
        pictures.rgb_profile()[:-60],
        pictures.rgb_profile() + bytes(3 * 1024 * 1024),
        pictures.grey_profile(1.0),
        pictures.cmyk_profile(),
        b"\0" * 128,
    ],
    ids=["nonsense", "cut", "cut at the end", "huge", "grey", "inks", "zeros"],
)
def test_a_profile_that_is_damaged_huge_or_of_another_mode_is_ignored(
    profile: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert flat((180, 100, 90), profile, kind="TIFF") == [180, 100, 90]
    assert capfd.readouterr() == ("", "")


# --- Speed and sameness --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4000, 3000), (2048, 1537), (1601, 1200), (1280, 853), (899, 1201), (680, 3000)])
def test_scaled_decoding_comes_close_to_full_decoding(size: tuple[int, int]) -> None:
    data = pictures.jpeg(size)
    full = plain(Image.open(BytesIO(data)))
    assert difference(preprocess(data), full) <= 0.5
    assert np.abs(preprocess(data).astype(int) - full).max() <= 24  # at the starfish's edges, 1 pixel wide


def test_a_phone_photo_is_decoded_at_scale_and_turned() -> None:
    picture = read_picture(pictures.phone_jpeg_12mp())
    assert (picture.format, picture.width, picture.height) == ("JPEG", 3000, 4000)
    assert white_corner(picture.pixels) == "top right"


def test_large_pictures_of_other_formats_are_reduced_in_two_steps_without_a_visible_difference() -> None:
    image = scene((2000, 1500))
    assert difference(preprocess(encoded(image, "BMP"), formats=ALL_FORMATS), plain(image)) <= 0.5


def test_the_pixels_belong_to_the_caller() -> None:
    pixels = preprocess(pictures.jpeg((50, 50)))
    pixels[0, 0] = 7
    assert pixels.flags.c_contiguous


def test_preprocessing_has_not_changed() -> None:
    """Every model carries this digest. Another one disowns them all: have a reason, and say so in the changelog."""
    assert fingerprint() == "sha256:478e9d03ed1c8a4a0699ce2edf69fbecf44092bae32d0b2fce6033f244f0a9ec"
