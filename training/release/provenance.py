"""The origin of a version, in a JSON file inside it, `assets.extra/provenance.json`; read without TensorFlow.

Replicas ignore the file. Clients read most of the same facts through the signature `describe`, which is in the graph.
What matters only for a release is here alone: was the gate passed, was the export forced, which run was it.
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
    """Name of the run's folder or of the model file."""
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
    """None for a version without a readable file: one of another project, or of an older export."""
    try:
        return Provenance.model_validate_json((version / FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None
