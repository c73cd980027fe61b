import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.label_map import read_label_map
from training.data.manifest import Entry, Manifest, read
from training.errors import DataSetError

PICTURE = b"\xff\xd8\xff and so on"
"""Begins like a JPEG; nothing here decodes it."""
DIGEST = f"sha256:{hashlib.sha256(PICTURE).hexdigest()}"


def data_set(root: Path, *files: str) -> Path:
    """Pictures; a name that ends with / is an empty folder, one that ends with .txt a text."""
    for file in files:
        path = root / file
        if file.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"text" if file.endswith(".txt") else PICTURE)
    return root


def told(manifest: Manifest) -> list[str]:
    return [" ".join(filter(None, entry[:3])) for entry in manifest.entries]


def table(root: Path, text: str, *files: str) -> Path:
    data_set(root, *files)
    (root / "photos.csv").write_text(text, encoding="utf-8")
    return root


# --- Folders --------------------------------------------------------------------------------------------------


def test_a_folder_is_a_class(tmp_path: Path) -> None:
    manifest = read(data_set(tmp_path, "crab/2.jpg", "crab/1.JPG", "pen/2020/may/1.png"))
    assert manifest.layout == "folders"
    assert told(manifest) == ["crab/1.JPG crab", "crab/2.jpg crab", "pen/2020/may/1.png pen"]
    assert manifest.entries[0].digest == DIGEST
    assert (manifest.labels, manifest.splits) == (("crab", "pen"), ("",))


def test_splits_are_folders_of_classes(tmp_path: Path) -> None:
    manifest = read(data_set(tmp_path, "Train/crab/1.jpg", "Train/pen/1.jpg", "test/pen/2.jpg", "valid/pen/3.jpg"))
    assert manifest.layout == "splits"
    assert told(manifest) == [
        "Train/crab/1.jpg crab train",
        "Train/pen/1.jpg pen train",
        "test/pen/2.jpg pen test",
        "valid/pen/3.jpg pen val",
    ]
    assert manifest.splits == ("train", "val", "test")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    manifest = read(data_set(tmp_path, "bus/1.jpg", "train/1.jpg"))
    assert told(manifest) == ["bus/1.jpg bus", "train/1.jpg train"]


def test_what_is_no_picture_of_a_class_is_kept_apart(tmp_path: Path) -> None:
    manifest = read(data_set(tmp_path, "crab/1.jpg", "crab/notes.txt", "pen/1.jpg", "loose.jpg", "README.txt", "worm/"))
    assert told(manifest) == ["crab/1.jpg crab", "pen/1.jpg pen"]
    assert manifest.others == ("crab/notes.txt",)
    assert manifest.unlabelled == ("loose.jpg",)
    assert manifest.empty == ("worm",)


def test_a_picture_is_one_by_its_name_or_by_its_bytes(tmp_path: Path) -> None:
    data_set(tmp_path, "crab/no-extension", "pen/1.jpg")
    (tmp_path / "pen/2.jpg").write_text("no picture, but it claims to be one")
    assert [entry.file for entry in read(tmp_path).entries] == ["crab/no-extension", "pen/1.jpg", "pen/2.jpg"]


def test_hidden_files_count_for_nothing(tmp_path: Path) -> None:
    manifest = read(data_set(tmp_path, ".git/1.jpg", "crab/.DS_Store", "crab/.thumbs/1.jpg", "crab/1.jpg", "pen/1.jpg"))
    assert told(manifest) == ["crab/1.jpg crab", "pen/1.jpg pen"]
    assert manifest.others == ()


def test_a_link_that_leads_nowhere_has_no_digest(tmp_path: Path) -> None:
    data_set(tmp_path, "crab/1.jpg", "pen/1.jpg")
    (tmp_path / "crab/2.jpg").symlink_to(tmp_path / "gone.jpg")
    assert read(tmp_path).entries[1] == Entry("crab/2.jpg", "crab", "", "")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(data_set(tmp_path, "crab/1.jpg", "pen/1.jpg") / "crab/2.jpg")
    assert [entry.digest for entry in read(tmp_path).entries] == [DIGEST, "", DIGEST]


