"""Every kind of finding, from facts written down here: no picture is decoded but where the hash is at stake."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from gateway.imaging import preprocess
from tests.training.data_sets import drawn, jpeg
from training.data.checks import amounts, check, in_words, repeated, shapes, splits, undecodable
from training.data.findings import KINDS, Finding
from training.data.label_map import lookalikes, mismatches
from training.data.likeness import Copy, alike, close, copy_of, correlation, groups, hash_of, means
from training.data.looks import Decoded, Look, Undecodable
from training.data.manifest import SPLITS, Entry, Manifest


def copy(seed: int) -> Copy:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)


def sight(seed: int = 0, *, width: int = 640, height: int = 480, contrast: float = 50.0) -> Decoded:
    """A picture that no other seed's looks like."""
    return Decoded("JPEG", width, height, contrast, int.from_bytes(copy(seed).tobytes()[:8]), copy(seed))


def rows(*lines: str) -> Manifest:
    """From lines of file, digest, label and perhaps split."""
    return Manifest(Path("data"), "csv", tuple(_entry(*line.split()) for line in lines))


def _entry(file: str, digest: str, label: str, split: str = "") -> Entry:
    return Entry(file, label, SPLITS[split] if split else "", digest)


def unlike(manifest: Manifest) -> dict[str, Look]:
    """Every file shows something else, unless it has the same digest."""
    return {entry.file: sight(int.from_bytes(entry.digest.encode())) for entry in manifest.entries}


def told(findings: Iterable[Finding]) -> list[str]:
    return [f"{finding.kind}: {finding.sentence}" for finding in findings]


# --- The same picture again -----------------------------------------------------------------------------------


def test_a_file_that_is_there_twice_is_told() -> None:
    manifest = rows("a.jpg x crab", "b.jpg y crab", "c.jpg x crab")
    assert told(repeated(manifest, unlike(manifest))) == ["duplicate: a.jpg and c.jpg are one file: keep one."]


def test_the_same_file_under_two_labels_is_an_error() -> None:
    manifest = rows("a.jpg x crab", "c.jpg x pen")
    (finding,) = repeated(manifest, unlike(manifest))
    assert (finding.kind, finding.severity, finding.files) == ("conflicting-labels", "error", ("a.jpg", "c.jpg"))
    assert finding.sentence == (
        "a.jpg and c.jpg are one file, labelled crab and pen: keep one label and delete the others."
    )


def test_the_same_file_in_two_splits_is_an_error() -> None:
    manifest = rows("a.jpg x crab train", "c.jpg x crab test")
    (finding,) = repeated(manifest, unlike(manifest))
    assert (finding.kind, finding.severity) == ("leakage", "error")


def test_a_file_may_be_both_mislabelled_and_leaked() -> None:
    manifest = rows("a.jpg x crab train", "c.jpg x pen test")
    assert [finding.kind for finding in repeated(manifest, unlike(manifest))] == ["conflicting-labels", "leakage"]


def test_rows_that_list_a_file_twice_are_told() -> None:
    same = rows("a.jpg x crab", "a.jpg x crab")
    assert told(repeated(same, unlike(same))) == ["listed-twice: a.jpg is listed more than once: keep one row."]
    other = rows("a.jpg x crab", "a.jpg x pen")
    assert [finding.kind for finding in repeated(other, unlike(other))] == ["conflicting-labels"]


def test_a_picture_saved_anew_is_as_grave_as_a_copy() -> None:
    manifest = rows("a.jpg x crab train", "b.jpg y crab test", "c.jpg z crab test")
    looks: dict[str, Look] = {"a.jpg": sight(1), "b.jpg": sight(1), "c.jpg": sight(2)}
    (finding,) = repeated(manifest, looks)
    assert (finding.kind, finding.files) == ("leakage", ("a.jpg", "b.jpg"))
    assert finding.sentence.startswith("a.jpg and b.jpg are the same picture, saved again, in test and train: ")


def test_pictures_that_are_merely_near_are_warned_of() -> None:
    manifest = rows("a.jpg x crab train", "b.jpg y crab train", "c.jpg z pen test")
    bright = sight(1)._replace(hash=sight(1).hash ^ 0b11111)  # a bit more than may be called sure
    looks: dict[str, Look] = {"a.jpg": sight(1), "b.jpg": sight(1), "c.jpg": bright}
    assert told(repeated(manifest, looks)) == [
        "near-duplicate: a.jpg and b.jpg are the same picture, saved again: keep the better one.",
        "possible-conflict: a.jpg, b.jpg and c.jpg look nearly the same, labelled crab and pen: "
        "check whether the labels are right.",
        "possible-leakage: a.jpg, b.jpg and c.jpg look nearly the same, in test and train: "
        "check whether they show one subject, and if so keep it in one split.",
    ]


