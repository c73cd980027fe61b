"""The one reader of label files, which the gateway and training share."""

import csv
import io
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.label_file import LabelFileError, read_label_file
from gateway.labels import MAX_NAMES_BYTES, LabelMap


def written(folder: Path, data: bytes, name: str = "labels.txt") -> Path:
    file = folder / name
    file.write_bytes(data)
    return file


def table(folder: Path, text: str) -> Path:
    return written(folder, text.encode(), "labels.csv")


# --- Text ---------------------------------------------------------------------------------------------------------


def test_labels_come_in_the_order_of_their_lines_without_the_spaces_around_them(tmp_path: Path) -> None:
    assert read_label_file(written(tmp_path, b"sea star \n crab\r\nworm")).labels == ("sea star", "crab", "worm")


def test_a_byte_order_mark_is_no_part_of_the_first_label(tmp_path: Path) -> None:
    assert read_label_file(written(tmp_path, b"\xef\xbb\xbfanemone\ncrab\n")).labels == ("anemone", "crab")


def test_blank_lines_at_the_end_are_ignored(tmp_path: Path) -> None:
    assert read_label_file(written(tmp_path, b"anemone\ncrab\n\n \n")).labels == ("anemone", "crab")


def test_only_a_line_break_ends_a_label(tmp_path: Path) -> None:
    found = read_label_file(written(tmp_path, "sea\u2028star\ncr\x0cab\n".encode()))
    assert found.labels == ("sea\u2028star", "cr\x0cab")


def test_commas_and_quotes_belong_to_the_labels_of_a_text(tmp_path: Path) -> None:
    assert read_label_file(written(tmp_path, b'label\ncrab, red\n"x"\n')).labels == ("label", "crab, red", '"x"')


def test_labels_of_a_text_get_names_for_people_and_nothing_else(tmp_path: Path) -> None:
    assert read_label_file(written(tmp_path, b"Sea_star\nArmina_sp_\n")) == LabelMap(
        labels=("Sea_star", "Armina_sp_"), display_names=("Sea star", "Armina sp.")
    )


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"anemone\n\ncrab\n", r"line 2 of .*/labels\.txt is blank: name the class there or delete the line"),
        (b" \nanemone\n", "line 1 of .* is blank"),
        (b"anemone\ncrab\nanemone\n", "line 3 of .* names 'anemone' again, as line 1 does: name each class once"),
        (b"Krebs\nM\xf6we\n", "line 2 of .* is not UTF-8: save the file as UTF-8"),
        ("Krebs\nMöwe\n".encode("utf-16"), "line 1 of .* is not UTF-8"),
        (b"\n \n", "labels.txt names no class: write one class per line, in the order of the model's outputs"),
        (b"label,display_name\ncrab,Crab\n", r"labels.txt begins as a CSV does: give it a name that ends in .csv"),
    ],
)
def test_a_label_file_that_would_name_classes_wrongly_is_refused(tmp_path: Path, data: bytes, sentence: str) -> None:
    with pytest.raises(LabelFileError, match=sentence):
        read_label_file(written(tmp_path, data))


def test_a_label_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"cannot be read \(No such file or directory\): give a UTF-8"):
        read_label_file(tmp_path / "labels.txt")


# --- CSV ----------------------------------------------------------------------------------------------------------


def test_a_csv_names_labels_groups_languages_and_links(tmp_path: Path) -> None:
    file = table(
        tmp_path,
        "label,display_name,group,name:de,name:pt-BR,link\n"
        "Lithodes_ferox,,Arthropoda/Malacostraca,Königskrabbe,,https://example.org/1\n"
        'Cat,"Cat, the pet",,Katze,gato,\n',
    )
    assert read_label_file(file) == LabelMap(
        labels=("Lithodes_ferox", "Cat"),
        display_names=("Lithodes ferox", "Cat, the pet"),
        groups=("Arthropoda/Malacostraca", ""),
        names={"de": ("Königskrabbe", "Katze"), "pt-BR": ("", "gato")},
        links=("https://example.org/1", ""),
    )


def test_columns_come_in_any_order_and_only_the_label_is_needed(tmp_path: Path) -> None:
    assert read_label_file(table(tmp_path, "group,label\nA/B,crab\n")).groups == ("A/B",)
    assert read_label_file(table(tmp_path, "label\nsea_star\n")) == LabelMap(labels=("sea_star",))


def test_a_csv_of_a_spreadsheet_is_read_as_one_of_an_editor(tmp_path: Path) -> None:
    plain = "label,display_name\nsea_star, Sea star \ncrab,Crab\n"
    saved = b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode() + b"\r\n\r\n"
    assert read_label_file(written(tmp_path, saved, "LABELS.CSV")) == read_label_file(table(tmp_path, plain))


def test_a_column_of_a_language_without_names_says_that_the_display_names_are_in_it(tmp_path: Path) -> None:
    found = read_label_file(table(tmp_path, "label,display_name,name:en\nKatze,Cat,\n"))
    assert (found.names, found.shown["en"]) == ({"en": ("",)}, ("Cat",))


