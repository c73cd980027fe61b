from pathlib import Path

import pytest

from tests.training import data_sets
from training.errors import JudgementError
from training.judge import examples


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """Two classes, and one picture that is a link into a store."""
    photos = data_sets.clean(tmp_path / "photos", per_class=1)
    (tmp_path / "store").mkdir()
    (photos / "Jelly/0.jpg").rename(tmp_path / "store/0.jpg")
    (photos / "Jelly/0.jpg").symlink_to("../../store/0.jpg")
    return photos


def test_a_picture_outside_of_the_data_set_is_not_judged(linked: Path) -> None:
    [_, link, _] = examples.of(linked)
    with pytest.raises(JudgementError, match=r"Jelly/0.jpg cannot be read: It lies outside the folder of the data set"):
        examples.picture(link)


def test_a_picture_in_an_allowed_folder_is(linked: Path, tmp_path: Path) -> None:
    found = examples.of(linked, also=[tmp_path / "store"])
    assert [len(some) for some, _ in examples.read(found)] == [3]
