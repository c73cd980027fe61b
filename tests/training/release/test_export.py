"""From a run or a file to a version in the store: what `export` refuses and records, and what a kill leaves behind."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from gateway.labels import Description, LabelMap
from tests.serving.servers import wait_until
from tests.training import data_sets, run_folders
from training import versions
from training.cli import app
from training.errors import ExportError, JudgementError, TrainingError
from training.judge import examples
from training.judge.gate import load_verdict
from training.learn import runs
from training.release import promotion, provenance

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras"),  # when it saves
]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_sets.clean(tmp_path_factory.mktemp("photos"), per_class=6)


@pytest.fixture(scope="module")
def network() -> Any:
    from training.demo import untrained

    return untrained.build(3, alpha=0.1, seed=5)


@pytest.fixture
def run(photos: Path, network: Any, tmp_path: Path) -> Path:
    return run_folders.write(tmp_path / "runs/shells", photos, network)


def shell(*words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


def failure(answer: Result) -> TrainingError:
    assert isinstance(answer.exception, TrainingError), answer.output
    return answer.exception


def evaluated(run: Path) -> Path:
    assert shell("evaluate", run, "--robustness", "0").exit_code == 0
    return run


def judged(run: Path, thresholds: str, models: Path) -> int:
    (run / "gates.toml").write_text(thresholds)
    return shell("gate", evaluated(run), "--gates", run / "gates.toml", "--serving", models).exit_code


# --- The gate of an export --------------------------------------------------------------------------------------


def test_a_run_that_passed_its_gate_becomes_a_version_that_tells_where_it_comes_from(run: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    assert judged(run, "[absolute]\nmin_top1 = 0.0\nmax_overfitting = 0.1", models / "shells") == 0
    answer = shell("export", run, "--models", models, "--name", "shells")
    assert answer.exit_code == 0, answer.output
    base = models / "shells"
    assert not base.exists()  # it does not serve until it is promoted
    (known,) = promotion.history(base)
    assert known.state == "exported"
    origin = known.provenance
    assert origin is not None
    assert (origin.gate, origin.forced, origin.seed, origin.made_from) == ("passed", False, 7, "shells")
    record = runs.load(run)
    described = origin.description
    assert described.labels == record.labels == ("Anemone", "Jelly", "Sea_star")
    assert described.temperature == 1.5
    assert described.training_data["digest"] == record.data.digest
    assert described.code_version == "abc123"
    assert set(described.metrics) == {"top1", "top5", "macro_f1", "ece"}


def test_the_version_says_the_same_of_itself_and_answers_as_the_run_does(run: Path, tmp_path: Path) -> None:
    from training.judge.sources import opened

    assert shell("export", run, "--models", tmp_path, "--name", "shells", "--force").exit_code == 0
    (number,) = versions.present(tmp_path / "shells.versions")
    pictures = [examples.picture(example) for example in examples.of(run)]
    with opened(run) as keras, opened(tmp_path / "shells.versions") as version:
        assert version.facts.version == str(number)
        assert version.facts.labels == keras.facts.labels
        assert np.abs(keras.ask(pictures).rows - version.ask(pictures).rows).max() < 1e-5


def test_a_version_is_as_familiar_with_pictures_as_its_run_and_has_its_thresholds(
    photos: Path, network: Any, tmp_path: Path
) -> None:
    from training.judge.sources import opened

    folder = tmp_path / "runs/familiar"
    run_folders.write(folder, photos, network, familiar_at=0.25, sure_at=0.75)
    width = network.get_layer("pooled").output.shape[-1]
    directions = np.random.default_rng(1).uniform(0, 1, (7, width))
    runs.save_taught(folder, (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32))
    assert shell("export", folder, "--models", tmp_path, "--name", "shells", "--force").exit_code == 0
    pictures = [examples.picture(example) for example in examples.of(folder)]
    with opened(folder) as keras, opened(tmp_path / "shells.versions") as version:
        ours, served = (source.ask(pictures).familiarity for source in (keras, version))
        assert (version.facts.familiar_at, version.facts.sure_at) == (0.25, 0.75)
    assert ours is not None
    assert served == pytest.approx(ours, abs=1e-5)
    assert 0 < ours.min() <= ours.max() <= 1


def test_groups_that_the_threshold_was_not_fitted_with_void_it(photos: Path, network: Any, tmp_path: Path) -> None:
    folder = run_folders.write(tmp_path / "runs/grouped", photos, network, sure_at=0.75)
    labels = tmp_path / "labels.csv"
    labels.write_text("label,group\nAnemone,Cnidaria\nJelly,Cnidaria\nSea_star,\n")
    words = ("export", folder, "--models", tmp_path, "--name", "shells", "--force", "--labels", labels)
    assert shell(*words).exit_code == 0
    (known,) = promotion.history(tmp_path / "shells")
    assert known.provenance is not None
    assert known.provenance.description.sure_at is None


def test_an_overfitted_run_fails_its_gate_and_is_not_exported_unless_forced(
    photos: Path, network: Any, tmp_path: Path
) -> None:
    run = run_folders.write(
        tmp_path / "runs/learnt", photos, network, training_accuracy=0.999, validation_accuracy=0.82
    )
    assert judged(run, "[absolute]\nmax_overfitting = 0.15", tmp_path / "shells") == 1
    verdict = load_verdict(run)
    assert verdict is not None
    assert "is 0.179, more than 0.15" in verdict.reasons[0]
    words = ("export", run, "--models", tmp_path, "--name", "shells")
    refused = failure(shell(*words))
    assert isinstance(refused, ExportError)
    assert "Overfitting" in str(refused)
    assert not (tmp_path / "shells.versions").exists()
    assert shell(*words, "--force").exit_code == 0
    origin = promotion.history(tmp_path / "shells")[0].provenance
    assert origin is not None
    assert (origin.gate, origin.forced) == ("failed", True)


def test_a_verdict_holds_for_the_model_that_was_judged_and_for_no_other(run: Path, tmp_path: Path) -> None:
    from training.demo import untrained

    assert judged(run, "[absolute]\nmin_top1 = 0.0", tmp_path / "shells") == 0
    untrained.build(3, alpha=0.1, seed=6).save(run / runs.MODEL)
    assert "has not passed a gate" in str(failure(shell("export", run, "--models", tmp_path)))
    serving = failure(shell("gate", run, "--serving", run))
    assert "has changed since its evaluation" in str(serving)


def test_the_gate_compares_with_the_model_that_serves(run: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    assert shell("export", run, "--models", models, "--name", "shells", "--force").exit_code == 0
    assert shell("promote", "--models", models, "--name", "shells").exit_code == 0
    assert judged(run, "[relative]\nmax_top1_loss = 0.0\nmin_agreement = 1.0", models / "shells") == 0
    verdict = load_verdict(run)
    assert verdict is not None
    number = promotion.serving(models / "shells")
    assert verdict.serving == f"{models / 'shells'} {number}"


# --- Files ------------------------------------------------------------------------------------------------------


def test_a_file_of_keras_2_becomes_a_version(photos: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "old_keras.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, capture_output=True, timeout=300)
    (tmp_path / "labels.txt").write_text("Anemone\nJelly\nSea_star")
    labels, signed = ("--labels", tmp_path / "labels.txt"), "--input-range=-1..1"
    words = ("export", tmp_path / "old.h5", *labels, signed, "--models", tmp_path / "models", "--pictures", photos)
    assert "has not passed a gate" in str(failure(shell(*words)))
    assert shell(*words, "--force").exit_code == 0
    store = tmp_path / "models/my_model.versions"
    origin = provenance.read(store / str(versions.present(store)[0]))
    assert origin is not None
    assert (origin.made_from, origin.gate, origin.forced) == ("old.h5", "none", True)
    answer = shell("compare", tmp_path / "old.h5", store, photos, *labels, signed)
    assert answer.exit_code == 0, answer.output
    assert "100.0% with the same answer" in answer.stdout


def test_a_run_takes_its_label_map_into_the_version(photos: Path, network: Any, tmp_path: Path) -> None:
    known = LabelMap(
        labels=("Anemone", "Jelly", "Sea_star"), groups=("C", "C/S", "E"), names={"de": ("", "Qualle", "")}
    )
    run = run_folders.write(tmp_path / "runs/named", photos, network, label_map=known)
    assert label_map_of(exported(run, tmp_path / "models")) == known.model_dump()


def test_an_export_may_give_other_names_to_the_labels_of_a_run(run: Path, tmp_path: Path) -> None:
    table, models = tmp_path / "labels.csv", tmp_path / "models"
    table.write_text("label,display_name,link\nAnemone,Sea anemone,https://example.org\nJelly,,\nSea_star,,\n")
    described = exported(run, models, "--labels", table)
    assert described.display_names == ("Sea anemone", "Jelly", "Sea star")
    assert described.links == ("https://example.org", "", "")
    table.write_text("label\nJelly\nAnemone\nSea_star\n")
    refused = failure(shell("export", run, "--labels", table, "--models", tmp_path / "none", "--force"))
    assert "labels.csv does not name the labels of" in str(refused)
    assert not (tmp_path / "none").exists()


def exported(run: Path, models: Path, *words: str | Path) -> Description:
    """What the exported version answers to `describe`."""
    answer = shell("export", run, "--models", models, "--force", *words)
    assert answer.exit_code == 0, answer.output
    store = models / "my_model.versions"
    (number,) = versions.present(store)
    from training.release import graph

    (document,) = graph.load(store / str(number))("describe", {"ignored": [b""]})["description"]
    return Description.model_validate_json(document)


def label_map_of(described: Description) -> dict[str, Any]:
    return described.model_dump(include=set(LabelMap.model_fields))


def test_a_file_that_was_judged_elsewhere_needs_no_force(run: Path, tmp_path: Path) -> None:
    file, labels = tmp_path / "model.keras", tmp_path / "labels.txt"
    file.write_bytes((run / runs.MODEL).read_bytes())
    labels.write_text("\n".join(runs.load(run).labels))
    report = tmp_path / "report"
    words = ("evaluate", file, run, "--labels", labels, "--report", report, "--robustness", "2")
    assert shell(*words).exit_code == 0
    (tmp_path / "gates.toml").write_text("[absolute]\nmin_top1 = 0.0")
    nothing = tmp_path / "nothing"
    assert shell("gate", report, "--gates", tmp_path / "gates.toml", "--serving", nothing).exit_code == 0
    answer = shell("export", file, "--labels", labels, "--judged", report, "--models", tmp_path / "models")
    assert answer.exit_code == 0, answer.output


# --- Bad input --------------------------------------------------------------------------------------------------


def test_what_cannot_be_exported_is_told_in_a_sentence_and_nothing_appears(run: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"

    def refused(*words: str | Path) -> str:
        error = failure(shell("export", *words, "--models", models, "--force"))
        assert error.exit_code != 0
        assert not models.exists()
        return str(error)

    (tmp_path / "empty").mkdir()
    assert "is not a run" in refused(tmp_path / "empty")
    (tmp_path / "two.txt").write_text("Anemone\nJelly")
    (tmp_path / "model.keras").write_bytes((run / runs.MODEL).read_bytes())
    assert "3 outputs for 2 labels" in refused(tmp_path / "model.keras", "--labels", tmp_path / "two.txt")
    (run / runs.MODEL).write_bytes(b"cut short")
    assert "cannot be read as a Keras model" in refused(run)
    record = runs.load(run)
    runs.save(run, record.model_copy(update={"fingerprint": "sha256:other"}))
    assert "with another preprocessing" in refused(run)
    runs.save(run, record.model_copy(update={"finished": False}))
    assert "is not finished" in refused(run)


def test_a_folder_that_cannot_be_written_is_told(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = failure(shell("export", run, "--models", tmp_path / "file", "--force"))
    assert "cannot be written: give another folder with --models" in str(refused)
    assert (tmp_path / "file").read_text() == ""


def test_pictures_whose_labels_the_model_does_not_have_are_refused(run: Path, tmp_path: Path) -> None:
    data_sets.put(tmp_path, "photos/Crab/1.jpg", data_sets.jpeg(data_sets.drawn(20, 0)))
    data_sets.put(tmp_path, "photos/Pen/1.jpg", data_sets.jpeg(data_sets.drawn(21, 0)))
    error = failure(shell("evaluate", run, tmp_path / "photos", "--report", tmp_path / "report"))
    assert isinstance(error, JudgementError)
    assert "lacks Crab, Pen" in str(error)
    assert not (tmp_path / "report").exists()


# --- Killed -----------------------------------------------------------------------------------------------------

EXPORT_FOR_EVER = """
    import sys
    from pathlib import Path
    from training.release.export import export_model
    while True:
        export_model(Path(sys.argv[1]), Path(sys.argv[2]), force=True)
"""


def test_an_export_that_is_killed_leaves_no_half_version(run: Path, tmp_path: Path) -> None:
    base, store = tmp_path / "models/shells", tmp_path / "models/shells.versions"
    command: list[str | Path] = [sys.executable, "-c", textwrap.dedent(EXPORT_FOR_EVER), run, base]
    exporting = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)

    def in_the_middle_of_the_second() -> bool:
        assert exporting.poll() is None, "the export ended by itself"
        return bool(versions.present(store)) and any(store.glob("exporting-*/saved_model.pb"))

    try:
        wait_until(in_the_middle_of_the_second, within_s=300)  # TensorFlow starts, and two exports
    finally:
        os.kill(exporting.pid, signal.SIGKILL)
        exporting.wait()
    whole = versions.present(store)
    assert whole
    wanted = {"saved_model.pb", provenance.FILE, "assets.extra/tf_serving_warmup_requests"}
    for number in whole:
        version = store / str(number)
        assert wanted <= {path.relative_to(version).as_posix() for path in version.rglob("*") if path.is_file()}
    assert shell("promote", "--models", tmp_path / "models", "--name", "shells").exit_code == 0
    assert promotion.serving(base) == whole[-1]
