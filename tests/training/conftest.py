from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Exported(NamedTuple):
    """A toy version and the Keras model that it was made from."""

    model: Any
    path: Path


LABELS = ("crab", "jelly", "pen", "star", "worm")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    from training.demo import untrained
    from training.release.graph import write_version

    model = untrained.build(len(LABELS), alpha=0.1, seed=3)
    description = untrained.description(LABELS, temperature=1.7, metrics={"top1": 0.2})
    return Exported(model, write_version(model, description, tmp_path_factory.mktemp("models") / "toy"))
