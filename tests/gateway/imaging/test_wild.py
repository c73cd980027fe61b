"""Files that met the gateway in use, beside their plain twins: outside the repository, like the shared photos."""

import numpy as np
import pytest
from PIL import Image

from gateway.errors import UnsupportedImageTypeError
from gateway.imaging import ALL_FORMATS, Pixels, preprocess
from tests.conftest import SHARED

WILD = SHARED.joinpath("cases", "wild")
TWINS = {
    "arithmetic-92KB.jpg": "twin-of-arithmetic-92KB.jpg",
    "gif-frame-within-screen.gif": "twin-of-gif-frame-within-screen.png",
    "gif-no-trailer.gif": "twin-of-gif-no-trailer.png",
    "icc-linear-named-srgb.png": "twin-of-icc-linear-named-srgb.png",
    "jpeg-ff14-after-scan.jpg": "twin-of-jpeg-ff14-after-scan.jpg",
    "png-bad-crc-phys.png": "twin-of-png-bad-crc-phys.png",
    "png-no-iend.png": "twin-of-png-no-iend.png",
    "png-ztxt-1.2MiB.png": "twin-of-png-ztxt-1.2MiB.png",
    "tiff-miniswhite-16.tif": "twin-of-tiffs.png",
    "tiff-rgb16-planar.tif": "twin-of-tiffs.png",
}


def seen(name: str) -> Pixels:
    if not (WILD / name).exists():
        pytest.skip(f"needs the file {name} of the shared cases")
    return preprocess((WILD / name).read_bytes(), formats=ALL_FORMATS)


@pytest.mark.parametrize("name", TWINS)
def test_a_file_from_use_shows_what_its_twin_shows(name: str) -> None:
    twin = seen(TWINS[name])
    if name == "tiff-miniswhite-16.tif":  # grey
        twin = np.array(Image.fromarray(twin).convert("L").convert("RGB"))
    assert np.abs(seen(name).astype(int) - twin).mean() < 2


def test_integers_of_32_bits_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedImageTypeError, match="a TIFF with 32 bits per sample"):
        seen("tiff-uint32.tif")
