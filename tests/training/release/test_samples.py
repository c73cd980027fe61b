"""The pictures that a version brings for pages to offer."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import pictures
from training.errors import ExportError
from training.release.samples import of_folder, sample


def decoded(jpeg: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(jpeg)))


def test_pictures_are_named_by_their_files_turned_and_made_small(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a secret"
    Image.new("RGB", (900, 600), "red").save(tmp_path / "b_king_crab.jpg", exif=exif)
    (tmp_path / "a.png").write_bytes(pictures.png((40, 30)))
    (tmp_path / "notes.txt").write_text("no picture")
    first, second = of_folder(tmp_path)
    assert [first.title, second.title] == ["a", "b king crab"]
    assert [decoded(first.jpeg).size, decoded(second.jpeg).size] == [(40, 30), (213, 320)]
    assert b"a secret" not in base64.b64decode(second.jpeg)


def test_noise_fits_too() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3), np.uint8)
    assert decoded(sample("noise", Image.fromarray(noise)).jpeg).size == (320, 320)


@pytest.mark.parametrize("count", [0, 9])
def test_a_folder_of_none_or_too_many_is_refused(tmp_path: Path, count: int) -> None:
    for number in range(count):
        (tmp_path / f"{number}.png").write_bytes(pictures.png((4, 4)))
    with pytest.raises(ExportError, match=f"holds {count} pictures: give a folder of 1 to 8 as samples"):
        of_folder(tmp_path)


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"not a picture")
    with pytest.raises(ExportError, match=r"a\.jpg cannot be read as a picture: remove it from the samples"):
        of_folder(tmp_path)
