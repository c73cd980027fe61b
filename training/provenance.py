"""Where a version comes from, told inside it: a JSON file in its `assets.extra/`, readable without TensorFlow.

Replicas ignore the file; clients read the same facts through `describe`, which is inside the graph. What only the
people who release a model ask (was its gate passed, was it forced, which run) stands here alone.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.labels import Description

FILE = "assets.extra/provenance.json"

GateState = Literal["passed", "failed", "none"]


class Provenance(BaseModel):
    """What is known of one exported version."""

    model_config = ConfigDict(extra="allow", frozen=True)

    exported_at: str
    """ISO 8601, UTC."""
    made_from: str = ""
    """The run's folder or the model file, by its name."""
    model_digest: str = ""
    """`sha256:` of the Keras file."""
    gate: GateState = "none"
    forced: bool = False
    """True: exported although its gate was not passed."""
    seed: int | None = None
    description: Description


def write(version: Path, provenance: Provenance) -> None:
    file = version / FILE
    file.parent.mkdir(exist_ok=True)
    file.write_text(provenance.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read(version: Path) -> Provenance | None:
    """None for a version that does not tell: somebody else's, or one of an older export."""
    try:
        return Provenance.model_validate_json((version / FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None
