"""The whole line on real parts: the gateway as `make run` starts it, its model servers, the demo model."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.line import Line, running
from tests import drawings, pictures

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def demo_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the demo model in it, made as `make run` makes it."""
    return exported(tmp_path_factory.mktemp("models"))


def exported(models: Path, *options: str) -> Path:
    """The folder, with what `python -m training demo` has put there."""
    command = [sys.executable, "-m", "training", "demo", "--models", str(models), *options]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    return models


@pytest.fixture(scope="session")
def line(demo_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A running gateway with two embedded replicas."""
    log = tmp_path_factory.mktemp("line") / "gateway.log"
    with running(demo_models, pictures.jpeg(), log=log, log_format="json") as line:
        yield line
    assert "Traceback" not in log.read_text(encoding="utf-8")


@pytest.fixture
def client(line: Line) -> Iterator[httpx.Client]:
    with client_of(line) as client:
        yield client


def client_of(line: Line) -> httpx.Client:
    """Speaks to that gateway."""
    return httpx.Client(base_url=f"http://127.0.0.1:{line.port}", timeout=60)


@pytest.fixture(scope="session")
def uploads(photos: list[Path]) -> dict[str, bytes]:
    """Every shared photo, and drawn pictures of every tenth class."""
    drawn = {f"drawing of class {k}": drawings.encoded(k, 0) for k in range(0, 137, 10)}
    return {photo.name: photo.read_bytes() for photo in photos} | drawn
