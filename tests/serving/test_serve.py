"""The serving image's start script, with a script in place of the server that prints its arguments."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.documents import ROOT

SERVER = """#!/bin/sh
echo "$@"
exec sleep 60
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """`serve`, which starts a script beside it as the server."""
    server = tmp_path / "server"
    server.write_text(SERVER, encoding="utf-8")
    server.chmod(0o755)
    text = (ROOT / "serving/serve").read_text(encoding="utf-8")
    assert "/usr/bin/tf_serving_entrypoint.sh" in text
    (tmp_path / "serve").write_text(text.replace("/usr/bin/tf_serving_entrypoint.sh", str(server)), encoding="utf-8")
    return tmp_path / "serve"


@contextmanager
def started(script: Path, *arguments: str, **variables: str) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """The script, and the flags that it passed to the server."""
    command = ["/bin/bash", str(script), *arguments]
    process = subprocess.Popen(
        command,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().split()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_the_server_gets_as_many_threads_as_are_set_and_then_the_containers_own_arguments(script: Path) -> None:
    with started(script, "--model_config_file=/a", SERVING_THREADS="3") as (_, flags):
        assert "--tensorflow_intra_op_parallelism=3" in flags
        assert "--tensorflow_inter_op_parallelism=3" in flags
        assert flags[-1] == "--model_config_file=/a"
        assert "--enable_batching" not in flags


def test_without_a_number_it_takes_at_least_one_thread_and_at_most_the_machines(script: Path) -> None:
    with started(script) as (_, flags):
        (threads,) = [flag.partition("=")[2] for flag in flags if flag.startswith("--tensorflow_intra_op_parallelism=")]
        assert 1 <= int(threads) <= (os.cpu_count() or 1)


def test_a_file_of_batching_parameters_turns_batching_on(script: Path) -> None:
    with started(script, SERVING_BATCHING="/etc/serving/batching.gpu.config") as (_, flags):
        assert "--enable_batching" in flags
        assert "--batching_parameters_file=/etc/serving/batching.gpu.config" in flags


def test_a_signal_ends_the_server_after_the_drain_and_the_script_with_0(script: Path) -> None:
    with started(script, SERVING_DRAIN_S="0.1") as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert "draining for 0.1 s" in process.stderr.read()


def test_a_server_that_dies_by_itself_ends_the_script_with_its_status(script: Path) -> None:
    (script.parent / "server").write_text("#!/bin/sh\necho started\nexit 7\n", encoding="utf-8")
    with started(script) as (process, _):
        assert process.wait(timeout=30) == 7
