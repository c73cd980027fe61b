"""The notebooks run, are stored without outputs, and agree with the scripts that they are paired with."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.line import running
from tests import pictures
from training.release import promotion

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(notebook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return found


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(notebook: Path) -> None:
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    assert code
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None] == [], "run make fix"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_and_its_script_say_the_same(notebook: Path) -> None:
    import jupytext  # type: ignore[import-untyped]  # it has no types

    script = jupytext.read(notebook.with_suffix(".py"))
    paired = [(cell["cell_type"], cell["source"]) for cell in script.cells]
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in cells(notebook)] == paired, "run make fix"


def test_every_script_has_its_notebook() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(path.stem for path in (ROOT / "notebooks").glob("*.py"))


@pytest.mark.slow
def test_the_walk_runs_from_top_to_bottom_and_ends_with_an_answer_of_its_own_model(tmp_path: Path) -> None:
    from training.demo.untrained import export_untrained

    before = export_untrained(tmp_path / "models/walk", ["disc", "square", "triangle"], alpha=0.1)
    with running(tmp_path / "models", pictures.jpeg(), model_name="walk", embedded_replicas="1") as line:
        environment = os.environ | {
            "GATEWAY_URL": f"http://127.0.0.1:{line.port}",
            "MODELS_DIR": str(tmp_path / "models"),
            "MODEL_NAME": "walk",
            "TMPDIR": str(tmp_path),
        }
        notebook, executed = ROOT / "notebooks/from_photos_to_answers.ipynb", tmp_path / "executed.ipynb"
        script = Path(__file__).with_name("execute_notebook.py")
        command: list[str | Path] = [sys.executable, script, notebook, executed]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
    said = "".join(
        "".join(output.get("text", "")) for cell in cells(executed) for output in cell.get("outputs", ()) if output
    )
    version = promotion.serving(tmp_path / "models/walk")
    assert version != int(before.name)
    assert f"answered by version {version}:" in said
    assert f"{version} serving walk-" in said
