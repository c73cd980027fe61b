"""The documents say what the code does."""

import re
import tomllib

import pytest

from gateway.app import VERSION
from gateway.settings import Settings
from tests.documents import DOCUMENTS, ROOT, with_table


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_generated_table_is_what_the_code_would_write(path: str) -> None:
    name, table = DOCUMENTS[path]
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text == with_table(text, name, table()), "run make fix"


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"`GATEWAY_{name.upper()}`" not in text] == []


def test_the_version_is_told_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION
    assert f"## {VERSION}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_oldest_and_the_newest_promised_python_are_tested() -> None:
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    oldest, newest = re.findall(
        r"^fast_tests_on 3\.(\d+)", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert promised == f">=3.{oldest},<3.{int(newest) + 1}"


def test_every_relative_link_leads_to_a_file() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_lock_file_names_no_package_host() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert "--index" not in lock
    assert "--find-links" not in lock


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named <= targets


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs/threat-model.md").read_text(encoding="utf-8"))
    assert len(named) > 10
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{name}"


def test_every_decision_has_a_status_and_a_line_in_the_index() -> None:
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    for decision in sorted(folder.glob("0*.md")):
        lines = decision.read_text(encoding="utf-8").splitlines()
        status = re.match(r"Status: (Accepted|Amended|Superseded)\b", lines[2])
        assert status, f"{decision.name}: its third line must be `Status: Accepted`, `Amended ...` or `Superseded ...`"
        beginning = f"| [{decision.name[:4]}]({decision.name}) |"
        row = next((row for row in index.splitlines() if row.startswith(beginning)), "")
        assert f"| {status[1]}" in row, f"docs/decisions/README.md must list {decision.name} as {status[1]}"
