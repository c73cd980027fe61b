"""`make release MODEL=models/my_model`: build the serving image of one model version, tagged with its number.

MODEL is a version (`models/my_model/1602685044`) or a model, whose newest version is the promoted one. It must be in
this checkout's `models/`, because the builder sees only that folder.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from training import versions

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "specimen/serving"


def chosen(model: Path) -> Path:
    """The version directory that MODEL names.

    Raises:
        LookupError: there is none. The message is for the operator.
    """
    path = model.resolve()
    if not path.name.isdecimal():
        if not (found := versions.present(path)):
            raise LookupError(f"{model} contains no version: give models/NAME or models/NAME/VERSION")
        path /= str(found[-1])
    if not (path / "saved_model.pb").is_file():
        raise LookupError(f"{path} is not a SavedModel: it has no saved_model.pb")
    if path.parents[1] != ROOT / "models":
        raise LookupError(f"{path} is not in {ROOT / 'models'}, which is all that the builder sees: copy it there")
    return path


def command(version: Path, repository: str, *, revision: str) -> list[str]:
    """The command that builds the image. SERVING_IMAGE and PYTHON_IMAGE are taken from the environment if set."""
    arguments = {"MODEL": version.parent.name, "MODEL_VERSION": version.name}
    arguments |= {name: os.environ[name] for name in ("SERVING_IMAGE", "PYTHON_IMAGE") if os.environ.get(name)}
    given = [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
    label = ["--label", f"org.opencontainers.image.revision={revision}"]
    return ["docker", "build", "-f", "serving/Dockerfile", "-t", f"{repository}:{version.name}", *label, *given, "."]


def _revision() -> str:
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    return asked.stdout.strip() or "unknown"


def main() -> NoReturn:
    if len(sys.argv) != 2 or not sys.argv[1]:
        sys.exit("release: no model given: run make release MODEL=models/my_model")
    repository = os.environ.get("MODEL_REPOSITORY") or REPOSITORY
    try:
        version = chosen(Path(sys.argv[1]))
    except LookupError as error:
        sys.exit(f"release: {error}")
    built = subprocess.run(command(version, repository, revision=_revision()), cwd=ROOT, check=False)
    if built.returncode == 0:
        print(f"{repository}:{version.name} is ready")  # noqa: T201
    sys.exit(built.returncode)


if __name__ == "__main__":
    main()
