"""Records the result of a test of one fault, for the table in docs/faults.md."""

import json
import os
from pathlib import Path

from tests.faults.catalogue import ROWS


def record(row: str, figure: str, test: str = "") -> None:
    """Append one line of JSON to the file that FAULTS_REPORT names. Does nothing if FAULTS_REPORT is not set.

    Call it last, after every assertion of the test has passed.

    Args:
        row: number of the row in the catalogue.
        figure: the result, in a few words.
        test: file::name of the test; by default the running one.
    """
    assert row in ROWS, f"the catalogue has no row {row}"
    running = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0].partition("[")[0]
    if report := os.environ.get("FAULTS_REPORT"):
        Path(report).parent.mkdir(parents=True, exist_ok=True)
        with Path(report).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"row": row, "figure": figure, "test": test or running}) + "\n")
