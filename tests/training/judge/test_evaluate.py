"""`evaluate` on drawn pictures and a model that is a few lines of arithmetic; real models are in `test_exporting`."""

import hashlib
import io
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from gateway.imaging import preprocess
from tests import pictures as drawn
from tests.training import data_sets
from training.cli import app
from training.errors import DataSetError, JudgementError
from training.judge import card, examples, page, robustness
from training.judge.evaluate import Result, Subject, evaluate_model, write_evaluation
from training.judge.evaluation import Evaluation, Training, load_evaluation
from training.judge.examples import Picture
from training.judge.sources.source import Facts, Outputs

LABELS = ("Anemone", "Jelly", "Sea_star")
TRAINING = Training(
    run="shells | of *June*",
    training_accuracy=0.99,
    validation_accuracy=0.8,
    seed=7,
    code_commit="abc123",
    data_digest="sha256:data",
    weights="none",
    pictures={"train": 30, "val": 5, "test": 15},
    history=[(0.5, 0.4), (0.9, 0.8)],
)


class Scripted:
    """Knows the class of each picture by its bytes, and errs on those in `wrong`; unknown pictures are Jelly."""

    def __init__(self, folder: Path, wrong: Sequence[str] = ()) -> None:
        self.facts = Facts("scripted.keras", LABELS, temperature=2.0, digest="sha256:model")
        self.known = {}
        for example in examples.of(folder):
            true = LABELS.index(example.label)
            answer = (true + 1) % 3 if example.file in wrong else true
            self.known[hashlib.sha256(example.folders.read(example.file)).digest()] = answer
        self.asked = 0

    def ask(self, pictures: Sequence[Picture]) -> Outputs:
        self.asked += len(pictures)
        rows = np.full((len(pictures), 3), 0.1)
        for row, picture in zip(rows, pictures, strict=True):
            row[self.known.get(hashlib.sha256(picture.data).digest(), 1)] = 0.8
        return Outputs(rows)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_sets.clean(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def result(photos: Path) -> Result:
    source = Scripted(photos, wrong=("Anemone/0.jpg", "Anemone/1.jpg", "Jelly/2.jpg"))
    subject = Subject(str(photos), training=TRAINING)
    return evaluate_model(source, examples.of(photos), subject, robustness_pictures=6)


@pytest.fixture(scope="module")
def found(result: Result) -> Evaluation:
    return result.evaluation


def test_figures_are_those_of_the_answers(found: Evaluation) -> None:
    assert found.metrics["top1"] == pytest.approx(12 / 15)
    assert found.metrics["top5"] == 1.0
    assert found.metrics["ece"] == pytest.approx(0.0, abs=1e-9)
    assert found.metrics["ece_uncalibrated"] == pytest.approx(64 / 66 - 0.8)
    low, high = found.top1_interval
    assert low < 0.8 < high
    assert found.metrics["macro_recall"] == pytest.approx((3 / 5 + 4 / 5 + 1) / 3)


def test_classes_and_mix_ups_are_told_by_name(found: Evaluation) -> None:
    anemone, jelly, _ = found.classes
    assert (anemone.label, anemone.pictures, anemone.precision, anemone.recall) == ("Anemone", 5, 1.0, 0.6)
    assert jelly.precision == pytest.approx(4 / 6, abs=1e-5)
    assert [(pair.label, pair.answer, pair.pictures) for pair in found.confusion] == [
        ("Anemone", "Jelly", 2),
        ("Jelly", "Sea_star", 1),
    ]


def test_mistakes_are_told_with_their_pictures(result: Result) -> None:
    told = {(mistake.file, mistake.answer) for mistake in result.evaluation.mistakes}
    assert told == {("Anemone/0.jpg", "Jelly"), ("Anemone/1.jpg", "Jelly"), ("Jelly/2.jpg", "Sea_star")}
    assert {mistake.confidence for mistake in result.evaluation.mistakes} == {0.8}
    assert set(result.thumbnails) == {file for file, _ in told}
    with Image.open(io.BytesIO(result.thumbnails["Jelly/2.jpg"])) as small:
        assert (small.format, small.size) == ("JPEG", (144, 144))


def test_cpu_time_is_reported_only_for_a_model_in_this_process(photos: Path, found: Evaluation) -> None:
    def with_cpu(source: Scripted) -> tuple[bool, bool, bool]:
        told = evaluate_model(source, examples.of(photos), Subject("photos"), robustness_pictures=0).evaluation
        assert told.latency
        assert told.latency.median_ms > 0
        return told.latency.cpu_ms is not None, "CPU" in card.as_card(told), "CPU" in page.as_page(told, {})

    assert with_cpu(Scripted(photos)) == (True, True, True)
    served = Scripted(photos)
    served.facts = served.facts._replace(in_process=False)
    assert with_cpu(served) == (False, False, False)


def test_every_change_of_an_upload_is_asked_about(found: Evaluation) -> None:
    assert [changed.change for changed in found.robustness] == list(robustness.CHANGES)
    assert found.robustness_pictures == 6
    # Changed files are unknown to the scripted model, which calls all of them Jelly.
    assert {changed.top1 for changed in found.robustness} == {2 / 6}
    assert found.robustness_top1 is not None
    assert found.robustness_loss == found.robustness_top1 - 2 / 6


def test_overfitting_is_the_gap_of_the_two_accuracies(found: Evaluation) -> None:
    assert found.training is not None
    assert found.training.overfitting == pytest.approx(0.19)


def test_labels_that_the_model_does_not_have_are_told(photos: Path, tmp_path: Path) -> None:
    data_sets.put(tmp_path, "Crab/1.jpg", drawn.jpeg())
    data_sets.put(tmp_path, "Jelly/1.jpg", drawn.jpeg((300, 200)))
    with pytest.raises(JudgementError, match="does not fit these pictures: it lacks Crab"):
        evaluate_model(Scripted(photos), examples.of(tmp_path), Subject("other"))


# --- Robustness -------------------------------------------------------------------------------------------------


def test_a_picture_turned_by_exif_is_seen_as_before() -> None:
    before = preprocess(drawn.png())
    after = preprocess(robustness.changed(drawn.png(), robustness.CHANGES["turned, with EXIF"]))
    assert np.abs(before.astype(int) - after).mean() < 2


def test_changes_are_small_and_each_does_what_it_says() -> None:
    before = preprocess(drawn.png()).astype(int)
    means = {}
    for name, change in robustness.CHANGES.items():
        after = preprocess(robustness.changed(drawn.png(), change)).astype(int)
        assert 0 < np.abs(after - before).mean() < 40, name
        means[name] = after.mean()
    assert means["darker by 20 %"] < before.mean() * 0.85
    assert means["brighter by 20 %"] > before.mean() * 1.1


@pytest.mark.parametrize("data", [drawn.gif(), drawn.webp(), drawn.jpeg((3000, 2000))])
def test_any_kind_of_upload_can_be_changed(data: bytes) -> None:
    for change in robustness.CHANGES.values():
        with Image.open(io.BytesIO(robustness.changed(data, change))) as image:
            assert image.format == "JPEG"
            assert max(image.size) <= robustness.LONGEST_PX * 1.2


# --- Reports ----------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """What a page would load, and whether its tags match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_three_files_are_written_and_the_page_needs_nothing_else(result: Result, tmp_path: Path) -> None:
    page = write_evaluation(result, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evaluation.html", "evaluation.json", "model_card.md"]
    assert load_evaluation(tmp_path) == result.evaluation
    tags = Tags(page.read_text())
    assert tags.open == []
    assert all(source.startswith(("data:image/jpeg", "data:image/svg+xml")) for source in tags.sources)
    assert sum(source.startswith("data:image/svg") for source in tags.sources) == 4
    assert len(tags.sources) == 7


def test_the_same_evaluation_gives_the_same_page(result: Result, tmp_path: Path) -> None:
    first, second = (write_evaluation(result, tmp_path / name).read_bytes() for name in "ab")
    assert first == second


def test_the_card_tells_what_the_evaluation_found(found: Evaluation) -> None:
    text = card.as_card(found)
    assert text.startswith("# shells \\| of \\*June\\*\n")
    for fact in ("0.800", "`sha256:data`", "Seed 7, code abc123", "0.990", "| Anemone | 5 | 1.00 | 0.60 | 0.75 |"):
        assert fact in text
    assert "It classified 2 pictures of Anemone as Jelly." in text
    assert "turned, with EXIF" in text


def test_many_classes_have_a_page_too(photos: Path, found: Evaluation, tmp_path: Path) -> None:
    labels = tuple(f"${n}" for n in range(137))
    many = found.model_copy(update={"model": found.model.model_copy(update={"labels": (*LABELS, *labels)})})
    assert write_evaluation(Result(many, {}), tmp_path).stat().st_size < 1_000_000


def test_no_evaluation_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(JudgementError, match="run `evaluate` first"):
        load_evaluation(tmp_path)
    (tmp_path / "evaluation.json").write_text("{}")
    with pytest.raises(JudgementError, match="is damaged"):
        load_evaluation(tmp_path)


def test_strangers_are_asked_and_counted(photos: Path, tmp_path: Path) -> None:
    data_sets.put(tmp_path, "deep/er/other.png", drawn.png())
    data_sets.put(tmp_path, "notes.txt", b"no picture")
    source = Scripted(photos)
    source.facts = source.facts._replace(sure_at=0.7)
    subject = Subject(str(photos), strangers=tmp_path)
    found = evaluate_model(source, examples.of(photos), subject, robustness_pictures=0).evaluation
    assert (found.metrics["sure"], found.metrics["sure_wrong"], found.metrics["strangers_sure"]) == (1.0, 0.0, 1.0)
    assert found.sureness is not None
    assert found.sureness.strangers is not None
    assert found.sureness.strangers.pictures == 1
    assert "Of 1 pictures of other things" in card.as_card(found)
    assert "sure of strangers" in page.as_page(found, {})


def test_a_folder_without_pictures_holds_no_strangers(tmp_path: Path) -> None:
    with pytest.raises(JudgementError, match="holds no pictures"):
        examples.strangers(tmp_path)
    with pytest.raises(JudgementError, match="holds no pictures"):
        examples.strangers(tmp_path / "missing")


def test_a_place_that_cannot_be_written_is_told_before_the_work(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = ["evaluate", "model.keras", str(photos), "--report", str(tmp_path / "file")]
    answer = CliRunner().invoke(app, words)
    assert isinstance(answer.exception, DataSetError)
    assert "cannot be written" in str(answer.exception)


def test_a_model_that_is_no_run_needs_pictures_and_a_place() -> None:
    answer = CliRunner().invoke(app, ["evaluate", "model.keras"])
    assert isinstance(answer.exception, JudgementError)
    assert "give labelled pictures" in str(answer.exception)