def test_progress_counts_the_files(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    read(data_set(tmp_path, "crab/1.jpg", "pen/1.jpg"), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


# --- CSV ------------------------------------------------------------------------------------------------------


def test_a_table_states_file_label_and_split(tmp_path: Path) -> None:
    text = "\ufeffFile, Label ,split\na.jpg,crab,train\n\nsub/b.jpg, pen ,testing\n"
    manifest = read(table(tmp_path, text, "a.jpg", "sub/b.jpg"))
    assert manifest.layout == "csv"
    assert told(manifest) == ["a.jpg crab train", "sub/b.jpg pen test"]
    assert manifest.entries[1].digest == DIGEST
    assert read(tmp_path / "photos.csv") == manifest


def test_pictures_beside_the_table_and_rows_beside_the_pictures_are_told(tmp_path: Path) -> None:
    text = "file,label\n./a.jpg,crab\ngone.jpg,pen\nb.jpg\n"
    manifest = read(table(tmp_path, text, "a.jpg", "b.jpg", "sub/c.jpg"))
    assert [tuple(entry) for entry in manifest.entries] == [
        ("./a.jpg", "crab", "", DIGEST),
        ("gone.jpg", "pen", "", ""),
        ("b.jpg", "", "", DIGEST),
    ]
    assert manifest.unlabelled == ("sub/c.jpg",)


def test_other_tables_are_left_alone(tmp_path: Path) -> None:
    data_set(tmp_path, "crab/1.jpg", "pen/1.jpg")
    (tmp_path / "sizes.csv").write_text("file,bytes\n")
    (tmp_path / "huge.csv").write_text("x" * 200_000)
    (tmp_path / "folder.csv").mkdir()
    assert read(tmp_path).layout == "folders"


# --- Digest -----------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=3)
ENTRIES = st.lists(st.builds(Entry, NAMES, NAMES, st.sampled_from(("train", "test")), NAMES), max_size=5)


def manifest_of(entries: list[Entry]) -> Manifest:
    return Manifest(Path("anywhere"), "csv", tuple(entries))


@given(ENTRIES)
def test_the_digest_is_of_the_set_in_any_order(entries: list[Entry]) -> None:
    assert manifest_of(entries[::-1]).digest == manifest_of(entries).digest


@given(ENTRIES, ENTRIES)
def test_different_sets_have_different_digests(one: list[Entry], other: list[Entry]) -> None:
    assert (manifest_of(one).digest == manifest_of(other).digest) == (sorted(one) == sorted(other))


def test_the_digest_does_not_depend_on_where_the_data_lies(tmp_path: Path) -> None:
    here, there = (data_set(tmp_path / name, "crab/1.jpg", "pen/1.jpg") for name in "ab")
    before = read(here).digest
    assert read(there).digest == before
    (there / "pen/1.jpg").write_bytes(PICTURE + b"!")
    assert read(there).digest != before


def test_names_that_are_not_text_have_a_digest_too(tmp_path: Path) -> None:
    data_set(tmp_path, "crab/1.jpg", os.fsdecode(b"pen/\xff.jpg"))
    assert read(tmp_path).digest.startswith("sha256:")


# --- No data set ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ((), "holds no pictures"),
        (("crab/", "pen/"), "holds no pictures"),
        (("crab/1.jpg", "crab/2.jpg"), r"has one class \(crab\)"),
        (("train/crab/1.jpg", "test/crab/1.jpg", "extra/1.jpg"), r"mixes splits \(test, train\) .* \(extra\)"),
    ],
)
def test_what_is_no_data_set_is_told_in_a_sentence(tmp_path: Path, files: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(DataSetError, match=sentence):
        read(data_set(tmp_path, *files))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="gone is not a folder or a CSV file"):
        read(tmp_path / "gone")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,class\na.jpg,crab\n", "needs the columns file and label"),
        ("file;label\na.jpg;crab\n", "needs the columns file and label"),
        ("file,label,split\na.jpg,crab,train\nb.jpg,pen,dev\n", "line 3: the split 'dev' is unknown"),
        ("file,label\na\0.jpg,crab\n", "line 2: the file name holds a NUL character"),
        ("x" * 200_000, "needs the columns file and label"),
        ("", "needs the columns file and label"),
        ("file,label\n", "holds no pictures"),
    ],
)
def test_a_table_that_cannot_be_understood_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    table(tmp_path, text)
    with pytest.raises(DataSetError, match=sentence):
        read(tmp_path / "photos.csv")


def test_a_table_in_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_bytes("file,label\na.jpg,Krebs für alle\n".encode("latin-1"))
    with pytest.raises(DataSetError, match="not a CSV in UTF-8"):
        read(tmp_path)


