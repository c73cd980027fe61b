"""The most probable labels, and the most specific statement that a threshold allows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.answers import Statement, Statements, most_probable
from gateway.labels import LabelMap

ANIMALS = LabelMap(
    labels=("king crab", "hermit crab", "prawn", "starfish", "plastic bag"),
    groups=("Arthropoda/Decapoda/Anomura", "Arthropoda/Decapoda/Anomura", "Arthropoda/Decapoda", "Echinodermata", ""),
)


def said(label_map: LabelMap, probabilities: list[float], sure_at: float = 0.9) -> str:
    """Name of the statement: a label or a path; "nothing" where there is none."""
    found = Statements(label_map).of(np.array(probabilities, np.float32), sure_at)
    if found is None:
        return "nothing"
    return found.group if found.index is None else label_map.labels[found.index]


@pytest.mark.parametrize(
    ("probabilities", "name"),
    [
        ([0.95, 0.02, 0.01, 0.01, 0.01], "king crab"),
        ([0.55, 0.38, 0.05, 0.01, 0.01], "Arthropoda/Decapoda/Anomura"),
        ([0.55, 0.20, 0.20, 0.03, 0.02], "Arthropoda/Decapoda"),
        ([0.30, 0.20, 0.20, 0.25, 0.05], "nothing"),
        ([0.02, 0.02, 0.01, 0.93, 0.02], "starfish"),
        ([0.02, 0.02, 0.01, 0.02, 0.93], "plastic bag"),
    ],
)
def test_the_most_specific_label_or_group_that_is_sure_enough_is_said(probabilities: list[float], name: str) -> None:
    assert said(ANIMALS, probabilities) == name


def test_a_statement_has_its_confidence_and_group() -> None:
    statements = Statements(ANIMALS)
    crab = statements.of(np.array([0.95, 0.02, 0.01, 0.01, 0.01], np.float32), 0.9)
    crabs = statements.of(np.array([0.55, 0.4, 0.03, 0.01, 0.01], np.float32), 0.9)
    assert crab == Statement("label", 0, "Arthropoda/Decapoda/Anomura", 0.95)
    assert crabs == Statement("group", None, "Arthropoda/Decapoda/Anomura", 0.95)


def test_a_confidence_equal_to_the_threshold_is_enough() -> None:
    assert said(ANIMALS, [0.5, 0.125, 0.125, 0.125, 0.125], sure_at=0.5) == "king crab"


def test_of_a_group_and_one_with_the_same_labels_the_longer_path_is_said() -> None:
    same = LabelMap(labels=("a", "b", "c"), groups=("A/B", "A/B", "C"))
    assert said(same, [0.5, 0.45, 0.05]) == "A/B"


def test_a_group_of_every_label_says_nothing() -> None:
    alike = LabelMap(labels=("a", "b", "c"), groups=("Animalia/A", "Animalia/A", "Animalia"))
    assert said(alike, [0.4, 0.3, 0.3]) == "nothing"
    assert said(alike, [0.5, 0.45, 0.05]) == "Animalia/A"


def test_a_group_is_found_wherever_its_labels_are_in_the_map() -> None:
    mixed = LabelMap(labels=("a", "b", "c", "d"), groups=("A", "B", "A", "A B"))
    assert said(mixed, [0.5, 0.02, 0.45, 0.03]) == "A"


def test_at_low_thresholds_specific_comes_before_probable_and_equals_are_said_in_label_order() -> None:
    assert said(ANIMALS, [0.05, 0.05, 0.05, 0.35, 0.5], sure_at=0.35) == "plastic bag"
    assert said(ANIMALS, [0.1, 0.1, 0.3, 0.25, 0.25], sure_at=0.0) == "prawn"
    assert said(ANIMALS, [0.4, 0.0, 0.0, 0.2, 0.4], sure_at=0.4) == "king crab"
    pairs = LabelMap(labels=("a", "b", "c", "d", "e"), groups=("B", "A", "B", "A", ""))
    assert said(pairs, [0.2, 0.2, 0.2, 0.2, 0.2], sure_at=0.4) == "B"
    assert said(pairs, [0.2, 0.22, 0.2, 0.22, 0.16], sure_at=0.4) == "A"
    deep = LabelMap(labels=("a", "b", "c", "d"), groups=("A/B", "A/B", "C", "C"))
    assert said(deep, [0.21, 0.21, 0.29, 0.29], sure_at=0.4) == "A/B"


def test_sums_that_rounding_lifts_over_one_are_shown_as_one() -> None:
    half = np.nextafter(np.float32(0.5), np.float32(1))
    found = Statements(LabelMap(labels=("a", "b", "c"), groups=("A", "A", ""))).of(np.array([half, half, 0]), 0.9)
    assert found is not None
    assert found.confidence == 1.0


PATHS = some.lists(some.sampled_from("ABC"), max_size=3).map("/".join)


@given(some.lists(PATHS, min_size=2, max_size=9), some.integers(0, 2**32), some.floats(0, 1))
def test_many_pictures_get_the_statements_that_each_gets_alone(groups: list[str], seed: int, sure_at: float) -> None:
    label_map = LabelMap(labels=tuple(map(str, range(len(groups)))), groups=tuple(groups))
    statements, chance = Statements(label_map), np.random.default_rng(seed)
    rows = chance.dirichlet(np.full(len(groups), 0.3), 8).astype(np.float32)
    truth = chance.integers(0, len(groups), 8)
    made = statements.made(rows, truth, [sure_at])
    alone = [statements.of(row, sure_at) for row in rows]
    assert made.sure[0].tolist() == [one is not None for one in alone]
    assert made.right[0].tolist() == [_right(one, groups, true) for one, true in zip(alone, truth, strict=True)]


def _right(statement: Statement | None, groups: list[str], truth: int) -> bool:
    if statement is None:
        return False
    if statement.index is not None:
        return statement.index == truth
    return f"{groups[truth]}/".startswith(f"{statement.group}/")


def test_the_most_probable_come_first_with_their_names_and_groups() -> None:
    label_map = LabelMap(
        labels=("sea_star", "crab", "cat"), groups=("E/A", "", "C"), names={"de": ("Seestern", "", "Katze")}
    )
    probabilities = np.array([0.2, 0.5, 0.3], np.float32)
    lines = [(one.label, one.display_name, one.index, one.group) for one in most_probable(probabilities, label_map, 3)]
    assert lines == [("crab", "crab", 1, None), ("cat", "cat", 2, "C"), ("sea_star", "sea star", 0, "E/A")]
    german = [(one.label, one.display_name) for one in most_probable(probabilities, label_map, 3, language="de")]
    assert german == [("crab", "crab"), ("cat", "Katze"), ("sea_star", "Seestern")]
