"""schemathesis checks the running line against the OpenAPI document."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.line import Line
from tests.line.conftest import ROOT

pytestmark = pytest.mark.slow


def test_schemathesis_finds_no_failure(line: Line, tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("schemathesis"))
    command = [program, "run", f"http://127.0.0.1:{line.port}/openapi.json", "--max-examples", "25", "--seed", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-8000:]
