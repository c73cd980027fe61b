"""What `--help` shows; the verbs themselves are tested with the rooms that they call."""

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from training.cli import app
from training.learn.options import Options

VERBS = (
    "validate",
    "train",
    "evaluate",
    "gate",
    "compare",
    "export",
    "promote",
    "rollback",
    "history",
    "pipeline",
    "demo",
)
TRAINING_OPTIONS = [f"--{name}".replace("_", "-") for name in Options.model_fields if name != "data"]


def help_of(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)


@pytest.mark.parametrize("verb", ["train", "pipeline"])
@pytest.mark.parametrize("option", TRAINING_OPTIONS)
def test_every_option_of_a_run_is_shown_with_its_meaning(verb: str, option: str) -> None:
    field = Options.model_fields[option[2:].replace("-", "_")]
    assert field.description
    (line,) = (line for line in help_of(verb).splitlines() if re.match(rf"│ +{option} ", line))
    assert field.description.split()[0] in line


def test_every_verb_is_listed_in_the_order_of_a_models_life() -> None:
    listed = re.findall(r"^│ (\w+)  ", help_of(), flags=re.MULTILINE)
    assert listed[listed.index("validate") :] == list(VERBS)


def test_help_imports_no_tensorflow() -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from training.cli import app\n"
        f"for verb in {VERBS}: assert CliRunner().invoke(app, [verb, '--help']).exit_code == 0\n"
        "assert not {'tensorflow', 'keras', 'httpx', 'fastapi', 'matplotlib'} & set(sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