def test_a_line_without_a_label_names_the_group_at_its_path(tmp_path: Path) -> None:
    text = "label,display_name,group,name:de\n,Crabs,A/B,Krebse\nred,Red crab,A/B,\nsea_worm,,C,\n,Worms,C,\n"
    found = read_label_file(table(tmp_path, text))
    assert found.labels == ("red", "sea_worm")
    assert found.groups == ("A/B", "C")
    assert (found.group_name("A/B"), found.group_name("A/B", "de")) == ("Crabs", "Krebse")
    assert (found.group_name("C", "de"), found.group_name("A", "de")) == ("Worms", "A")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "labels.csv names no class"),
        ("label,display_name,group\n,Crabs,A\n", "labels.csv names no class"),
        ("label,display_name,group\nred,,A\n,Crabs,B\n", "the group 'B' is named, and no label is in it"),
        ("label,display_name,group\nred,,A\n,Crabs,A\n,Worms,A\n", "the group 'A' is named twice"),
        ("label,display_name,group\nred,,A\n,Crabs,\n", "line 3 of .* has no label: name the class there"),
        ("label,group\n", "labels.csv names no class"),
        ("crab\nworm\n", "line 1 of .* names no column 'label': begin the CSV with its columns, label, display_name"),
        ("label;group\ncrab;A\n", r"line 1 of .* no column 'label': .* separated by commas"),
        (
            "label,colour\n",
            "line 1 of .* names the unknown column 'colour': the columns are label, display_name, group",
        ),
        ("label,\n", "line 1 of .* names the unknown column ''"),
        ("label,group,group\n", "line 1 of .* names the column 'group' twice: keep one"),
        ("label,name:de,name:DE\n", "line 1 of .* names the column 'name:DE' twice"),
        ("label,name:de_DE\n", "line 1 of .*: 'de_DE' in 'name:de_DE' is no language tag: write one as name:de"),
        ("label,name:\n", "line 1 of .*: '' in 'name:' is no language tag"),
        ("label,group\ncrab\n", "line 2 of .* has 1 cells for 2 columns: give every column a cell, and quote one with"),
        ("label\ncrab, red\n", "line 2 of .* has 2 cells for 1 columns"),
        ("label,group\ncrab,A\n,B\nworm,A\n", "line 3 of .* has no label: name the class there or delete the line"),
        ("label,group\ncrab,A\n\nworm,A\n", "line 3 of .* is blank: name the class there or delete the line"),
        ("label\ncrab\nworm\n crab\n", "line 4 of .* names 'crab' again, as line 2 does: name each class once"),
        ("label,group\ncrab,A//B\n", "line 2 of .*: the group 'A//B' has an empty step or blanks around one: write it"),
        ("label,group\ncrab,/A\n", "the group '/A' has an empty step"),
        ("label,group\ncrab,A / B\n", "the group 'A / B' has an empty step or blanks"),
        (
            "label,link\ncrab,javascript:alert(1)\n",
            "line 2 of .*: the link 'javascript:.*' is no web address: begin it",
        ),
        ("label,link\ncrab,https://\n", "is no web address"),
        ("label,link\ncrab,http://[\n", "is no web address"),
        ("label,link\ncrab,http://a b/\n", "is no web address"),
        ('label,group\n"crab\nred",A\n', r"line 3 of .* has a line break or another control character in 'crab\\nred'"),
        ('label\ncrab\n"red\n', r"line 3 of .* is not CSV \(.*\): check its quotes"),
        ('label\n"a"b\n', "line 2 of .* is not CSV"),
    ],
)
def test_a_csv_that_would_name_classes_wrongly_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(LabelFileError, match=sentence):
        read_label_file(table(tmp_path, text))


def test_a_csv_in_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    file = written(tmp_path, "label\nKrebs\nMöwe\n".encode("latin-1"), "labels.csv")
    with pytest.raises(LabelFileError, match=r"line 3 of .* is not UTF-8: save the file as UTF-8"):
        read_label_file(file)


def test_a_csv_that_no_replica_may_send_is_refused(tmp_path: Path) -> None:
    long = table(tmp_path, f"label,display_name\ncrab,{'x' * 100_000}\n")
    assert len(read_label_file(long).display_names[0]) == 100_000
    rows = "".join(f"{number},{'x' * 100_000}\n" for number in range(11))
    with pytest.raises(LabelFileError, match=f"labels.csv cannot be used: names.* bytes; {MAX_NAMES_BYTES:,} are"):
        read_label_file(table(tmp_path, f"label,display_name\n{rows}"))
    tags = [f"name:a{letter}{more}" for letter in "bcdefghi" for more in "jklmnopqr"]
    with pytest.raises(LabelFileError, match="at most 64 items"):
        read_label_file(table(tmp_path, f"label,{','.join(tags)}\ncrab{',' * len(tags)}\n"))


# --- Fuzzed -------------------------------------------------------------------------------------------------------

CELL = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=12).map(str.strip)
STEP = CELL.filter(lambda text: text and "/" not in text)
GROUP = st.lists(STEP, max_size=3).map("/".join)
LINK = st.sampled_from(["", "http://a", "https://example.org/crab?x=1,2#y"])


@given(
    st.lists(
        st.tuples(CELL.filter(bool), CELL, GROUP, LINK, CELL), min_size=1, max_size=5, unique_by=lambda row: row[0]
    )
)
def test_what_a_csv_says_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("label", "display_name", "group", "link", "name:de"), *rows])
    found = read_label_file(table(tmp_path_factory.mktemp("labels"), out.getvalue()))
    labels, names, groups, links, german = (tuple(column) for column in zip(*rows, strict=True))
    assert (found.labels, found.groups or ("",) * len(rows), found.links or ("",) * len(rows)) == (
        labels,
        groups,
        links,
    )
    assert found.names == {"de": german}
    assert [shown for shown, name in zip(found.display_names, names, strict=True) if name] == list(filter(None, names))
    assert LabelMap.model_validate_json(found.model_dump_json()) == found


@given(st.binary(max_size=60) | st.text('label,group\n\r"/:namedsp_ ;\0', max_size=60).map(str.encode), st.booleans())
def test_no_file_is_read_with_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, as_table: bool
) -> None:
    file = written(tmp_path_factory.mktemp("labels"), data, "labels.csv" if as_table else "labels.txt")
    with suppress(LabelFileError):
        assert read_label_file(file).labels
