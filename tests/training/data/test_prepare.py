from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.labels import LabelMap
from tests.training import data_sets
from training.console import no_bar
from training.data.manifest import Entry, Manifest, Part, Split, read
from training.data.prepare import Group, Prepared, named_groups, prepare, split
from training.errors import DataSetError


def entries(**counts: int) -> list[Entry]:
    """So many pictures of each label, not split."""
    return [Entry(f"{label}/{n}.jpg", label, "", "") for label, count in counts.items() for n in range(count)]


def parts(pictures: list[Entry], groups: Sequence[Group], *, seed: int = 0, test_share: float = 0.2) -> list[Part]:
    return split(pictures, groups, val_share=0.2, test_share=test_share, seed=seed)


def counts(pictures: list[Entry], chosen: list[Part]) -> dict[str, tuple[int, int, int]]:
    """Label -> pictures in train, val and test."""
    found = Counter((entry.label, part) for entry, part in zip(pictures, chosen, strict=True))
    return {e.label: (found[e.label, "train"], found[e.label, "val"], found[e.label, "test"]) for e in pictures}


def test_every_class_is_divided_by_the_shares() -> None:
    pictures = entries(crab=10, pen=100)
    assert counts(pictures, parts(pictures, [])) == {"crab": (6, 2, 2), "pen": (60, 20, 20)}


def test_the_seed_decides() -> None:
    pictures = entries(crab=30, pen=30)
    assert parts(pictures, [], seed=1) == parts(pictures, [], seed=1) != parts(pictures, [], seed=2)


def test_a_class_of_two_teaches() -> None:
    pictures = entries(crab=2, pen=10)
    assert counts(pictures, parts(pictures, []))["crab"][0] >= 1


def test_groups_that_share_a_picture_are_one() -> None:
    pictures = entries(crab=10, pen=10)
    chosen = parts(pictures, [[0, 1], [1, 12]])
    assert len({chosen[0], chosen[1], chosen[12]}) == 1


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=30, max_size=80),
    st.integers(0, 3),
)
def test_no_group_is_ever_divided_and_every_class_can_be_learnt(rows: list[tuple[str, int]], seed: int) -> None:
    pictures = [Entry(f"{at}.jpg", label, "", "") for at, (label, _) in enumerate(rows)]
    groups = [[at for at, row in enumerate(rows) if row == wanted] for wanted in set(rows)]
    try:
        chosen = parts(pictures, groups, seed=seed)
    except DataSetError as error:
        assert "No picture is left for validation" in str(error)  # noqa: PT017 - the other outcome is checked below
        return
    assert all(len({chosen[at] for at in group}) == 1 for group in groups)
    assert {e.label for e, part in zip(pictures, chosen, strict=True) if part == "train"} == {e.label for e in pictures}


def test_a_prepared_data_set_has_the_whole_label_map(tmp_path: Path) -> None:
    photos = data_sets.clean(tmp_path / "photos", per_class=4)
    (tmp_path / "labels.csv").write_text("label,group,name:de\nSea_star,E,Seestern\nAnemone,C,\nJelly,C,Qualle\n")

    def prepared(labels: Path | None) -> Prepared:
        return prepare(
            photos,
            labels=labels,
            groups=None,
            val_share=0.2,
            test_share=0.2,
            seed=0,
            cache=tmp_path / "cache",
            workers=0,
            bar=no_bar,
        )

    named = prepared(tmp_path / "labels.csv")
    assert named.labels == ("Sea_star", "Anemone", "Jelly")
    assert (named.label_map.groups, named.label_map.names) == (("E", "C", "C"), {"de": ("Seestern", "", "Qualle")})
    assert prepared(None).label_map == LabelMap(labels=("Anemone", "Jelly", "Sea_star"))


def stated(**splits: Split) -> list[Entry]:
    """A hundred pictures for each split, of two labels."""
    return [
        Entry(f"{name}/{n}.jpg", "crab" if n % 2 else "pen", part, "")
        for name, part in splits.items()
        for n in range(100)
    ]


def test_a_stated_split_stays_and_what_is_missing_comes_out_of_train() -> None:
    pictures = stated(train="train", test="test")
    chosen = parts(pictures, [])
    assert Counter(chosen[:100]) == {"train": 80, "val": 20}
    assert set(chosen[100:]) == {"test"}


def test_a_whole_split_is_taken_as_it_is() -> None:
    pictures = stated(train="train", val="val", test="test")
    assert parts(pictures, []) == [entry.split for entry in pictures]


def test_no_test_is_drawn_where_none_is_wanted() -> None:
    pictures = entries(crab=50, pen=50)
    assert set(parts(pictures, [], test_share=0)) == {"train", "val"}


def test_a_class_that_is_only_tested_is_refused() -> None:
    pictures = [*stated(train="train"), Entry("worm.jpg", "worm", "test", "")]
    with pytest.raises(DataSetError, match="No picture of worm is left to train with"):
        parts(pictures, [])


def test_one_big_group_leaves_nothing_to_choose_by() -> None:
    pictures = entries(crab=5, pen=5)
    with pytest.raises(DataSetError, match="raise --val-share"):
        parts(pictures, [range(10)])


# --- What names a group -----------------------------------------------------------------------------------------


def manifest(*files: str) -> Manifest:
    return Manifest(Path("photos"), "folders", tuple(Entry(file, file.split("/")[0], "", "") for file in files))


def test_a_folder_below_the_class_is_a_group() -> None:
    assert named_groups(manifest("crab/1.jpg", "crab/haul/2.jpg", "crab/haul/3.jpg"), "folder") == [[1, 2]]


def test_a_pattern_names_the_group() -> None:
    found = manifest("crab/haul7-1.jpg", "pen/haul7-2.jpg", "pen/haul8-1.jpg", "pen/other.jpg")
    assert named_groups(found, r"(haul\d+)-") == [[0, 1], [2]]
    assert named_groups(found, r"haul\d+") == [[0, 1], [2]]


@pytest.mark.parametrize(("pattern", "sentence"), [("(", "is not a regular expression"), ("dive", "fits no picture")])
def test_a_pattern_that_does_not_fit_is_said(pattern: str, sentence: str) -> None:
    with pytest.raises(DataSetError, match=sentence):
        named_groups(manifest("crab/1.jpg"), pattern)


def test_a_table_may_name_the_groups(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("file,label,group\na.jpg,crab,7\nb.jpg,pen,\nc.jpg,pen,7\n")
    assert named_groups(read(tmp_path), None) == [[0, 2]]