def test_two_tables_are_one_too_many(tmp_path: Path) -> None:
    table(tmp_path, "file,label\n")
    (tmp_path / "more.csv").write_text("file,label\n")
    with pytest.raises(DataSetError, match=r"\(more.csv, photos.csv\): give the one to read"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [(b"", "names no class"), (b"crab\npen\ncrab\n", "names 'crab' again"), (b"\xff\xfe", "is not UTF-8")],
)
def test_a_label_map_that_cannot_be_used_is_refused(tmp_path: Path, data: bytes, sentence: str) -> None:
    (tmp_path / "labels.txt").write_bytes(data)
    with pytest.raises(DataSetError, match=sentence):
        read_label_map(tmp_path / "labels.txt")


# --- Files elsewhere ------------------------------------------------------------------------------------------


def test_what_lies_outside_is_listed_and_not_opened(tmp_path: Path) -> None:
    data_set(tmp_path / "secret", "key.jpg")
    text = "file,label\n../secret/key.jpg,crab\n/dev/zero,crab\nc/1.jpg,crab\np/1.jpg,pen\n"
    manifest = read(table(tmp_path / "photos", text, "c/1.jpg", "p/1.jpg"))
    digests = {entry.file: entry.digest for entry in manifest.entries}
    assert digests == {"../secret/key.jpg": "", "/dev/zero": "", "c/1.jpg": DIGEST, "p/1.jpg": DIGEST}
    allowed = read(tmp_path / "photos", also=[tmp_path / "secret"])
    assert {entry.file: entry.digest for entry in allowed.entries} == digests | {"../secret/key.jpg": DIGEST}


def test_links_to_folders_are_followed_only_where_a_class_may_be_and_not_out(tmp_path: Path) -> None:
    photos = data_set(tmp_path / "photos", "crab/1.jpg", "pen/1.jpg")
    data_set(tmp_path / "store", "2.jpg")
    (photos / "worm").symlink_to(tmp_path / "store")
    (photos / "copy").symlink_to("crab")
    (photos / "crab/more").symlink_to("../pen")
    manifest = read(photos)
    assert told(manifest) == ["copy/1.jpg copy", "crab/1.jpg crab", "pen/1.jpg pen"]
    assert manifest.links == ("worm", "copy/more", "crab/more")
    allowed = read(photos, also=[tmp_path / "store"])
    assert "worm/2.jpg worm" in told(allowed)
    assert allowed.links == ("copy/more", "crab/more")


def test_a_link_out_of_a_split_is_not_followed(tmp_path: Path) -> None:
    photos = data_set(tmp_path / "photos", "train/crab/1.jpg", "train/pen/1.jpg", "test/pen/1.jpg")
    (photos / "test/crab").symlink_to("/etc")
    manifest = read(photos)
    assert manifest.links == ("test/crab",)
    assert len(manifest.entries) == 3


def test_special_files_of_a_class_are_listed(tmp_path: Path) -> None:
    photos = data_set(tmp_path, "crab/1.jpg", "pen/1.jpg")
    os.mkfifo(photos / "crab/pipe.jpg")
    os.mkfifo(photos / "crab/pipe")
    manifest = read(photos)
    assert [(entry.file, entry.digest) for entry in manifest.entries][1:2] == [("crab/pipe.jpg", "")]
    assert manifest.others == ("crab/pipe",)


def test_a_csv_that_is_a_link_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    photos = data_set(tmp_path / "photos", "crab/1.jpg", "pen/1.jpg")
    table(tmp_path / "elsewhere", "file,label\n1.jpg,secret\n", "1.jpg")
    (photos / "photos.csv").symlink_to(tmp_path / "elsewhere/photos.csv")
    assert read(photos).layout == "folders"


def test_a_data_set_of_links_alone_says_how_to_allow_them(tmp_path: Path) -> None:
    data_set(tmp_path / "store", "crab/1.jpg", "pen/1.jpg")
    (tmp_path / "photos").mkdir()
    for name in ("crab", "pen"):
        (tmp_path / "photos" / name).symlink_to(tmp_path / "store" / name)
    with pytest.raises(DataSetError, match="not followed without --also"):
        read(tmp_path / "photos")
    assert read(tmp_path / "photos", also=[tmp_path / "store"]).labels == ("crab", "pen")
