"""Whatever a document, docstring or comment of this repository cites can be opened by its reader.

Cited are files (`gateway/app.py`, `replicas/pool.py`, docs/deploy.md), modules (`gateway.imaging`), decisions (0003),
sections (docs/tensorflow-serving.md, "URLs") and places in a document ([Errors](#errors)).
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = ("gateway", "serving", "training", "tests")
FOLDERS = (*BLOCKS, "benchmarks", "deploy", "docs", "notebooks")
PUBLIC = ("tensorflow_serving/", "tensorflow/", "absl/")
"""Beginnings of paths in other repositories."""

PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)+\.\w+)`|\b(docs/[\w/-]+\.md)")
PYTHON_FILE = re.compile(r"`(\w+\.py)`")
MODULE = re.compile(rf"`((?:{'|'.join(BLOCKS)})\.[a-z_]\w*)")
DECISION = re.compile(r"decisions/(\d{4})|\bdecisions? (\d{4})|\((00\d\d)[),]")
SECTION = re.compile(r'(docs/[\w/-]+\.md), ("[^"]+"(?: and "[^"]+")*)')
PLACE = re.compile(r"\]\((?!https?:)([^)#\s]*#[^)]+)\)")
ABSENT = re.compile(
    r"\b(?:DESIGN|STYLE)\.md|\bspec section|\(spec [\d.]+|shared/(?!data)|(?<!RFC \d{4} )(?<!specification )§"
)
"""Documents that are not in the repository, and sections of documents that are not public."""


def texts() -> Iterator[Path]:
    """Every text of the repository that may cite something, except this file."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("*.yml"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    for folder in FOLDERS:
        found += [path for kind in ("*.py", "*.md", "*.y*ml", "*ockerfile") for path in (ROOT / folder).rglob(kind)]
    return (path for path in sorted(found) if path != Path(__file__) and not path.is_symlink())


def cited(pattern: re.Pattern[str]) -> Iterator[tuple[Path, str]]:
    """Each text with each of its citations: the first group that matched."""
    for path in texts():
        for match in pattern.finditer(read(path)):
            yield path, next((group for group in match.groups() if group), match[0])


@cache
def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def python_files() -> frozenset[str]:
    return frozenset(path.name for path in texts() if path.suffix == ".py")


@cache
def headings(document: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", read(document), re.MULTILINE)


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def is_of_this_repository(path: str) -> bool:
    """Neither of another repository nor an example, such as `models/my_model/1/saved_model.pb`."""
    return not path.startswith(PUBLIC) and (path.partition("/")[0] in FOLDERS or path.endswith(".py"))


def exists(path: str, cited_by: Path) -> bool:
    """From the root, from the citing text, or from the root of a block."""
    places = [ROOT, cited_by.parent, *(ROOT / block for block in BLOCKS)]
    return any((place / path).exists() for place in places)


def lines(absent: list[tuple[Path, str]]) -> str:
    return "\n" + "\n".join(f"{path.relative_to(ROOT)} cites {citation}" for path, citation in absent)


def test_every_cited_file_exists() -> None:
    paths = [(text, path) for text, path in cited(PATH) if is_of_this_repository(path)]
    absent = [(text, path) for text, path in paths if not exists(path, text)]
    absent += [(text, name) for text, name in cited(PYTHON_FILE) if name not in python_files()]
    assert len(paths) > 100
    assert not absent, lines(absent)


def test_every_cited_module_exists() -> None:
    paths = [(text, name, ROOT / name.replace(".", "/")) for text, name in cited(MODULE)]
    absent = [(text, name) for text, name, path in paths if not path.is_dir() and not path.with_suffix(".py").exists()]
    assert not absent, lines(absent)


def test_every_cited_decision_exists() -> None:
    known = {path.name[:4] for path in (ROOT / "docs/decisions").glob("*.md")}
    absent = [(text, f"decision {number}") for text, number in cited(DECISION) if number not in known]
    assert not absent, lines(absent)


def test_every_cited_section_exists() -> None:
    found = [(text, *match) for text in texts() for match in SECTION.findall(read(text))]
    titles = [(text, ROOT / document, title) for text, document, two in found for title in re.findall('"([^"]+)"', two)]
    absent = [
        (text, f'{document.name}, "{title}"') for text, document, title in titles if title not in headings(document)
    ]
    assert len(titles) > 20
    assert not absent, lines(absent)


def test_every_link_to_a_place_in_a_document_leads_there() -> None:
    absent = []
    for text, link in cited(PLACE):
        document, place = link.split("#")
        if place not in map(anchor, headings(text.parent / document if document else text)):
            absent.append((text, link))
    assert not absent, lines(absent)


def test_nothing_cites_a_document_that_its_reader_does_not_have() -> None:
    absent = list(cited(ABSENT))
    assert not absent, lines(absent)
