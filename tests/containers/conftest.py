"""A clean checkout on a real Docker Engine. What this starts, it stops; images stay, as the builder's cache."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.containers.engine import PROJECT, Checkout, docker, documented
from tests.documents import ROOT
from tests.serving.servers import free_port

BASE = "python:3.11-slim-bookworm"
STANDIN = "specimen/standin"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test in this folder needs the engine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.docker)


@pytest.fixture(scope="session")
def engine() -> None:
    """Skip if there is no engine, or if it is not set aside for tests."""
    info = (
        subprocess.run(
            ["docker", "info", "--format", "{{.Swarm.LocalNodeState}}"], capture_output=True, text=True, check=False
        )
        if shutil.which("docker")
        else None
    )
    if info is None or info.returncode != 0:
        pytest.skip("no Docker Engine answers")
    if info.stdout.strip() != "inactive":
        pytest.skip("this engine is part of a Swarm; the tests would disturb it")
    if not _has_compose():
        pytest.skip("neither `docker compose` nor `docker-compose` is installed")
    if not _has_base():
        pytest.skip(f"{BASE} is not here and cannot be pulled or made")


def _has_compose() -> bool:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return plugin.returncode == 0 or shutil.which("docker-compose") is not None


def _has_base() -> bool:
    here = subprocess.run(["docker", "image", "inspect", BASE], capture_output=True, check=False).returncode == 0
    if here or subprocess.run(["docker", "pull", "-q", BASE], capture_output=True, check=False).returncode == 0:
        return True
    maker = SHARED.parent / "tools/base-image"
    return maker.exists() and subprocess.run([str(maker), BASE], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def checkout(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """What a clone of this working tree holds, and nothing else: no models, no environment."""
    path = tmp_path_factory.mktemp("clone") / "specimen"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, path / name)
    for folder in (path, *path.parents[:2]):
        folder.chmod(0o755)  # containers that are not root read what is mounted from here
    variables = {
        "DOCKER_BUILDKIT": "0",
        "COMPOSE_PROJECT_NAME": PROJECT,
        "SERVING_IMAGE": STANDIN,
        "GATEWAY_PUBLISHED_PORT": str(free_port()),
        "JUPYTER_PORT": str(free_port()),
        "JUPYTER_TOKEN": "a-token-for-the-tests",
    }
    return Checkout(path, variables)


@pytest.fixture(scope="session")
def standin(checkout: Checkout) -> str:
    """The image that stands in for TensorFlow Serving's own."""
    checkout.sh(documented("docker build -f serving/standin.Dockerfile -t specimen/standin ."))
    return STANDIN


@pytest.fixture
def removed() -> Iterator[list[str]]:
    """Containers to remove at the end of a test, by name."""
    names: list[str] = []
    yield names
    for name in names:
        docker("rm", "--force", "--volumes", name)
