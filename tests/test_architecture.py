"""docs/architecture.md, the map: it names files that exist, every package, and the path that an upload takes."""

import asyncio
import re
import tomllib

from tests.documents import ROOT
from tests.trace import traced

MAP = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
BLOCKS = ("gateway", "serving/standin", "training")
NAMED = set(re.findall(r"`((?!/)[\w.-]+/[\w./-]*)`", MAP)) | set(re.findall(r"`([\w-]+\.(?:py|md|yml|toml))`", MAP))
"""Every path in backticks. All start at the root of the repository."""


def section(title: str) -> str:
    """The text below a heading, up to the next heading of its level or above."""
    level, _, _ = title.partition(" ")
    (text,) = re.findall(rf"^{title}\n(.*?)(?=^#{{2,{len(level)}}} |\Z)", MAP, re.MULTILINE | re.DOTALL)
    return str(text)


def numbered(title: str) -> list[str]:
    """The first file of each item of the numbered list in a section, in order."""
    return re.findall(r"^\d+\. `([^`]+)`", section(title), re.MULTILINE)


def packages(block: str) -> set[str]:
    """The folders of a block that are Python packages, such as `gateway/http/`."""
    return {f"{init.parent.relative_to(ROOT)}/" for init in (ROOT / block).glob("*/__init__.py")}


def drawn(title: str) -> dict[str, list[str]]:
    """The drawings of layers: package -> its lines, from the top."""
    drawings = re.findall(r"^`([\w.]+)`:\n\n```text\n(.*?)\n```$", section(title), re.MULTILINE | re.DOTALL)
    return {package: lines.splitlines() for package, lines in drawings}


def contracts() -> dict[str, list[str]]:
    """The same from the `layers` contracts of import-linter."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layered = [contract for contract in project["tool"]["importlinter"]["contracts"] if contract["type"] == "layers"]
    return dict(map(_as_drawn, layered))


def _as_drawn(contract: dict[str, list[str]]) -> tuple[str, list[str]]:
    if "containers" in contract:
        return contract["containers"][0], contract["layers"]
    package = contract["layers"][0].partition(" | ")[0].rpartition(".")[0]
    return package, [layer.replace(f"{package}.", "") for layer in contract["layers"]]


def test_every_path_on_the_map_exists() -> None:
    assert len(NAMED) > 100
    assert sorted(path for path in NAMED if not (ROOT / path).exists()) == []


def test_every_name_on_the_map_is_in_its_file() -> None:
    named = re.findall(r"`([\w./-]+\.\w+)` \(`([\w.]+)`", MAP) + re.findall(r"`([\w./-]+\.py)`, `([\w.]+)`", MAP)
    named += [(file, name) for name, file in re.findall(r"`(\w+)` in `([\w./-]+\.\w+)`", MAP)]
    absent = [
        f"{name} in {file}"
        for file, name in named
        if name.rpartition(".")[2] not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert len(named) > 20
    assert absent == []


def test_every_package_is_on_the_map() -> None:
    assert packages("gateway") >= {"gateway/api/", "gateway/http/"}
    missing = {
        package
        for block in BLOCKS
        for package in packages(block)
        if not any(path.startswith(package) for path in NAMED)
    }
    assert missing == set()


def test_every_folder_with_code_is_on_the_map_and_in_the_readme() -> None:
    folders = {f"{path.parent.relative_to(ROOT)}/" for path in ROOT.glob("*/*.py")} | {"docs/"}
    readme = re.findall(r"^\| `(\w+/)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(folders - NAMED) == []
    assert sorted(folders - set(readme)) == []
    assert [folder for folder in readme if not (ROOT / folder).is_dir()] == []


def test_the_map_lists_the_files_of_an_upload_in_the_order_of_the_trace() -> None:
    passed = dict.fromkeys(f"gateway/{step.file}" for step in asyncio.run(traced()).steps)
    assert numbered("## One upload") == list(passed), "compare docs/architecture.md with what `make trace` prints"


def test_the_drawn_layers_are_those_that_the_linter_checks() -> None:
    assert drawn("## Layers") == contracts()
