"""Model servers that the gateway starts itself; a stub takes their place, found on the path as the real one is."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.observe import logs
from gateway.replicas import embedded
from gateway.replicas.embedded import LONGEST_LINE_BYTES, Embedded
from tests.children import children
from tests.gateway.replicas.conftest import until

STUB = """#!{python}
import json, sys, time
with open({starts!r}, "a") as starts:
    starts.write(json.dumps(sys.argv[1:]) + "\\n")
{body}
"""
SERVES = "time.sleep(3600)"
DIES = "sys.exit(3)"
PRINTS_A_LONG_LINE = """
sys.stdout.write("x" * 3_000_000)
sys.stdout.flush()
print()
print("last words")
sys.exit(3)
"""

Capture = pytest.CaptureFixture[str]
Start = Callable[[], Awaitable[Embedded]]


class Stub:
    """An executable file on the path, in the place of `tensorflow_model_server`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "tensorflow_model_server"
        self._starts = folder / "starts"
        self._starts.touch()

    def does(self, body: str) -> None:
        """What it runs from its next start on."""
        self._write(STUB.format(python=sys.executable, starts=str(self._starts), body=body))

    def cannot_be_started(self) -> None:
        """Its interpreter is missing: the system refuses to execute it, as it may refuse to fork for want of memory."""
        self._write("#!/nowhere")

    def _write(self, text: str) -> None:
        fresh = self._file.with_suffix(".fresh")
        fresh.write_text(text)
        fresh.chmod(0o755)
        fresh.replace(self._file)  # a file that is being executed cannot be written to

    @property
    def flags(self) -> list[dict[str, str]]:
        """Of each start."""
        lines = self._starts.read_text().splitlines()
        return [dict(flag.removeprefix("--").split("=", 1) for flag in json.loads(line)) for line in lines]


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded, "FIRST_PAUSE_S", 0.01)
    return Stub(tmp_path)


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Called once the stub is there: one embedded replica."""
    async with AsyncExitStack() as stack:

        async def started() -> Embedded:
            one = Embedded(1, models_dir=tmp_path / "models", model_name="my_model")
            return await stack.enter_async_context(one)

        yield started


class Log:
    """The lines that were logged, read bit by bit."""

    def __init__(self, capsys: Capture) -> None:
        logs.configure("json", "debug")  # onto the stream that is captured while the test runs
        self._capsys = capsys
        self._lines: list[dict[str, Any]] = []

    def events(self, name: str) -> list[dict[str, Any]]:
        self._lines += map(json.loads, self._capsys.readouterr().err.splitlines())
        return [line for line in self._lines if line["event"] == name]


async def test_a_model_server_is_started_on_the_ports_of_its_address(tmp_path: Path, stub: Stub, start: Start) -> None:
    stub.does(SERVES)
    replicas = await start()
    await until(lambda: len(stub.flags) == 1)
    (given,) = stub.flags
    assert await replicas.addresses() == [f"127.0.0.1:{given['rest_api_port']}/{given['port']}"]
    assert given["model_base_path"] == str(tmp_path / "models" / "my_model")


async def test_one_that_dies_is_started_again_on_other_ports_and_the_address_follows(stub: Stub, start: Start) -> None:
    stub.does(DIES)
    replicas = await start()
    await until(lambda: len(stub.flags) >= 2)
    first, second = stub.flags[:2]
    assert first["rest_api_port"] != second["rest_api_port"]
    assert await replicas.addresses() != [f"127.0.0.1:{first['rest_api_port']}/{first['port']}"]


async def test_a_start_that_the_system_refuses_is_logged_and_tried_again(
    stub: Stub, start: Start, capsys: Capture
) -> None:
    log = Log(capsys)
    stub.cannot_be_started()
    await start()
    await until(lambda: len(log.events("model server not started")) >= 3)
    refused = log.events("model server not started")[:3]
    assert [line["again_in_s"] for line in refused] == [0.01, 0.02, 0.04]
    assert {line["level"] for line in refused} == {"error"}
    assert refused[0]["reason"].startswith("FileNotFoundError: [Errno 2] No such file or directory")
    assert "exception" not in refused[0]
    stub.does(SERVES)
    await until(lambda: len(stub.flags) == 1)


async def test_a_failure_that_was_not_foreseen_is_logged_with_its_traceback_and_tried_again(
    stub: Stub, start: Start, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(name: str) -> str:
        raise RuntimeError(name)

    log = Log(capsys)
    stub.does(SERVES)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "which", defect)
        await start()
        await until(lambda: len(log.events("model server not started")) >= 2)
    (first, *_) = log.events("model server not started")
    assert first["reason"] == "RuntimeError: tensorflow_model_server"
    assert "exception" in first
    await until(lambda: len(stub.flags) == 1)


async def test_a_line_that_never_ends_is_cut_and_does_not_end_the_model_server(
    stub: Stub, start: Start, capsys: Capture
) -> None:
    log = Log(capsys)
    stub.does(PRINTS_A_LONG_LINE)
    await start()
    await until(lambda: bool(log.events("model server died")))
    died = log.events("model server died")[0]
    assert died["exit_code"] == 3
    cut, last = died["last_output"].split(" | ")  # the log has cut it further
    assert f"[{LONGEST_LINE_BYTES + len(' | last words') - 1200:,} characters left out]" in cut
    assert last == "last words"
    await until(lambda: len(stub.flags) >= 2)


async def test_its_log_lines_carry_no_request_id_although_a_request_started_it(
    stub: Stub, start: Start, capsys: Capture
) -> None:
    log = Log(capsys)
    stub.does(DIES)
    with structlog.contextvars.bound_contextvars(request_id="abc-1"):
        await start()
        await until(lambda: len(log.events("model server died")) >= 2)
    assert not any("request_id" in line for line in log.events("model server started"))
    assert not any("request_id" in line for line in log.events("model server died"))


async def test_one_that_is_just_starting_when_the_gateway_stops_is_stopped_too(tmp_path: Path, stub: Stub) -> None:
    stub.does(SERVES)
    for turns in range(20):
        async with Embedded(1, models_dir=tmp_path / "models", model_name="my_model"):
            for _ in range(turns):
                await asyncio.sleep(0)
        assert children() == []
