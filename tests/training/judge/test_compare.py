"""What `compare` makes of answers; asking real models is in `test_sources`."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.training import data_sets
from training.errors import DataSetError, JudgementError
from training.judge import examples
from training.judge.compare import compare_models, write_comparison
from training.judge.comparison import Answers, difference_interval, mcnemar, measured
from training.judge.examples import Picture
from training.judge.sources.source import Facts, Outputs

FILES = ("1.jpg", "2.jpg", "3.jpg", "4.jpg")
TRUTH = ("crab", "pen", "crab", "pen")


def answers(name: str, labels: tuple[str, ...], *rows: tuple[float, ...]) -> Answers:
    return Answers(name, "", labels, np.array(rows, np.float32))


OLD = answers("old", ("crab", "pen"), (0.9, 0.1), (0.2, 0.8), (0.7, 0.3), (0.6, 0.4))
NEW = answers("new", ("pen", "crab"), (0.1, 0.9), (0.8, 0.2), (0.7, 0.3), (0.9, 0.1))


def test_labels_are_matched_by_name_whatever_their_order() -> None:
    comparison = measured(OLD, answers("new", ("pen", "crab"), *(row[::-1] for row in OLD.rows.tolist())), FILES, TRUTH)
    assert (comparison.agreement, comparison.largest_gap, comparison.flips) == (1.0, 0.0, [])
    assert comparison.verdict == "Both models give the same answer to every picture."


def test_what_flipped_is_told_with_the_broken_ones_first() -> None:
    comparison = measured(OLD, NEW, FILES, TRUTH)
    assert [(flip.file, flip.kind) for flip in comparison.flips] == [("3.jpg", "broken"), ("4.jpg", "fixed")]
    assert comparison.agreement == 0.5
    assert (comparison.old_top1, comparison.new_top1, comparison.difference) == (0.75, 0.75, 0)
    assert (comparison.only_old_right, comparison.only_new_right) == (1, 1)
    assert comparison.largest_gap == pytest.approx(0.5)
    assert comparison.verdict == "The difference in accuracy may be chance."


def test_classes_that_got_worse_are_told() -> None:
    comparison = measured(OLD, NEW, FILES, TRUTH)
    assert [(change.label, change.pictures, change.old_hits, change.new_hits) for change in comparison.worse] == [
        ("crab", 2, 2, 1)
    ]
    assert [change.label for change in comparison.classes] == ["crab", "pen"]


def test_a_label_that_one_model_does_not_know_is_told_and_counts_as_wrong() -> None:
    narrow = answers("old", ("crab", "star"), *[(0.9, 0.1)] * 4)
    comparison = measured(narrow, NEW, FILES, TRUTH)
    assert comparison.only_old_labels == ["star"]
    assert comparison.only_new_labels == ["pen"]
    assert comparison.old_top1 == 0.5


def test_mcnemars_test_is_the_exact_binomial_one() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 6) == pytest.approx(2 / 64)
    assert mcnemar(2, 10) == pytest.approx(0.0386, abs=1e-4)


def exact_mcnemar(won: int, lost: int) -> float:
    tail = sum(math.comb(won + lost, k) for k in range(min(won, lost) + 1))
    return float(min(1.0, 2 * tail / 2 ** (won + lost)))


def test_mcnemars_test_agrees_with_whole_numbers() -> None:
    counts = [*itertools.product(range(40), repeat=2), (300, 700), (512, 512), (0, 1000), (990, 1010)]
    for won, lost in counts:
        assert mcnemar(won, lost) == pytest.approx(exact_mcnemar(won, lost), rel=1e-9), (won, lost)


def test_mcnemars_test_adds_few_terms_however_many_pictures_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math, "comb", None)  # a number of n bits for each of n terms
    assert mcnemar(50_000_000, 50_010_000) == pytest.approx(math.erfc(10_000 / math.sqrt(2 * 100_010_000)), rel=1e-3)
    assert mcnemar(0, 100_000_000) == 0


def test_the_interval_of_the_difference_is_that_of_resampled_pictures() -> None:
    chance = np.random.default_rng(1)
    pictures = np.array([1] * 30 + [-1] * 10 + [0] * 60)
    means = [chance.choice(pictures, 100).mean() for _ in range(4000)]
    assert difference_interval(30, 10, 100) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.011)
    assert difference_interval(0, 0, 7) == (0, 0)


def test_a_difference_beyond_chance_is_said() -> None:
    truth = ["crab"] * 20
    bad = answers("old", ("crab", "pen"), *[(0.1, 0.9)] * 20)
    good = answers("new", ("crab", "pen"), *[(0.9, 0.1)] * 20)
    files = [f"{n}.jpg" for n in range(20)]
    assert measured(bad, good, files, truth).verdict == "The new model is better, by more than chance."
    assert measured(good, bad, files, truth).verdict == "The old model is better, by more than chance."


# --- On pictures ------------------------------------------------------------------------------------------------


class Brightness:
    """A source that names a picture by how bright it is; `turn` decides which label bright ones get."""

    def __init__(self, labels: tuple[str, ...], turn: int) -> None:
        self.facts = Facts("brightness", labels)
        self.turn = turn

    def ask(self, pictures: Sequence[Picture]) -> Outputs:
        best = [(int(picture.pixels.mean()) + self.turn) % len(self.facts.labels) for picture in pictures]
        return Outputs(np.eye(len(self.facts.labels))[best])

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_sets.clean(tmp_path_factory.mktemp("photos"))


def test_both_models_see_every_picture_and_the_report_shows_what_flipped(photos: Path, tmp_path: Path) -> None:
    labels = tuple(data_sets.CLASSES)
    pictures = examples.of(photos)
    seen: list[tuple[int, int]] = []
    comparison = compare_models(
        Brightness(labels, 0),
        Brightness(labels, 1),
        pictures,
        bar=lambda name: lambda done, all_: seen.append((done, all_)),
    )
    assert (comparison.pictures, comparison.agreement, seen[-1]) == (15, 0.0, (15, 15))
    json, page = write_comparison(comparison, pictures, tmp_path / "report")
    assert type(comparison).model_validate_json(json.read_text()) == comparison
    html = page.read_text()
    assert html.count("data:image/jpeg;base64,") == 15
    assert "http" not in html.replace("http-equiv", "")


def test_models_that_know_none_of_the_labels_are_refused(photos: Path) -> None:
    with pytest.raises(JudgementError, match="Neither model knows any label"):
        compare_models(Brightness(("a", "b"), 0), Brightness(("c", "d"), 0), examples.of(photos))


def test_a_picture_that_changed_since_is_refused(tmp_path: Path) -> None:
    pictures = examples.of(data_sets.clean(tmp_path))
    (pictures[0].folders.root / pictures[0].file).write_bytes(pictures[1].folders.read(pictures[1].file))
    with pytest.raises(JudgementError, match="has changed since"):
        list(examples.read(pictures))


def test_the_test_split_is_judged_where_there_is_one(tmp_path: Path) -> None:
    data_sets.split(tmp_path)
    assert {example.file.split("/")[0] for example in examples.of(tmp_path)} == {"test"}
    assert {example.file.split("/")[0] for example in examples.of(tmp_path, "val")} == {"val"}


def test_a_split_without_pictures_is_told(photos: Path) -> None:
    with pytest.raises(JudgementError, match="no pictures in the split 'test', only in: no split"):
        examples.of(photos, "test")


def test_a_report_that_cannot_be_written_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    comparison = measured(OLD, NEW, FILES, TRUTH)
    comparison.flips.clear()
    with pytest.raises(DataSetError, match="could not be written"):
        write_comparison(comparison, [], tmp_path / "file/report")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
