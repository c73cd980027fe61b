"""The map in docs/training.md: the files that each verb passes."""

import re
import sys
from pathlib import Path
from types import FrameType

import pytest
from typer.testing import CliRunner

from tests.training import data_sets
from training.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/training.md").read_text(encoding="utf-8")
MAP = DOCUMENT.partition("\n## Map\n")[2].partition("\n## ")[0]
MOST_FILES = 18


def files(text: str) -> list[str]:
    return re.findall(r"`([a-z_/]+\.py)`", text)


def test_every_file_of_the_map_exists() -> None:
    assert len(files(MAP)) > 50
    assert [file for file in files(MAP) if not (ROOT / "training" / file).is_file()] == []


@pytest.mark.parametrize("room", [path for path in (ROOT / "training").iterdir() if path.name[0] not in "._"])
def test_every_room_is_on_the_map(room: Path) -> None:
    assert f"`{room.name}{'/' if room.is_dir() else ''}`" in MAP


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")  # its save
def test_a_training_passes_the_files_of_the_map_and_no_others(tmp_path: Path) -> None:
    import training.learn.loop  # noqa: F401 - before the trace, since an import runs functions, too

    passed: dict[str, None] = {}
    rooms = f"{ROOT / 'training'}/"

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(rooms) and code.co_name != "<module>":
            passed.setdefault(code.co_filename.removeprefix(rooms))

    photos = data_sets.clean(tmp_path / "photos")
    place = f"train {photos} --run {tmp_path / 'run'} --cache {tmp_path / 'cache'}"
    small = "--weights none --width 0.1 --sizes 32 --epochs 1 --batch 8"
    sys.setprofile(note)
    try:
        ended = CliRunner().invoke(app, f"{place} {small}".split())
    finally:
        sys.setprofile(None)
    assert ended.exit_code == 0, ended.output
    on_the_map = next(files(line) for line in MAP.replace("\n  ", " ").splitlines() if line.startswith("- `train`"))
    assert [file for file in passed if file not in ("cli/__init__.py", "console.py")] == on_the_map
    assert len(passed) <= MOST_FILES
