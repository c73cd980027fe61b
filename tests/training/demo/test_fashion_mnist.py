"""It truly learns: real, labelled photos of clothes, in two minutes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from training.cli import app
from training.demo import fashion_mnist
from training.errors import DataSetError
from training.learn import runs

installed = pytest.mark.skipif(
    not fashion_mnist.PACKAGE.is_dir(), reason="needs Debian's dataset-fashion-mnist: apt-get install it"
)


@installed
def test_the_pictures_are_written_as_files_of_their_classes(tmp_path: Path) -> None:
    fashion_mnist.write(tmp_path, train=12, test=5)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert len(files) == 17
    assert files[0] == "test/Ankle_boot/00000.png"
    pixels, _ = fashion_mnist.read("test")
    assert np.array_equal(np.asarray(Image.open(tmp_path / files[0])), pixels[0])


def test_a_machine_without_the_package_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "PACKAGE", tmp_path / "nowhere")
    with pytest.raises(DataSetError, match="apt-get install dataset-fashion-mnist"):
        fashion_mnist.write(tmp_path, train=1, test=1)


@installed
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")  # its save
def test_two_minutes_of_training_clearly_beat_chance_on_pictures_never_seen(tmp_path: Path) -> None:
    """Ten classes: chance is 0.1."""
    from training import metrics

    fashion_mnist.write(tmp_path / "photos", train=2000, test=500)
    words = f"train {tmp_path / 'photos'} --run {tmp_path / 'run'} --cache {tmp_path / 'cache'} --weights none"
    recipe = "--width 0.35 --sizes 56 --epochs 6 --rates 3e-3 --augment mirror --label-smoothing 0.05 --dropout 0.1"
    result = CliRunner().invoke(app, [*words.split(), *recipe.split()], catch_exceptions=False)
    assert result.exit_code == 0
    logits, truth = answers(tmp_path / "run")
    record = runs.load(tmp_path / "run")
    figures = metrics.report(logits, truth, record.temperature)
    assert figures["pictures"] == 500
    assert figures["top1"] > 0.4


def answers(run: Path) -> tuple[Any, Any]:
    from training.learn.loop import logits

    model = runs.model(run)
    parts = [(logits(model, pixels), truth) for pixels, truth in runs.batches(run, "test")]
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([truth for _, truth in parts])
