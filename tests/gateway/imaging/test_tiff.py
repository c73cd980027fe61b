"""Every kind of TIFF that Pillow accepts is shown as another reader shows it, or refused by its name."""

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageOps, TiffImagePlugin
from PIL.Image import Resampling

from gateway.errors import UnsupportedImageTypeError
from gateway.imaging import ALL_FORMATS, SIDE_PX, Format, Pixels, preprocess
from tests.pictures import tiffs
from tests.pictures.tiffs import COMPRESSIONS, SPECIAL, Form, tiff

TIFF: tuple[Format, ...] = ("TIFF",)
KEYS = sorted(TiffImagePlugin.OPEN_INFO, key=str)
PHOTOMETRICS = sorted({key[1] for key in KEYS})
MOST_LEVELS = 1.5


def forms(photometric: int) -> Iterator[Form]:
    """Every depth, order, layout and compression that Pillow has a decoder for."""
    codings = [*((number, 1) for number in COMPRESSIONS), (5, 2), (8, 2)]
    for prefix, colours, kind, fill, bits, extra in KEYS:
        if colours != photometric:
            continue
        for planar, tile, (compression, predictor) in itertools.product((False, True), (0, 16), codings):
            if (planar and len(bits) == 1) or (predictor == 2 and (bits[0] < 8 or bits[0] == 12 or kind[0] == 3)):
                continue
            order = "<" if prefix == b"II" else ">"
            yield Form(order, photometric, kind[0], fill, bits, extra, planar, tile, compression, predictor)


@cache
def twin(plainest: Form) -> Pixels:
    """What another reader finds in the plainest file of some samples."""
    return squared(tiffs.twin(tiff(plainest)))


def squared(twin: Pixels) -> Pixels:
    return np.array(Image.fromarray(twin).resize((SIDE_PX, SIDE_PX), Resampling.BILINEAR))


def is_refused_by_name(form: Form) -> bool:
    """What no reader agrees on, or Pillow's decoder takes for something else."""
    transparent = any(form.extra) or len(form.bits) > tiffs.COLOURS[form.photometric] + len(form.extra)
    alone = form.photometric == tiffs.RGB and len(form.extra) == 1
    return (
        form.sample_format != 1
        or form.bits[0] in (12, 32)
        or len(form.bits) < tiffs.COLOURS[form.photometric]
        or (form.planar and (form.photometric == tiffs.LAB or (transparent and not alone)))
    )


@pytest.mark.parametrize("photometric", PHOTOMETRICS)
def test_every_form_is_shown_as_another_reader_shows_it_or_refused_by_name(photometric: int) -> None:
    wrong = []
    for form in forms(photometric):
        data = tiff(form)
        if is_refused_by_name(form):
            with pytest.raises(
                UnsupportedImageTypeError, match=r"^This is a TIFF .*, which is not read here: save it as"
            ):
                preprocess(data, formats=TIFF)
            continue
        mean = np.abs(
            preprocess(data, formats=TIFF).astype(int)
            - twin(form._replace(planar=False, tile=0, compression=1, predictor=1))
        ).mean()
        wrong += [f"{form}: {mean:.1f}"] * bool(mean > MOST_LEVELS)
    assert wrong == []


@pytest.mark.parametrize("name", SPECIAL)
def test_a_form_of_one_compression_is_shown_as_another_reader_shows_it(name: str) -> None:
    data = SPECIAL[name]()
    twin = Image.fromarray(tiffs.twin(data))
    if name.startswith("orientation"):
        twin.getexif()[0x0112] = int(name[-1])
        twin = ImageOps.exif_transpose(twin)
    mean = np.abs(preprocess(data, formats=ALL_FORMATS).astype(int) - squared(np.array(twin))).mean()
    assert mean <= MOST_LEVELS


@pytest.mark.parametrize("across", [1, 2, 4])
@pytest.mark.parametrize("down", [1, 2])
def test_colours_of_fewer_pixels_than_the_luminance_are_spread(across: int, down: int) -> None:
    data, shown = tiffs.subsampled(across, down)
    assert np.abs(preprocess(data, formats=TIFF).astype(int) - squared(shown)).mean() <= MOST_LEVELS


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({259: ("H", (6,))}, "a TIFF compressed in another way (number 6)"),
        ({259: ("H", (50001,))}, "a TIFF compressed in another way (number 50001)"),
        ({262: ("H", (9,))}, "a TIFF of another kind of colours (photometric interpretation 9)"),
        ({258: ("H", (32, 32, 32))}, "a TIFF with 32 bits per sample"),
        ({258: ("H", (64, 64, 64)), 339: ("H", (3, 3, 3))}, "a TIFF of floating-point numbers"),
        ({339: ("H", (2, 2, 2))}, "a TIFF of signed numbers"),
        ({339: ("H", (6, 6, 6))}, "a TIFF of complex numbers"),
        ({277: ("H", (2,))}, "a TIFF with fewer samples than its colours have"),
        ({258: ("H", (8, 8, 16))}, "a TIFF in another layout of samples"),
        ({50706: ("L", (0x01040000,))}, "a camera's raw file"),
        ({254: ("L", (1,)), 330: ("L", (8,))}, "a camera's raw file"),
    ],
)
def test_a_kind_that_is_not_read_is_named(changes: dict[int, tuple[str, tuple[int, ...]]], what: str) -> None:
    data = tiffs.written(Form(photometric=tiffs.RGB, bits=(8, 8, 8)), [bytes(48 * 32 * 3)], changes)
    with pytest.raises(UnsupportedImageTypeError) as refused:
        preprocess(data, formats=TIFF)
    assert refused.value.detail == f"This is {what}, which is not read here: save it as a PNG and send that."


def test_a_big_endian_bigtiff_is_named() -> None:
    with pytest.raises(UnsupportedImageTypeError, match="a big-endian BigTIFF"):
        preprocess(tiffs.big(byteorder=">"), formats=TIFF)