def test_blank_pictures_and_broken_files_are_not_called_alike() -> None:
    manifest = rows("a.jpg x crab", "b.jpg y crab", "c.jpg z crab", "d.jpg z crab")
    blank, broken = sight(contrast=0.0), Undecodable("empty-file", "The file is empty")
    assert list(repeated(manifest, {"a.jpg": blank, "b.jpg": blank, "c.jpg": broken, "d.jpg": broken})) == []


# --- The perceptual hash --------------------------------------------------------------------------------------


def likeness(one: Image.Image, other: Image.Image, quality: int = 90) -> str:
    views = [means(preprocess(jpeg(one))), means(preprocess(jpeg(other, quality)))]
    pairs = alike([hash_of(afar) for afar in views], [copy_of(afar) for afar in views])
    return "none" if not pairs else "sure" if pairs[0].sure else "near"


@pytest.mark.parametrize("class_index", [0, 4, 14])
def test_a_picture_is_known_again_however_it_was_saved(class_index: int) -> None:
    picture = drawn(class_index, 0)
    assert likeness(picture, picture, quality=40) == "sure"
    assert likeness(picture, picture.resize((160, 120))) == "sure"
    assert likeness(picture, ImageEnhance.Contrast(picture).enhance(0.8)) == "sure"
    assert likeness(picture, picture.crop((8, 8, 312, 312))) == "near"
    assert likeness(picture, drawn(class_index, 1)) == "none"


@given(st.lists(st.integers(0, 2**64 - 1), max_size=12), st.integers(0, 64))
def test_close_pairs_are_those_that_counting_bits_finds(hashes: list[int], bits: int) -> None:
    pairs = {(i, j) for j, b in enumerate(hashes) for i, a in enumerate(hashes[:j]) if (a ^ b).bit_count() <= bits}
    assert set(close(hashes, bits)) == pairs


def test_close_pairs_are_found_beyond_the_rows_compared_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.likeness.ROWS", 2)
    assert list(close([1, 2**60, 3, 2**30, 1], bits=0)) == [(0, 4)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_groups_are_disjoint_and_hold_every_pair(pairs: list[tuple[int, int]]) -> None:
    found = groups(pairs)
    members = [item for group in found for item in group]
    assert len(members) == len(set(members))
    for pair in pairs:
        assert any(set(pair) <= set(group) for group in found)
    assert len(found) == len(members) - _joins(pairs)


def _joins(pairs: list[tuple[int, int]]) -> int:
    """How many pairs join what was apart, by the slow way."""
    apart: list[set[int]] = []
    joins = 0
    for pair in pairs:
        touched = [group for group in apart if group & set(pair)]
        apart = [group for group in apart if not group & set(pair)]
        before = sum(len(group) for group in touched) - len(touched)
        apart.append(set(pair).union(*touched))
        joins += len(apart[-1]) - 1 - before
    return joins


def test_correlation_is_blind_to_light_but_not_to_shape() -> None:
    one = copy(1) // 2
    assert correlation(one, one + 20) == pytest.approx(1)
    assert abs(correlation(one, copy(2))) < 0.2
    assert correlation(one, np.full_like(one, 7)) == 0


# --- Files and shapes -------------------------------------------------------------------------------------------


def test_broken_files_are_told_with_what_to_do() -> None:
    looks: dict[str, Look] = {
        "a.jpg": Undecodable("truncated", "This is only the beginning of a JPEG"),
        "b.jpg": Undecodable("missing-file", "There is no such file"),
    }
    assert told(undecodable(looks)) == [
        "truncated: This is only the beginning of a JPEG: fetch it again from its source, or remove it.",
        "missing-file: There is no such file: put it there or delete its row.",
    ]


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (sight(), []),
        (sight(width=111, height=200), ["tiny"]),
        (sight(width=112, height=336), []),
        (sight(width=112, height=337), ["stretched"]),
        (sight(contrast=3.9), ["blank"]),
        (sight(width=400, height=100, contrast=0), ["tiny", "stretched", "blank"]),
    ],
)
def test_odd_pictures_are_told(look: Decoded, expected: list[str]) -> None:
    assert [finding.kind for finding in shapes({"a.jpg": look})] == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("a.JPEG", []),
        ("a.png", ["It holds JPEG and has the extension .png: rename it to .jpg."]),
        ("a.v2", ["It holds JPEG and has the extension .v2: rename it to .jpg."]),
        ("a", ["It holds JPEG and has no extension: rename it to .jpg."]),
    ],
)
def test_names_must_say_the_format(file: str, expected: list[str]) -> None:
    assert [finding.sentence for finding in shapes({file: sight()})] == expected


