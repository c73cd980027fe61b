"""The description of the pipeline for those who have DVC says what the verbs understand."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.training import data_sets
from training.cli import app
from training.learn import runs

ROOT = Path(__file__).parents[2]
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def filled(text: str) -> str:
    """As DVC fills it: a mapping becomes options."""

    def value(match: re.Match[str]) -> str:
        found = PARAMS[match[1]]
        if isinstance(found, dict):
            return " ".join(f"--{name} {shlex.quote(str(given))}" for name, given in found.items())
        return str(found)

    return re.sub(r"\$\{(\w+)\}", value, text)


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_is_a_command_that_its_verb_understands(stage: str) -> None:
    python, option, package, verb, *words = shlex.split(filled(STAGES[stage]["cmd"]))
    assert (python, option, package, verb) == ("python", "-m", "training", stage)
    command: Any = typer.main.get_command(app)
    command.commands[verb].make_context(verb, words)  # raises where it does not understand a word


def test_each_stage_depends_on_what_is_there_or_was_made_before() -> None:
    made: set[str] = set()
    for stage in STAGES.values():
        for needed in stage["deps"]:
            assert filled(needed) in made or needed == "${data}" or (ROOT / needed).exists(), needed
        outs = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
        made |= {filled(out if isinstance(out, str) else next(iter(out))) for out in outs}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("dvc"), reason="needs DVC: pip install dvc")
def test_dvc_makes_a_run_and_knows_when_there_is_nothing_to_do(tmp_path: Path) -> None:
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("training", "gateway"):
        shutil.copytree(ROOT / name, tmp_path / name)
    small = {"weights": "none", "width": 0.1, "sizes": "32", "epochs": "1", "rates": "1e-3"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**PARAMS, "train": small}))
    data_sets.clean(tmp_path / PARAMS["data"], per_class=8)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def dvc(*words: str) -> str:
        environment = os.environ | {"PATH": path}
        ended = subprocess.run(
            ["dvc", *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    dvc("init", "--no-scm", "--quiet")
    assert [line.split()[0] for line in dvc("stage", "list").splitlines()] == list(STAGES)
    dvc("repro", "evaluate")
    assert runs.load(tmp_path / PARAMS["run"]).finished
    assert "didn't change, skipping" in dvc("repro", "evaluate")
    (tmp_path / PARAMS["data"] / "Jelly" / "7.jpg").unlink()
    dvc("repro", "train")
    assert runs.load(tmp_path / PARAMS["run"]).data.pictures == 23
