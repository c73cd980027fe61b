"""Export a model that needs no photos to where replicas watch. TensorFlow is imported only when there is one to export.

Both are EfficientNet-Lite0 as trained on ImageNet: the demo carries its probabilities over to the names of the label
map (`kin`), everyday answers with ImageNet's own thousand names.
"""

from pathlib import Path
from typing import NamedTuple

from gateway.imaging import fingerprint
from gateway.labels import Description, LabelMap, Preprocessing
from training import versions
from training.console import Notify
from training.data.label_map import read_label_map
from training.demo import kin
from training.demo.samples import cloth, starfish
from training.learn import weights
from training.release.samples import sample

HONESTY = "Names by family resemblance; no photo of these species taught it; train it on yours."
SURE_AT = 0.81
"""A jellyfish may be a salp: of its probability Cnidaria gets 0.8 at most, so 0.81 never calls a salp a cnidarian."""
FAMILIAR_AT = 0.5
"""The animal is more probably a marine invertebrate than not."""
EVERYDAY_SURE_AT = 0.8


class Ready(NamedTuple):
    """What is exported: its description, and what carries ImageNet's classes over to its labels."""

    description: Description
    shares: kin.Shares | None


def provide(base: Path, *, everyday: bool = False, force: bool = False, notify: Notify) -> Path | None:
    """Export a new version under `base` (`models/NAME`), unless it has one already.

    Raises:
        TrainingError: the weights are not installed, or are damaged.
    """
    found = versions.present(base)
    if found and not force:
        notify(f"{base} already holds version {found[-1]}: nothing to do. --force adds this model as a newer one.")
        return None
    ready = everyday_names() if everyday else demo()
    notify("Starting TensorFlow")
    from training.learn import model as network
    from training.release.graph import write_version

    model = network.imagenet_classifier()
    notify("Writing the version, then comparing its answers with Keras")
    path = write_version(model, ready.description, base, shares=ready.shares)
    notify(f"{path} is ready: {ready.description.title}. {ready.description.summary}")
    return path


def demo() -> Ready:
    """The 137 names of the label map, by kinship."""
    label_map = read_label_map(kin.TAXA)
    shares = kin.matrix(weights.imagenet_names(), label_map, kin.read_kin())
    told = _description(
        label_map,
        title="Specimen demo",
        summary=HONESTY,
        demo=True,
        exhaustive=False,
        sure_at=SURE_AT,
        familiar_at=FAMILIAR_AT,
        samples=[sample("Starfish (drawn)", starfish()), sample("Cloth (drawn)", cloth())],
    )
    return Ready(told, shares)


def everyday_names() -> Ready:
    """ImageNet's thousand names."""
    label_map = LabelMap(labels=weights.imagenet_names())
    told = _description(
        label_map,
        title="Everyday things",
        summary="It names 1,000 kinds of everyday things, animals and plants, as ImageNet does.",
        sure_at=EVERYDAY_SURE_AT,
    )
    return Ready(told, None)


def _description(label_map: LabelMap, **facts: object) -> Description:
    data = {"kind": "ImageNet", "weights": weights.source()}
    return Description.model_validate(
        {
            **label_map.model_dump(),
            "preprocessing": Preprocessing(fingerprint=fingerprint()),
            "training_data": data,
            **facts,
        }
    )
