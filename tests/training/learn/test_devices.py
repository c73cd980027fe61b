"""Several devices and several machines: here two on one processor, and two processes that talk over this machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training import data_sets
from training.errors import RunError
from training.learn import runs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
LONGEST_S = 300


def test_two_devices_learn_what_one_learns(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.training.toys", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["none"][0], found["mirrored"][0]) == (1, 2)
    assert found["mirrored"][1] == pytest.approx(found["none"][1], rel=1e-4)


def test_two_workers_make_one_run(tmp_path: Path) -> None:
    photos = data_sets.clean(tmp_path / "photos", per_class=8)
    words = f"train {photos} --run {tmp_path / 'run'} --cache {tmp_path / 'cache'} --distribute workers"
    small = "--weights=none --width=0.1 --sizes=32 --epochs=1 --rates=2e-3 --batch=8"
    command = [sys.executable, "-m", "training", *words.split(), *small.split()]
    addresses = free_addresses(2)
    clusters = [os.environ | {"TF_CONFIG": config(addresses, index)} for index in range(2)]
    workers = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        for environment in clusters
    ]
    try:
        said = [worker.communicate(timeout=LONGEST_S)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], said
    record = runs.load(tmp_path / "run")
    assert record.finished
    assert len(record.history) == 1
    assert "is finished. Of 3 pictures that were held back" in said[0]
    assert "is finished" not in said[1]


def free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{opened.getsockname()[1]}" for opened in sockets]
    for opened in sockets:
        opened.close()
    return addresses


def config(addresses: list[str], index: int) -> str:
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})


@pytest.mark.parametrize("text", ["", "{", "{}", '{"cluster": {}, "task": {"index": 0}}'])
def test_workers_without_a_cluster_are_told_what_is_missing(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    from training.learn.phase import strategy  # here: with TensorFlow, which the fast tests do without

    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(RunError, match="needs TF_CONFIG"):
        strategy("workers")
