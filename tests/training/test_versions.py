import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from training import versions


def names(base: Path) -> list[str]:
    return sorted(child.name for child in base.iterdir())


def test_only_a_number_in_ascii_digits_names_a_version(tmp_path: Path) -> None:
    for name in ("7", "\u00b2", "\u0663", "exporting-8-1"):
        (tmp_path / name).mkdir()
    assert versions.present(tmp_path) == [7]


def test_a_version_appears_whole_when_it_is_finished(tmp_path: Path) -> None:
    with versions.adding(tmp_path / "m", 7) as new:
        (new.partial / "deep").mkdir(parents=True)
        (new.partial / "deep/file").write_text("whole")
        assert versions.present(tmp_path / "m") == []
    assert new.path == tmp_path / "m/7"
    assert (new.path / "deep/file").read_text() == "whole"
    assert names(tmp_path / "m") == ["7"]


def test_no_replica_takes_an_unfinished_version_for_one(tmp_path: Path) -> None:
    with versions.adding(tmp_path, 7) as new:
        new.partial.mkdir()
        assert not any(name.isdigit() for name in names(tmp_path))


def test_a_failed_version_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with versions.adding(tmp_path, 7) as new:
            new.partial.mkdir()
            raise ValueError("disk full")

    with pytest.raises(ValueError, match="disk full"):
        fail()
    assert names(tmp_path) == []


def test_a_killed_export_leaves_no_version(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from training import versions\n"
        "with versions.adding(Path(sys.argv[1]), 7) as new:\n"
        "    new.partial.mkdir(); (new.partial / 'saved_model.pb').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=root, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert versions.present(tmp_path) == []


def test_a_taken_number_gives_way_to_the_next_free_one(tmp_path: Path) -> None:
    for number in (7, 8):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "saved_model.pb").touch()
    with versions.adding(tmp_path, 7) as new:
        new.partial.mkdir()
    assert new.path.name == "9"


def test_the_number_is_the_time_of_the_export(tmp_path: Path) -> None:
    with versions.adding(tmp_path) as new:
        new.partial.mkdir()
    assert abs(int(new.path.name) - tmp_path.stat().st_mtime) < 60


def test_present_versions_are_numbers_oldest_first(tmp_path: Path) -> None:
    for name in ("100", "20", "exporting-3-1", "labels"):
        (tmp_path / name).mkdir()
    assert versions.present(tmp_path) == [20, 100]
