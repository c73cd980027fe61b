import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from gateway.observe import logs

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Photos that lie beside the checkout where the product is developed; tests that need them skip elsewhere."""

settings.register_profile("steady", deadline=None, derandomize=True)  # noisy machines; the same examples every time
settings.load_profile("steady")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before anything imports TensorFlow
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


@pytest.fixture(autouse=True)
def _logs() -> None:
    """As in production, and onto the stream that pytest captures for this test."""
    logs.configure("json", "debug")


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def photos() -> list[Path]:
    """Six real photos, 15-39 KB JPEGs of about 512x342."""
    found = sorted((SHARED / "data/photos").glob("*.jpeg"))
    if not found:
        pytest.skip("no shared/data/photos beside this checkout")
    return found


@pytest.fixture(scope="session")
def foreign_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SavedModels that this project did not make, with what each answers to a grey picture."""
    folder = tmp_path_factory.mktemp("foreign")
    script = Path(__file__).with_name("line") / "foreign_models.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True, timeout=300)
    return folder
