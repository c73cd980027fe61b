import os
from pathlib import Path

import pytest

from tests.chaos import report
from tests.chaos.report import Report
from tests.chaos.run import Chaos

REPORT = pytest.StashKey[Report]()


@pytest.fixture
def chaos(request: pytest.FixtureRequest, tmp_path: Path) -> Chaos:
    """Runs scenarios. A test of `make chaos` adds to the report of the session; any other gets a report of its own."""
    measured = request.node.get_closest_marker("chaos") is not None
    return Chaos(tmp_path, request.config.stash.setdefault(REPORT, Report()) if measured else Report())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the report, and write it to the file that CHAOS_REPORT names."""
    told = config.stash.get(REPORT, None)
    if told is None:
        return
    terminalreporter.section("chaos")
    terminalreporter.write_line(told.table())
    if file := os.environ.get("CHAOS_REPORT"):
        report.write(Path(file), told.table())
