"""The one reader of label files, which the gateway and training share."""

from pathlib import Path

import pytest

from gateway.labels import LabelFileError, read_label_file


def written(tmp_path: Path, data: bytes) -> Path:
    file = tmp_path / "labels.txt"
    file.write_bytes(data)
    return file


def test_labels_come_in_the_order_of_their_lines_without_the_spaces_around_them(tmp_path: Path) -> None:
    assert read_label_file(written(tmp_path, b"sea star \n crab\r\nworm")) == ("sea star", "crab", "worm")


def test_a_byte_order_mark_is_no_part_of_the_first_label(tmp_path: Path) -> None:
    assert read_label_file(written(tmp_path, b"\xef\xbb\xbfanemone\ncrab\n")) == ("anemone", "crab")


def test_blank_lines_at_the_end_are_ignored(tmp_path: Path) -> None:
    assert read_label_file(written(tmp_path, b"anemone\ncrab\n\n \n")) == ("anemone", "crab")


def test_only_a_line_break_ends_a_label(tmp_path: Path) -> None:
    assert read_label_file(written(tmp_path, "sea\u2028star\ncr\x0cab\n".encode())) == ("sea\u2028star", "cr\x0cab")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"anemone\n\ncrab\n", r"line 2 of .*/labels\.txt is blank: name the class there or delete the line"),
        (b" \nanemone\n", "line 1 of .* is blank"),
        (b"anemone\ncrab\nanemone\n", "line 3 of .* names 'anemone' again, as line 1 does: name each class once"),
        (b"Krebs\nM\xf6we\n", "line 2 of .* is not UTF-8: save the file as UTF-8"),
        ("Krebs\nMöwe\n".encode("utf-16"), "line 1 of .* is not UTF-8"),
        (b"\n \n", "labels.txt names no class: write one class per line, in the order of the model's outputs"),
    ],
)
def test_a_label_file_that_would_name_classes_wrongly_is_refused(tmp_path: Path, data: bytes, sentence: str) -> None:
    with pytest.raises(LabelFileError, match=sentence):
        read_label_file(written(tmp_path, data))


def test_a_label_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"cannot be read \(No such file or directory\): give a UTF-8"):
        read_label_file(tmp_path / "labels.txt")