# --- Amounts ----------------------------------------------------------------------------------------------------


def of_sizes(**sizes: int) -> Manifest:
    return rows(*(f"{label}{at}.jpg {label}{at} {label}" for label, size in sizes.items() for at in range(size)))


def test_small_classes_are_told_and_smaller_ones_are_errors() -> None:
    manifest = of_sizes(crab=2, pen=4, worm=5)
    assert told(amounts(manifest, unlike(manifest), min_per_class=5)) == [
        "too-few-pictures: crab has 2 usable pictures: add some until it has at least 3, or remove the class.",
        "few-pictures: pen has 4 usable pictures, fewer than 5: add some, or merge it with a similar class.",
    ]


def test_copies_and_broken_files_do_not_fill_a_class() -> None:
    manifest = rows("a.jpg x crab", "b.jpg x crab", "c.jpg y crab", "d.jpg z crab")
    looks: dict[str, Look] = {**unlike(manifest), "d.jpg": Undecodable("truncated", "")}
    assert ["crab has 2 usable" in line for line in told(amounts(manifest, looks))] == [True]


def test_uneven_classes_are_told_from_ten_times_on() -> None:
    even, uneven = of_sizes(crab=30, pen=3), of_sizes(crab=31, pen=3)
    assert list(amounts(even, unlike(even), min_per_class=1)) == []
    (finding,) = amounts(uneven, unlike(uneven), min_per_class=1)
    assert (finding.kind, finding.severity) == ("imbalance", "warning")
    assert finding.sentence.startswith("crab has 31 pictures, pen has 3, 10 times fewer")


def test_classes_that_a_split_leaves_out_are_told() -> None:
    manifest = rows("1 1 crab train", "2 2 crab test", "3 3 pen train", "4 4 worm test", "5 5 star val")
    assert [(finding.kind, finding.sentence.split()[0]) for finding in splits(manifest)] == [
        ("not-in-train", "star"),
        ("not-in-train", "worm"),
        ("not-in-test", "pen"),
    ]
    assert list(splits(rows("1 1 crab", "2 2 pen"))) == []


# --- Labels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["Crab", "Sea_pen"], []),
        (["Crab", "Sea pen"], ["misspelt-label: Sea pen is not in the label map: did you mean Sea_pen? Rename it."]),
        (["Crabb", "Sea_pen"], ["misspelt-label: Crabb is not in the label map: did you mean Crab? Rename it."]),
        (
            ["Crab", "Octopus", "Sea_pen"],
            ["unknown-label: Octopus is not in the label map: add it there or remove the class."],
        ),
        (["Crab"], ["missing-label: Sea_pen is in the label map without a picture: add some or remove the label."]),
    ],
)
def test_labels_are_held_against_the_label_map(labels: list[str], expected: list[str]) -> None:
    assert told(mismatches(labels, ["Crab", "Sea_pen"])) == expected


@given(st.lists(st.text(min_size=1, max_size=4), unique=True), st.lists(st.text(min_size=1, max_size=4), unique=True))
def test_no_disagreement_goes_untold(labels: list[str], label_map: list[str]) -> None:
    findings = list(mismatches(labels, label_map))
    assert bool(findings) == (set(labels) != set(label_map))
    assert len([f for f in findings if f.kind != "missing-label"]) == len(set(labels) - set(label_map))


def test_labels_that_differ_in_spelling_only_are_told() -> None:
    assert told(lookalikes(["Sea star", "Sea_Star", "Sea-pen"])) == [
        "alike-labels: Sea star and Sea_Star may be one class: give them one name, or names that differ more."
    ]
    assert list(lookalikes(["+", "-"])) == []


# --- All together -----------------------------------------------------------------------------------------------


def test_errors_come_before_warnings_and_the_order_is_that_of_the_kinds() -> None:
    manifest = rows("a.jpg x crab", "b.jpg x crab", "c.jpg y pen", "d.jpg y crab")
    found = [finding.kind for finding in check(manifest, unlike(manifest), labels=["crab"])]
    assert found == sorted(found, key=list(KINDS).index)
    assert [KINDS[kind].severity for kind in found] == sorted(KINDS[kind].severity for kind in found)
    assert list(KINDS.values()) == sorted(KINDS.values(), key=lambda kind: kind.severity)


@pytest.mark.parametrize(
    ("names", "words"),
    [(["a"], "a"), (["a", "b"], "a and b"), (list("abcd"), "a, b, c and d"), (list("abcdef"), "a, b, c, d and 2 more")],
)
def test_lists_are_told_in_words_and_cut(names: list[str], words: str) -> None:
    assert in_words(names) == words
