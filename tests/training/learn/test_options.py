import sys
from pathlib import Path
from typing import Any

import pytest

from training.errors import DataSetError
from training.learn import weights as sources
from training.learn.options import Phase, options, out_of_patience

DATA = Path("photos")


def told(**given: Any) -> list[tuple[Any, ...]]:
    phases = options(data=DATA, **given).phases
    return [(phase.name, phase.side_px, phase.epochs, phase.frozen, phase.norms_learn) for phase in phases]


def test_with_weights_at_hand_the_head_learns_first_and_batch_norm_stays() -> None:
    assert told() == [("1: head", 224, 10, True, False), ("2: fine-tuning", 224, 20, False, False)]


def test_folders_that_are_allowed_are_recorded_for_any_working_directory() -> None:
    assert options(data=DATA, also=[Path("store")]).also == (Path.cwd() / "store",)


def test_from_nothing_the_pictures_grow() -> None:
    assert told(weights="none") == [
        ("1: 56 px", 56, 20, False, True),
        ("2: 112 px", 112, 6, False, True),
        ("3: 224 px", 224, 2, False, True),
    ]


def test_one_list_says_how_many_phases_there_are() -> None:
    assert [epochs for _, _, epochs, _, _ in told(weights="none", epochs=(3, 0.5))] == [3, 0.5]
    assert [side for _, side, *_ in told(weights="none", epochs=(3, 0.5))] == [112, 224]
    assert [side for _, side, *_ in told(epochs=(1, 1, 1))] == [224, 224, 224]


# --- Backbones --------------------------------------------------------------------------------------------------


@pytest.fixture
def uninstalled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, sources.LITE0.place.partition("/")[0], None)


@pytest.mark.skipif(not sources.installed(), reason="needs the extra 'pretrained': make setup")
def test_the_installed_weights_are_the_default() -> None:
    assert options(data=DATA).backbone == "efficientnet_lite0"


@pytest.mark.usefixtures("uninstalled")
def test_without_installed_weights_the_default_is_mobilenet_with_keras_weights() -> None:
    chosen = options(data=DATA)
    assert (chosen.backbone, chosen.weights, chosen.width) == ("mobilenet_v2", "imagenet", 1.0)


@pytest.mark.parametrize("given", [{"weights": "none"}, {"weights": "body.h5"}, {"width": 0.35}])
def test_other_weights_or_a_width_choose_mobilenet(given: dict[str, Any]) -> None:
    assert options(data=DATA, **given).backbone == "mobilenet_v2"


@pytest.mark.parametrize("weights", ["imagenet", "none", "body.h5"])
def test_a_named_backbone_stays(weights: str) -> None:
    for backbone in ("efficientnet_lite0", "mobilenet_v2"):
        assert options(data=DATA, backbone=backbone, weights=weights).backbone == backbone


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"epochs": (1, 2), "rates": (1e-3,)}, "as many of each"),
        ({"sizes": (100,)}, "sizes must be among 32, 56, 112, 224"),
        ({"epochs": (0,)}, "above 0"),
        ({"val_share": 0.0}, "--val-share: "),
        ({"precision": "float8"}, "--precision: "),
        ({"backbone": "resnet"}, "--backbone: "),
        ({"backbone": "efficientnet_lite0", "width": 0.5}, "--width is an option of mobilenet_v2"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataSetError, match=sentence):
        options(data=DATA, **given)


def test_the_size_of_the_last_phase_stays() -> None:
    assert options(data=DATA).look_px == 224
    assert options(data=DATA, sizes=(32, 56), weights="none").look_px == 56


# --- Rates and patience -----------------------------------------------------------------------------------------


def phase(rate: float) -> Phase:
    return Phase(name="1", side_px=224, epochs=1, rate=rate)


def test_the_rate_rises_then_falls_to_a_hundredth() -> None:
    rates = [phase(1.0).rate_at(step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.01)


def test_one_step_is_learnt_at_the_full_rate() -> None:
    assert phase(0.5).rate_at(0, 1) == 0.5


@pytest.mark.parametrize(
    ("losses", "ended"),
    [([1.0], False), ([1.0, 2.0, 3.0], True), ([1.0, 2.0, 0.5], False), ([3.0, 1.0, 1.0, 1.0], True)],
)
def test_patience_ends_after_so_many_epochs_without_a_better_one(losses: list[float], ended: bool) -> None:
    assert out_of_patience(losses, 2) is ended
