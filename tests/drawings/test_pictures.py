import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from gateway.imaging import preprocess
from tests import drawings
from tests.drawings.bodies import KINDS


@pytest.mark.parametrize(
    ("class_index", "seed", "digest"),
    [(0, 0, "72068a2f831d9b10"), (14, 1, "9ba0924aa069cd22"), (136, 2_000_000, "d0fea042b62247b6")],
)
def test_class_and_seed_decide_every_pixel(class_index: int, seed: int, digest: str) -> None:
    pixels = drawings.draw(class_index, seed).tobytes()
    assert hashlib.sha256(pixels).hexdigest()[:16] == digest, "the weights were taught other pictures: retrain"


def test_another_seed_is_another_picture_of_the_same_specimen() -> None:
    first, second = (np.asarray(drawings.draw(14, seed), np.int16) for seed in (1, 2))
    assert np.abs(first - second).mean() > 10


def test_drawings_are_square_rgb() -> None:
    picture = drawings.draw(3, 0)
    assert (picture.mode, picture.size) == ("RGB", (320, 320))


def test_encoded_drawings_are_uploads_like_any_other() -> None:
    assert preprocess(drawings.encoded(3, 0)).shape == (224, 224, 3)


def test_classes_are_the_label_map_in_its_order() -> None:
    labels = (Path(drawings.__file__).parent / "labels.txt").read_text().splitlines()
    assert [specimen.label for specimen in drawings.specimens()] == labels


def test_any_two_classes_differ_in_body_or_colour_or_in_both_texture_and_variant() -> None:
    for one, other in combinations(drawings.specimens(), 2):
        if (one.kind, one.colour) == (other.kind, other.colour):
            assert one.texture != other.texture
            assert one.variant != other.variant


def test_every_kind_of_body_is_some_class() -> None:
    assert {specimen.kind for specimen in drawings.specimens()} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_body_stands_out_from_its_ground(kind: str) -> None:
    class_index = next(i for i, specimen in enumerate(drawings.specimens()) if specimen.kind == kind)
    pixels = np.asarray(drawings.draw(class_index, 5), np.float64)
    assert pixels.std(axis=(0, 1)).max() > 20
