"""What a test has seen of a fault, for the table in docs/faults.md."""

import json
import os
from pathlib import Path

from tests.faults.catalogue import ROWS


def record(row: str, figure: str, test: str = "") -> None:
    """Append one line of JSON to the file that FAULTS_REPORT names; without it, do nothing.

    Call it last, when every assertion of the test has held.

    Args:
        row: of the catalogue.
        figure: what was measured, in a few words.
        test: file::name of the test; the one that runs, where left out.
    """
    assert row in ROWS, f"the catalogue has no row {row}"
    running = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0].partition("[")[0]
    if report := os.environ.get("FAULTS_REPORT"):
        Path(report).parent.mkdir(parents=True, exist_ok=True)
        with Path(report).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"row": row, "figure": figure, "test": test or running}) + "\n")
