"""Stand-ins that serve the models of the recorded pairs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.models import lay_out
from tests.contract.recorded import configuration
from tests.serving.servers import Server, running


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the base paths."""
    return lay_out(tmp_path_factory.mktemp("recorded"))


@pytest.fixture(scope="session")
def flags(models: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The flags of the recorded server, and monitoring."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "models.config").write_text(configuration(models))
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }")
    return [
        f"--model_config_file={folder / 'models.config'}",
        f"--monitoring_config_file={folder / 'monitoring.config'}",
        "--allow_version_labels_for_unavailable_models=true",
    ]


@pytest.fixture(scope="module")
def server(flags: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("plain"), *flags) as started:
        yield started
