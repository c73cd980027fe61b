"""Promote and rollback on folders alone; that replicas follow is shown in `test_pipeline`."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.imaging import fingerprint
from gateway.labels import Description, Preprocessing
from training import versions
from training.cli import app
from training.errors import ReleaseError
from training.release import promotion, provenance


def put(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / str(number) / "variables").mkdir(parents=True)
        (folder / str(number) / "saved_model.pb").write_text(f"graph of {number}")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Versions 1 to 3 exported, none served."""
    base = tmp_path / "models/shells"
    put(promotion.store_of(base), 1, 2, 3)
    return base


def served(base: Path) -> list[int]:
    return versions.present(base)


def kept(base: Path) -> list[int]:
    return versions.present(promotion.store_of(base))


def test_the_newest_export_is_promoted_unless_one_is_named(base: Path) -> None:
    assert promotion.promote(base, 1).before is None
    release = promotion.promote(base)
    assert (release.action, release.version, release.before) == ("promote", 3, 1)
    assert served(base) == [1, 3]
    assert (base / "3/saved_model.pb").read_text() == "graph of 3"
    assert (base / "3/variables").is_dir()


def test_promoting_an_older_version_takes_the_newer_ones_out_of_the_served_folder(base: Path) -> None:
    promotion.promote(base, 3)
    promotion.promote(base, 2)
    assert served(base) == [2]
    assert kept(base) == [1, 2, 3]


def test_rollback_returns_to_the_version_before_and_further_back_each_time(base: Path) -> None:
    for number in (1, 2, 3):
        promotion.promote(base, number)
    assert promotion.rollback(base).version == 2
    assert promotion.rollback(base).version == 1
    assert served(base) == [1]
    with pytest.raises(ReleaseError, match="no older version to return to"):
        promotion.rollback(base)


def test_a_rollback_with_nothing_to_return_to_advises_a_command_that_works(base: Path) -> None:
    promotion.promote(base, 2)
    rollback = ["rollback", "--models", str(base.parent), "--name", base.name]
    refused = CliRunner().invoke(app, rollback).exception
    assert isinstance(refused, ReleaseError)
    assert "give one that `history` lists, as in `rollback 1`" in str(refused)
    assert CliRunner().invoke(app, [*rollback, "1"]).exit_code == 0
    assert promotion.serving(base) == 1


def test_a_rollback_where_nothing_serves_advises_to_promote(base: Path) -> None:
    with pytest.raises(ReleaseError, match="holds no version that serves: promote one first"):
        promotion.rollback(base, 1)


def test_a_version_rolled_back_can_be_promoted_again(base: Path) -> None:
    promotion.promote(base, 1)
    promotion.promote(base, 2)
    promotion.rollback(base)
    assert promotion.promote(base, 2).version == promotion.serving(base) == 2


def test_what_never_was_in_the_store_is_kept_there_when_it_leaves(base: Path) -> None:
    put(base, 5, 9)
    promotion.rollback(base)
    assert (served(base), kept(base)) == ([5], [1, 2, 3, 9])


def test_rollback_may_name_a_version_of_the_store(base: Path) -> None:
    promotion.promote(base, 3)
    assert promotion.rollback(base, 1).before == 3
    assert served(base) == [1]


def test_the_served_folder_is_never_without_a_version(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    promotion.promote(base, 3)
    seen: list[list[int]] = []
    real = versions.remove

    def watched(version: Path) -> None:
        seen.append(served(base))
        real(version)
        seen.append(served(base))

    monkeypatch.setattr(versions, "remove", watched)
    promotion.promote(base, 1)
    assert seen == [[1, 3], [1]]


@pytest.mark.parametrize(
    ("action", "version", "sentence"),
    [
        (promotion.promote, 2, "serves already"),
        (promotion.promote, 7, "no version 7 of shells"),
        (promotion.rollback, 7, "not older than 2"),
        (promotion.rollback, 0, "no version 0 of shells"),
    ],
)
def test_what_cannot_be_released_is_told_and_nothing_changes(
    base: Path, action: object, version: int, sentence: str
) -> None:
    promotion.promote(base, 2)
    before = (served(base), kept(base), promotion.releases(base))
    assert callable(action)
    with pytest.raises(ReleaseError, match=sentence):
        action(base, version)
    assert (served(base), kept(base), promotion.releases(base)) == before


def test_without_an_export_there_is_nothing_to_promote(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="export one first"):
        promotion.promote(tmp_path / "models/shells")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReleaseError, match="cannot be written: give another folder with --models"):
        promotion.promote(tmp_path / "file/shells")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_the_shell_tells_what_serves_and_what_there_is(base: Path) -> None:
    def said(*words: str) -> list[str]:
        answer = CliRunner().invoke(app, [*words, "--models", str(base.parent), "--name", base.name])
        assert answer.exit_code == 0, answer.output
        return [" ".join(line.split()) for line in answer.stdout.splitlines()]

    assert said("promote", "2") == ["Version 2 is the one to serve."]
    assert said("promote") == ["Version 3 is the one to serve; before: 2."]
    assert said("rollback") == ["Version 2 is the one to serve; before: 3."]
    since = promotion.releases(base)[-1].at
    assert said("history")[1:3] == [
        f"3 exported - - - - - - {promotion.releases(base)[1].at}",
        f"2 serving - - - - - - {since}",
    ]
    assert CliRunner().invoke(app, ["history", "--models", str(base)]).stdout.endswith("has no versions yet.\n")


def test_a_version_on_another_file_system_is_copied(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    promotion.promote(base, 3)
    assert (base / "3/saved_model.pb").stat().st_nlink == 1


def test_a_new_version_takes_no_number_that_any_version_has(base: Path) -> None:
    put(base, 4)
    assert promotion.free_number(base, 2) == 5
    assert promotion.free_number(base, 17) == 17


def test_history_tells_every_version_with_where_it_comes_from_and_when_it_served(base: Path) -> None:
    described = Description(
        title="Shells", labels=("a", "b"), preprocessing=Preprocessing(fingerprint=fingerprint()), metrics={"top1": 0.9}
    )
    origin = provenance.Provenance(
        exported_at="2026-11-23T06:00:00+00:00", seed=7, gate="passed", description=described
    )
    provenance.write(promotion.store_of(base) / "3", origin)
    promotion.promote(base, 2)
    promotion.promote(base, 3)
    promotion.rollback(base)
    told = promotion.history(base)
    assert [(known.version, known.state) for known in told] == [(3, "exported"), (2, "serving"), (1, "exported")]
    assert told[0].provenance == origin
    assert [release.action for release in told[1].releases] == ["promote", "rollback"]
    assert told[2].provenance is None


def test_a_damaged_log_is_told_in_a_sentence(base: Path) -> None:
    (promotion.store_of(base) / promotion.LOG).write_text("{")
    with pytest.raises(ReleaseError, match="is damaged: move it away"):
        promotion.history(base)
