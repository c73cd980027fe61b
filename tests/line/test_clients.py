"""Real clients upload in every way that they know, with their defaults; what a machine lacks skips with a reason."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pictures
from tests.faults.gateway import Gateway, running_gateway
from tests.faults.replica import running_replica

pytestmark = pytest.mark.slow

CLIENTS = Path(__file__).with_name("clients")
NAMES = "crab brittle_star anemone sea_urchin"
TOLD = {
    "raw sized": NAMES,
    "raw chunked": NAMES,
    "form sized": NAMES,
    "form chunked": NAMES,
    "six sized": " ".join([NAMES] * 6),
    "six chunked": " ".join([NAMES] * 6),
    "no picture": "This is not a picture that we can read: send JPEG, PNG, WebP or GIF.",
}
"""What each client prints for each way to upload."""
BY_CURL = dict.fromkeys(("put sized", "put chunked", "form without file name", "form in base64"), NAMES)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    log = tmp_path_factory.mktemp("clients") / "log"
    with running_replica() as replica, running_gateway(replica.address, log) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("clients") / "photo.jpg"
    file.write_bytes(pictures.jpeg((320, 240)))
    return file


def told(gateway: Gateway, picture: Path, *command: str, more: tuple[str, ...] = ()) -> dict[str, str]:
    """What a client prints: the way to upload, and what came back."""
    printed = output(*command, f"http://127.0.0.1:{gateway.port}", str(picture), *more)
    return dict(line.split("\t") for line in printed.splitlines())


def output(*command: str) -> str:
    """What a program prints."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def program(name: str) -> str:
    """Its path."""
    return shutil.which(name) or pytest.skip(f"no {name} on this machine")


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl(gateway: Gateway, picture: Path, version: str) -> None:
    if version == "--http2" and "HTTP2" not in output(program("curl"), "--version"):
        pytest.skip("this curl has no HTTP/2")
    assert told(gateway, picture, "sh", str(CLIENTS / "client.sh"), more=(version,)) == TOLD | BY_CURL


def test_curl_asks_for_the_head(gateway: Gateway) -> None:
    for path in ("/", "/healthz", "/v1/labels", "/metrics"):
        assert output(program("curl"), "-sSI", f"http://127.0.0.1:{gateway.port}{path}").startswith("HTTP/1.1 200")


def test_java(gateway: Gateway, picture: Path) -> None:
    program("javac")  # `java` alone cannot run a source file
    assert told(gateway, picture, program("java"), str(CLIENTS / "Client.java")) == TOLD


def test_node(gateway: Gateway, picture: Path) -> None:
    assert told(gateway, picture, program("node"), str(CLIENTS / "client.mjs")) == TOLD


def test_php(gateway: Gateway, picture: Path) -> None:
    if "curl" not in output(program("php"), "-m").split():
        pytest.skip("this PHP has no curl")
    assert told(gateway, picture, program("php"), str(CLIENTS / "client.php")) == TOLD


@pytest.mark.parametrize("library", ["requests", "urllib3", "httpx", "aiohttp"])
def test_python(gateway: Gateway, picture: Path, library: str) -> None:
    assert told(gateway, picture, sys.executable, str(CLIENTS / "client.py"), library) == TOLD
