from pathlib import Path

import numpy as np
import pytest

from gateway.imaging import fingerprint, preprocess
from tests import pictures
from training.data.pictures import PICTURE_BYTES, Cache, Folders, digest_of_bytes
from training.errors import DataSetError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "one.jpg").write_bytes(pictures.jpeg())
    (folder / "two.png").write_bytes(pictures.png((300, 200)))
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {digest_of_bytes(path.read_bytes()): path.name for path in sorted(folder.iterdir())}


def test_the_cache_holds_what_the_gateway_would_send(photos: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    assert cache.fill(Folders(photos), digests(photos)) == 2
    wanted = [preprocess((photos / name).read_bytes()) for name in ("one.jpg", "two.png")]
    by_name = {name: digest for digest, name in digests(photos).items()}
    assert np.array_equal(cache.pixels([by_name["one.jpg"], by_name["two.png"]]), wanted)


def test_what_is_cached_is_not_read_again(photos: Path, tmp_path: Path) -> None:
    cache, known = Cache(tmp_path / "cache"), digests(photos)
    cache.fill(Folders(photos), known)
    (photos / "one.jpg").unlink()
    assert cache.fill(Folders(photos), known) == 0


def test_an_entry_of_the_wrong_size_is_made_anew(photos: Path, tmp_path: Path) -> None:
    cache, known = Cache(tmp_path / "cache"), digests(photos)
    cache.fill(Folders(photos), known)
    path = cache.path(next(iter(known)))
    path.write_bytes(b"")
    assert cache.fill(Folders(photos), known) == 1
    assert path.stat().st_size == PICTURE_BYTES


def test_another_preprocessing_has_another_folder(tmp_path: Path) -> None:
    assert Cache(tmp_path).path("sha256:abcd") == tmp_path / fingerprint()[7:23] / "ab" / "abcd.rgb"


def test_pictures_that_cannot_be_used_are_named(photos: Path, tmp_path: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"no picture")
    known = digests(photos)
    (photos / "one.jpg").write_bytes(pictures.jpeg((90, 90)))
    (photos / "two.png").unlink()
    with pytest.raises(DataSetError) as told:
        Cache(tmp_path / "cache").fill(Folders(photos), known)
    assert "3 pictures cannot be used" in str(told.value)
    assert "bad.jpg: " in str(told.value)
    assert "one.jpg: it has changed meanwhile" in str(told.value)
    assert "two.png: it cannot be read" in str(told.value)


def test_a_cache_that_cannot_be_written_is_said_in_a_sentence(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataSetError, match="file cannot be written: give another with --cache"):
        Cache(tmp_path / "file").fill(Folders(photos), digests(photos))


def test_a_picture_that_became_a_link_out_of_the_folder_is_not_read(photos: Path, tmp_path: Path) -> None:
    known = digests(photos)
    (photos / "one.jpg").rename(tmp_path / "elsewhere.jpg")
    (photos / "one.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(DataSetError, match=r"one.jpg: it cannot be read \(It lies outside the folder"):
        Cache(tmp_path / "cache").fill(Folders(photos), known)
