"""docs/faults.md shows every row of the catalogue, and its tests are there and assert something."""

import ast
import json
import re
from pathlib import Path

import pytest

from tests.documents import ROOT
from tests.faults.catalogue import NOT_OURS, ROWS
from tests.faults.document import DOCUMENT, Seen, already, read, written
from tests.faults.record import record


def functions(file: Path) -> dict[str, ast.AST]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_table_is_what_the_generator_would_write_of_its_own_figures() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == written(already(text)), "run make faults"


def test_a_row_that_counts_on_somebody_else_has_no_test() -> None:
    assert not set(NOT_OURS) & set(already(DOCUMENT.read_text(encoding="utf-8")))


def test_every_test_that_the_table_names_exists() -> None:
    named = re.findall(r"`(\w[\w/]*\.py)::(\w+)`", DOCUMENT.read_text(encoding="utf-8"))
    for file, name in named:
        assert name in functions(ROOT / "tests" / file), f"{file}::{name}"


def test_no_test_records_a_fault_without_having_asserted_something() -> None:
    recording = [file for file in (ROOT / "tests").rglob("test_*.py") if "import record\n" in file.read_text("utf-8")]
    for file in recording:
        for name, node in functions(file).items():
            calls = [n.func for n in ast.walk(node) if isinstance(n, ast.Call)]
            if any(isinstance(call, ast.Name) and call.id == "record" for call in calls) and file != Path(__file__):
                assert any(isinstance(n, ast.Assert) for n in ast.walk(node)), f"{file.name}::{name}"


def test_reports_are_merged_and_what_they_leave_out_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTS_REPORT", str(tmp_path / "new" / "edge.jsonl"))
    record("36", "one | line")
    record("36", "0 tasks", test="tests/faults/test_x.py::test_y")
    seen = read([tmp_path / "new" / "edge.jsonl", tmp_path / "missing.jsonl"])
    here = "`test_faults_document.py::test_reports_are_merged_and_what_they_leave_out_stays`"
    assert seen == {"36": Seen("one / line; 0 tasks", f"{here}, `faults/test_x.py::test_y`")}
    assert already(written({"1": Seen("fast", "`a`")} | seen)) == {"1": Seen("fast", "`a`")} | seen


def test_a_row_that_the_catalogue_lacks_cannot_be_recorded() -> None:
    with pytest.raises(AssertionError, match="no row 999"):
        record("999", json.dumps({}))


def test_the_catalogue_has_every_row_once() -> None:
    assert sorted(ROWS, key=lambda row: (int(row.rstrip("b")), row)) == list(ROWS)
    assert {row.rstrip("b") for row in ROWS} == set(map(str, range(1, 103)))
