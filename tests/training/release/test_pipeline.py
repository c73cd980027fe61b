"""One command from a folder of pictures to a gateway that serves what they taught; then back again."""

import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from benchmarks.line import Line, running
from tests import pictures as drawn
from tests.line.conftest import client_of
from tests.training import data_sets
from training.learn import runs
from training.release import promotion

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras"),  # when it saves
]
ROOT = Path(__file__).parents[3]
LABELS = tuple(data_sets.CLASSES)
PER_CLASS = 30


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_sets.clean(tmp_path_factory.mktemp("photos"), per_class=PER_CLASS)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A served folder whose one version has learnt nothing."""
    from training.demo.untrained import export_untrained

    models = tmp_path_factory.mktemp("models")
    export_untrained(models / "shells", LABELS, alpha=0.1)
    return models


def shell(folder: Path, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "training", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def patient_gateway(models: Path) -> AbstractContextManager[Line]:
    """Training takes all cores meanwhile: what is tested is the change of versions, not how fast answers come."""
    return running(
        models,
        drawn.jpeg(),
        model_name="shells",
        embedded_replicas="2",
        deadline_s="60",
        attempt_timeout_s="30",
        probe_timeout_s="30",
    )


@contextmanager
def asked_without_a_pause(line: Line) -> Iterator["Counter[tuple[int, str]]"]:
    """What the gateway answers meanwhile: how often each status, and the version named."""
    answers: Counter[tuple[int, str]] = Counter()
    done = threading.Event()

    def ask() -> None:
        with client_of(line) as client:
            while not done.is_set():
                answer = client.post("/v1/classify", files={"image": ("a.jpg", drawn.jpeg())})
                answers[answer.status_code, answer.json().get("model", {}).get("version", "")] += 1
                done.wait(0.1)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        done.set()
        thread.join()


def test_one_command_replaces_what_a_running_gateway_serves_and_rollback_brings_it_back(
    photos: Path, models: Path, tmp_path: Path
) -> None:
    before = promotion.serving(models / "shells")
    (tmp_path / "gates.toml").write_text("[absolute]\nmin_top1 = 0.6\n[relative]\nmax_top1_loss = 0.05\n")
    names = "".join(f"{label},Animalia,{label[:3]}\n" for label in LABELS)
    (tmp_path / "labels.csv").write_text(f"label,group,name:de\n{names}")
    head = ("--sizes", "112", "--epochs", "4", "--rates", "2e-2", "--batch", "10")
    with patient_gateway(models) as line:
        served = (
            "--models",
            models,
            "--name",
            "shells",
            "--gateway",
            f"http://127.0.0.1:{line.port}",
            "--within",
            "300",
        )
        judged = ("--gates", tmp_path / "gates.toml", "--robustness", "3")
        with asked_without_a_pause(line) as answers:
            named = ("--run", "runs/shells", "--labels", "labels.csv")
            ended = shell(tmp_path, "pipeline", photos, *named, *served, *judged, *head)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        after = promotion.serving(models / "shells")
        assert after is not None
        assert {status for status, _ in answers} == {200}, answers
        with client_of(line) as client:
            told_everywhere(client, after)
            photo = {"image": ("a.jpg", drawn.jpeg())}
            (best, *_) = client.post("/v1/classify", files=photo, params={"lang": "de"}).json()["predictions"]
            assert (best["display_name"], best["group"]) == (best["label"][:3], "Animalia")
        with asked_without_a_pause(line) as answers:
            ended = shell(tmp_path, "rollback", *served)
        assert ended.returncode == 0, ended.stderr
        assert {status for status, _ in answers} == {200}, answers
        with client_of(line) as client:
            told_everywhere(client, before)
    run = runs.load(tmp_path / "runs/shells")
    listed = json.loads(shell(tmp_path, "history", "--json", "--models", models, "--name", "shells").stdout)
    newest = listed[0]
    assert (newest["version"], newest["state"]) == (after, "exported")
    assert newest["provenance"]["description"]["training_data"]["digest"] == run.data.digest
    assert newest["provenance"]["gate"] == "passed"
    assert [known["state"] for known in listed] == ["exported", "serving"]


def told_everywhere(client: httpx.Client, version: int | None) -> None:
    """The answers, the labels and the replicas name the version."""
    told = client.get("/v1/models").json()
    assert {replica["serving"] for replica in told["replicas"]} == {str(version)}
    assert told["serving"] == str(version)
    answer = client.post("/v1/classify", files={"image": ("a.jpg", drawn.jpeg())}).json()
    assert answer["model"] == {"name": "shells", "version": str(version)}
    assert client.get("/v1/labels").json()["labels"] == list(LABELS)


def test_a_run_that_does_not_pass_changes_nothing_and_is_not_trained_twice(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "gates.toml").write_text("[absolute]\nmin_pictures = 1000\n")
    quick = ("--weights", "none", "--width", "0.1", "--sizes", "32", "--epochs", "1", "--rates", "1e-3")
    words = ("pipeline", photos, "--run", "runs/one", "--gates", tmp_path / "gates.toml", "--robustness", "0", *quick)
    for attempt in (1, 2):
        ended = shell(tmp_path, *words)
        assert ended.returncode == 1, ended.stderr
        assert re.search(r"FAILED  The number of pictures is \d+, less than 1000", ended.stdout)
        assert ("already trained" in ended.stderr) == (attempt == 2)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("pipeline", "photos", "--gates", "gone.toml"), "gone.toml cannot be read"),
        (("pipeline", "photos", "--gateway", "http://127.0.0.1:1"), "No gateway answers at http://127.0.0.1:1"),
        (("pipeline", "photos", "--models", "photos.txt"), "cannot be written: give another folder with --models"),
        (("pipeline", "empty"), "holds no pictures"),
        (("pipeline", "one-class"), "has one class (crab)"),
        (("pipeline", "photos", "--epoch", "3"), "No such option"),
    ],
)
def test_bad_input_is_told_in_a_sentence_and_leaves_everything_as_it_was(
    words: tuple[str, ...], sentence: str, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    data_sets.put(tmp_path, "one-class/crab/1.jpg", drawn.jpeg())
    (tmp_path / "photos").symlink_to(photos)
    (tmp_path / "photos.txt").write_text("a file, not a folder")
    before = sorted(tmp_path.rglob("*"))
    ended = shell(tmp_path, *words)
    assert ended.returncode in (1, 2)
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert sorted(tmp_path.rglob("*")) == before
