"""Model servers that the gateway starts itself; here a stub in their place, found on the path as the real one is."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.replicas import embedded
from gateway.replicas.embedded import Embedded
from tests.gateway.replicas.conftest import until

STUB = """#!{python}
import json, sys, time
with open({starts!r}, "a") as starts:
    starts.write(json.dumps(sys.argv[1:]) + "\\n")
time.sleep(0 if {dies} else 3600)
"""


@asynccontextmanager
async def started(folder: Path, patch: pytest.MonkeyPatch, *, dies: bool) -> AsyncIterator[tuple[Embedded, Path]]:
    starts, stub = folder / "starts", folder / "tensorflow_model_server"
    starts.touch()
    stub.write_text(STUB.format(python=sys.executable, starts=str(starts), dies=dies))
    stub.chmod(0o755)
    patch.setenv("PATH", str(folder))
    patch.setattr(embedded, "FIRST_PAUSE_S", 0.01)
    async with Embedded(1, models_dir=folder / "models", model_name="my_model") as replicas:
        yield replicas, starts


def flags(starts: Path) -> list[dict[str, str]]:
    lines = starts.read_text().splitlines()
    return [dict(flag.removeprefix("--").split("=", 1) for flag in json.loads(line)) for line in lines]


async def test_a_model_server_is_started_on_the_ports_of_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(tmp_path, monkeypatch, dies=False) as (replicas, starts):
        await until(lambda: len(flags(starts)) == 1)
        (given,) = flags(starts)
        assert await replicas.addresses() == [f"127.0.0.1:{given['rest_api_port']}/{given['port']}"]
        assert given["model_base_path"] == str(tmp_path / "models" / "my_model")


async def test_one_that_dies_is_started_again_on_other_ports_and_the_address_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(tmp_path, monkeypatch, dies=True) as (replicas, starts):
        await until(lambda: len(flags(starts)) >= 2)
        first, second = flags(starts)[:2]
        assert first["rest_api_port"] != second["rest_api_port"]
        assert await replicas.addresses() != [f"127.0.0.1:{first['rest_api_port']}/{first['port']}"]
