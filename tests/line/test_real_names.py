"""What the models that need no photos say of real ones: the right kind of animal, an everyday name, or "not sure"."""

import importlib.util
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.line import running
from gateway.imaging import preprocess
from tests import pictures
from tests.line.conftest import client_of, exported
from tests.line.strangers import strangers
from tests.line.test_predictions import TOLERANCE, confidences

pytestmark = pytest.mark.slow

KINDS = {
    "40GCW3L.jpeg": "Cnidaria/Hexacorallia/Actiniaria",  # sea anemone
    "45Q9Q5M.jpeg": "Echinodermata",  # brittle star
    "CUON7H9.jpeg": "Mollusca/Gastropoda",  # a snail like a whelk
    "DUL92KN.jpeg": "Chordata/Thaliacea",  # salp
    "KZLU2N0.jpeg": "Arthropoda/Malacostraca/Decapoda",  # prawns
    "LF57OR8.jpeg": "Arthropoda/Malacostraca/Decapoda/Lithodidae",  # king crab
}
STAMPS = Path("/usr/share/tuxpaint/stamps")
"""Debian's tuxpaint-stamps-default: photos, cut out."""
SHOWN = {
    "food/fruit/strawberry": "strawberry",
    "food/fruit/banana": "banana",
    "food/fruit/lemon": "lemon",
    "food/fruit/pineapple": "pineapple",
    "food/fruit/pomegranate": "pomegranate",
    "food/vegetables/broccoli": "broccoli",
    "food/vegetables/pepper": "bell pepper",
    "animals/birds/pink_flamingo": "flamingo",
    "animals/birds/tucan": "toucan",
    "animals/birds/peacock": "peacock",
    "animals/mammals/badger": "badger",
    "animals/mammals/elephant": "African elephant",
    "animals/insects/mantis": "mantis",
    "hobbies/music/string/violin": "violin",
}
"""What Debian's photos show, as ImageNet calls it."""
OTHER_THINGS = ("food/fruit", "animals/birds", "animals/mammals", "town/roadsigns")

needs_stamps = pytest.mark.skipif(not STAMPS.is_dir(), reason="needs Debian's package tuxpaint-stamps-default")


@pytest.fixture(scope="module")
def everyday(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the model of `make run MODEL=everyday`."""
    return exported(tmp_path_factory.mktemp("models"), "--everyday", "--name", "everyday")


@pytest.fixture(scope="module")
def everyday_client(everyday: Path) -> Iterator[httpx.Client]:
    with (
        running(everyday, pictures.jpeg(), model_name="everyday", embedded_replicas="1") as line,
        client_of(line) as to,
    ):
        yield to


def said(client: httpx.Client, picture: bytes) -> dict[str, Any]:
    answer = client.post("/v1/classify", files={"image": ("a", picture)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def shows(photo: str, group: str) -> bool:
    """Whether that group is the kind of animal in the photo, or a part of it."""
    return f"{group}/".startswith(f"{KINDS[photo]}/")


# --- The demo -----------------------------------------------------------------------------------------------------


def test_real_photos_get_the_right_kind_of_animal_or_no_answer(client: httpx.Client, photos: list[Path]) -> None:
    found = {photo.name: said(client, photo.read_bytes()) for photo in photos}
    answers = {name: answer["answer"]["group"] for name, answer in found.items() if answer["answer"]}
    assert len(answers) >= 3
    wrong = {name: group for name, group in answers.items() if not shows(name, group)}
    assert wrong == {}
    groups = {
        name: [answers.get(name, ""), *(line["group"] for line in answer["predictions"])]
        for name, answer in found.items()
    }
    right = [name for name in KINDS if any(shows(name, group) for group in groups[name])]
    assert len(right) >= 4, groups


def test_a_king_crab_is_named_in_words(client: httpx.Client, photos: list[Path]) -> None:
    (photo,) = (photo for photo in photos if photo.name == "LF57OR8.jpeg")
    found = said(client, photo.read_bytes())
    assert (found["answer"]["name"], found["answer"]["kind"]) == ("King crabs", "group")
    assert {line["label"] for line in found["predictions"][:2]} == {"Lithodes_ferox", "Neolithodes_asperrimus"}


def test_pictures_that_show_no_animal_get_no_answer(client: httpx.Client) -> None:
    found = {name: said(client, picture)["answer"] for name, picture in strangers(500)}
    sure = {name: answer["name"] for name, answer in found.items() if answer}
    assert len(sure) <= 0.02 * len(found), sure


@needs_stamps
def test_photos_of_other_things_get_no_answer(client: httpx.Client) -> None:
    files = [file for folder in OTHER_THINGS for file in sorted((STAMPS / folder).glob("*.png"))]
    sure = {file.stem: answer for file in files if (answer := said(client, file.read_bytes())["answer"])}
    assert len(files) > 50
    assert len(sure) <= 0.1 * len(files), sure


# --- Everyday names -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras_says(uploads: dict[str, bytes]) -> NDArray[np.float32]:
    """Shape (uploads, 1000)."""
    from training.learn import model as network

    keras = network.calibrated(network.imagenet_classifier(), 1.0)
    answers: NDArray[np.float32] = keras(
        network.unit(np.stack([preprocess(data) for data in uploads.values()])), training=False
    ).numpy()
    return answers


@pytest.mark.parametrize(
    ("signature", "transport"),
    [("serving_bytes", "rest"), ("serving_bytes", "grpc"), ("serving_default", "rest"), ("serving_default", "grpc")],
)
def test_everyday_names_are_what_keras_says(
    everyday: Path, uploads: dict[str, bytes], keras_says: NDArray[np.float32], signature: str, transport: str
) -> None:
    named = partial(running, everyday, pictures.jpeg(), model_name="everyday", embedded_replicas="1")
    with named(signature=signature, transport=transport) as line, client_of(line) as client:
        for (name, data), row in zip(uploads.items(), keras_says, strict=True):
            np.testing.assert_allclose(confidences(client, data), row, atol=TOLERANCE, err_msg=name)


@needs_stamps
@pytest.mark.parametrize("stamp", SHOWN)
def test_a_photo_of_an_everyday_thing_has_its_name_among_the_first_five(
    everyday_client: httpx.Client, stamp: str
) -> None:
    found = said(everyday_client, (STAMPS / f"{stamp}.png").read_bytes())
    assert SHOWN[stamp] in [line["display_name"] for line in found["predictions"]]


@pytest.mark.skipif(importlib.util.find_spec("skimage") is None, reason="needs scikit-image: make setup")
@pytest.mark.parametrize(("photo", "name"), [("chelsea", "Egyptian cat"), ("coffee", "espresso")])
def test_a_photo_of_scikit_image_has_its_name_among_the_first_five(
    everyday_client: httpx.Client, photo: str, name: str
) -> None:
    from skimage import data

    found = said(everyday_client, pictures.encoded(Image.fromarray(getattr(data, photo)()), "PNG"))
    assert name in [line["display_name"] for line in found["predictions"]]
