"""The models of the recorded pairs, laid out as the recorded server saw them.

`python -m tests.contract.models FOLDER` writes them with `models.config`, to ask a real server the same again.
"""

import shutil
import sys
from pathlib import Path

from tests.contract.half_plus_two import write_half_plus_two

CORPUS = Path(__file__).parent / "corpus"


def lay_out(folder: Path) -> Path:
    """Writes `folder`/models.config and `folder`/models/NAME/VERSION; returns `folder`/models."""
    models = folder / "models"
    shutil.copytree(CORPUS / "saved_models", models)
    shutil.copytree(models / "toy", models / "slowload", dirs_exist_ok=True)  # beside its warm-up of some seconds
    write_half_plus_two(models / "half_plus_two/00000123")
    (models / "broken/1").mkdir(parents=True)
    (models / "broken/1/saved_model.pb").write_bytes(b"garbage")
    shutil.copy(CORPUS / "models.config", folder)
    return models


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
