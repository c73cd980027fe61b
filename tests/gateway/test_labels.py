"""Labels with their names, and groups."""

import json

import pytest
from pydantic import ValidationError

from gateway.labels import MAX_LANGUAGES, MAX_NAMES_BYTES, Description, LabelMap, Preprocessing, plain_name

OLD = {"title": "t", "labels": ["sea_star", "crab"], "preprocessing": {"fingerprint": "sha256:1"}}
"""A description from before there were display names."""


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Actiniaria", "Actiniaria"),
        ("Nassarius speciosus", "Nassarius speciosus"),
        ("Ophiura_costata_costata", "Ophiura costata costata"),
        ("Aequorea_spp", "Aequorea spp."),
        ("Salpa_spp_", "Salpa spp."),
        ("Armina_sp_", "Armina sp."),
        ("Pasiphaea_sp._1", "Pasiphaea sp. 1"),
        ("Flabellum_(Ulocyathus)_messum", "Flabellum (Ulocyathus) messum"),
        ("Polychaete_tubes_(only)", "Polychaete tubes (only)"),
        ("Lamellaria_Coriocella_spp", "Lamellaria Coriocella spp."),
        ("spp", "spp"),
        ("sp_crab", "sp crab"),
        ("wasp_spider", "wasp spider"),
        ("__", "__"),
    ],
)
def test_a_label_has_a_name_for_people(label: str, name: str) -> None:
    assert plain_name(label) == name


def test_a_version_from_before_display_names_gets_them_by_the_rule() -> None:
    described = Description.model_validate(OLD)
    assert described.display_names == ("sea star", "crab")
    assert (described.groups, described.names, described.links) == ((), {}, ())


def test_a_description_reads_back_as_it_was_written_after_its_names_were_used() -> None:
    described = Description.model_validate(OLD | {"names": {"de": ["Seestern", ""]}, "of_tomorrow": 1})
    assert (described.shown["de"], described.languages["de"]) == (("Seestern", "crab"), "de")
    text = described.model_dump_json()
    assert Description.model_validate_json(text) == described
    assert json.loads(text).keys() >= {"of_tomorrow", "names"}
    assert not json.loads(text).keys() & {"shown", "languages"}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"display_names": ["one"]}, "display_names has 1 entries for 2 labels"),
        ({"groups": ["A", "B", "C"]}, "groups has 3 entries for 2 labels"),
        ({"links": ["https://a"]}, "links has 1 entries for 2 labels"),
        ({"names": {"de": []}}, "names of de has 0 entries for 2 labels"),
        ({"names": {"de\r\nX": ["", ""]}}, "names must have language tags such as de or pt-BR, each once"),
        ({"names": {"de": ["", ""], "DE": ["", ""]}}, "each once"),
        ({"names": {f"a{n:07}": ["", ""] for n in range(MAX_LANGUAGES + 1)}}, "at most 64 items"),
        ({"groups": ["A//B", ""]}, "the group 'A//B' has an empty step"),
        ({"groups": ["/".join("a" * 33), ""]}, "has more than 32 steps: leave some out"),
        ({"groups": ["a/" * 200_000 + "a", ""]}, "has more than 32 steps"),
        ({"links": ["", "javascript:alert(1)"]}, "is no web address"),
        ({"display_names": ["x" * MAX_NAMES_BYTES, ""]}, "names, groups and links have 1,048,582 bytes"),
    ],
)
def test_a_replica_can_send_neither_a_wrong_label_map_nor_a_huge_one(more: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Description.model_validate(OLD | more)


def test_a_group_without_a_name_is_called_by_the_last_step_of_its_path() -> None:
    found = LabelMap(labels=("a", "b"), groups=("Sea_life/Crab_sp_", ""))
    assert (found.group_name("Sea_life/Crab_sp_"), found.group_name("Sea_life")) == ("Crab sp.", "Sea life")


def test_the_description_of_a_label_map_keeps_all_of_it() -> None:
    label_map = LabelMap(labels=("crab",), names={"de": ("Krabbe",)}, links=("https://example.org",))
    described = Description(title="t", preprocessing=Preprocessing(fingerprint="sha256:1"), **label_map.model_dump())
    assert {name: getattr(described, name) for name in LabelMap.model_fields} == label_map.model_dump()
