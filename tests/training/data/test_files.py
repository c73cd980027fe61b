import os
import socket
from pathlib import Path

import pytest

from gateway.settings import Settings
from training.data.pictures import MOST_BYTES, Folders, RefusedFileError


def refusal(folders: Folders, file: str) -> str:
    with pytest.raises(RefusedFileError) as caught:
        folders.read(file)
    return caught.value.kind


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set beside a folder that is none of its business."""
    for name in ("photos/crab", "photos/pen", "secret"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "photos/crab/1.jpg").write_bytes(b"crab")
    (tmp_path / "secret/key.jpg").write_bytes(b"key")
    return tmp_path / "photos"


def test_a_file_inside_is_read_through_links_that_stay_inside(root: Path) -> None:
    (root / "pen/link.jpg").symlink_to("../crab/1.jpg")
    (root / "folder").symlink_to(root / "crab")
    folders = Folders(root)
    names = ("crab/1.jpg", "pen/link.jpg", "folder/1.jpg", "pen/../crab/1.jpg", str(root / "crab/1.jpg"))
    assert [folders.read(name) for name in names] == [b"crab"] * 5


def test_a_file_outside_is_not_read_however_it_is_named(root: Path) -> None:
    (root / "link.jpg").symlink_to("../secret/key.jpg")
    (root / "chain.jpg").symlink_to("link.jpg")
    (root / "folder").symlink_to(root.parent / "secret")
    (root / "nowhere.jpg").symlink_to("/nowhere/at/all")
    names = ["../secret/key.jpg", str(root.parent / "secret/key.jpg"), "link.jpg", "chain.jpg", "folder/key.jpg"]
    names += [
        "nowhere.jpg",
        "crab/../../secret/key.jpg",
        "../photos-of-others/1.jpg",
        "/dev/zero",
        "/proc/self/environ",
    ]
    assert {name: refusal(Folders(root), name) for name in names} == dict.fromkeys(names, "outside-file")


def test_a_folder_that_is_allowed_is_read(root: Path) -> None:
    (root / "link.jpg").symlink_to("../secret/key.jpg")
    folders = Folders(root, (root.parent / "secret",))
    assert folders.read("link.jpg") == folders.read("../secret/key.jpg") == b"key"
    assert refusal(folders, "/etc/hostname") == "outside-file"


def test_a_pipe_a_socket_and_a_device_are_not_opened(root: Path) -> None:
    os.mkfifo(root / "pipe.jpg")
    (root / "device.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "s.jpg"))
        folders = Folders(root, (Path("/dev"),))
        assert {refusal(folders, name) for name in ("pipe.jpg", "s.jpg", "device.jpg", "crab")} == {"special-file"}


def test_a_file_that_the_gateway_would_not_take_is_not_read(root: Path) -> None:
    with (root / "large.jpg").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    assert refusal(Folders(root), "large.jpg") == "too-large"
    assert Settings.model_fields["max_upload_bytes"].default == MOST_BYTES


def test_a_loop_of_links_is_an_error_of_the_system(root: Path) -> None:
    (root / "a.jpg").symlink_to("b.jpg")
    (root / "b.jpg").symlink_to("a.jpg")
    with pytest.raises(OSError, match=r"loop|symbolic links"):
        Folders(root).read("a.jpg")


def test_a_data_set_that_is_itself_a_link_is_read(root: Path) -> None:
    (root.parent / "linked").symlink_to(root)
    assert Folders(root.parent / "linked").read("crab/1.jpg") == b"crab"
