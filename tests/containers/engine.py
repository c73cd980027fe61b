"""Docker as an operator uses it: commands in a checkout, and what the engine reports about the containers."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests import pictures
from tests.documents import ROOT

PATIENCE_S = 240
CAN_CONNECT = """
import concurrent.futures, socket, sys
wanted = sys.argv[1].encode()
def answers(target):
    host, port = target.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), 3) as connection:
            return not wanted or connection.recv(len(wanted), socket.MSG_WAITALL) == wanted
    except OSError: return False
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    for target, is_open in zip(sys.argv[2:], pool.map(answers, sys.argv[2:])):
        if is_open: print(target)
"""
GREET = """
import socket, sys
with socket.create_server(("", int(sys.argv[1]))) as server:
    while True:
        with server.accept()[0] as connection: connection.sendall(sys.argv[2].encode())
"""
PROJECT = "specimentest"
LOAD = Path(__file__).with_name("load.py").read_text(encoding="utf-8")
DEPLOY = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Checkout:
    """A clean copy of the repository, and the variables that its commands run with."""

    path: Path
    variables: Mapping[str, str]

    def sh(self, command: str, **more: str) -> str:
        """The standard output of a command; its standard error is in the failure."""
        command = command.replace("docker compose", compose())
        environment = {**os.environ, **self.variables, **more}
        done = subprocess.run(
            ["/bin/sh", "-ec", command],
            cwd=self.path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    @property
    def url(self) -> str:
        """Of the gateway's published port."""
        return f"http://127.0.0.1:{self.variables['GATEWAY_PUBLISHED_PORT']}"


@cache
def compose() -> str:
    """Compose as it is called here: the plugin, or the program of its own."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return "docker compose" if plugin.returncode == 0 else "docker-compose"


def documented(command: str) -> str:
    """The same command, which docs/deploy.md gives to its readers word for word."""
    assert command in DEPLOY.splitlines(), f"docs/deploy.md does not say: {command}"
    return command


def docker(*arguments: str) -> str:
    """What a docker command printed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def inspect(thing: str) -> dict[str, Any]:
    (found,) = json.loads(docker("inspect", thing))
    return dict(found)


def containers(service: str) -> list[str]:
    """Running containers of one service, by id: of our Compose project, or of the stack where it is STACK_SERVICE."""
    compose = ["--filter", f"label=com.docker.compose.project={PROJECT}"]
    found = docker("ps", "-q", *compose, "--filter", f"label=com.docker.compose.service={service}").split()
    return found or docker("ps", "-q", "--filter", f"label=com.docker.swarm.service.name={service}").split()


def in_container(container: str, script: str, *arguments: str) -> str:
    """What a Python script printed inside."""
    return docker("exec", container, "python", "-c", script, *arguments)


def addresses(container: str) -> list[str]:
    """On every network it is in, the one that Swarm's tasks leave their machine by included."""
    named = [network["IPAddress"] for network in inspect(container)["NetworkSettings"]["Networks"].values()]
    return [*named, *_ways_out().get(container[:12], [])]


def _ways_out() -> dict[str, list[str]]:
    """Addresses on Swarm's bridge to the machine, by container; Docker lists them with the network alone."""
    if "docker_gwbridge" not in docker("network", "ls", "--format", "{{.Name}}").split():
        return {}
    held = inspect("docker_gwbridge")["Containers"]
    return {container[:12]: [end["IPv4Address"].split("/")[0]] for container, end in held.items()}


def reached_from(container: str, targets: list[str], *, greeting: str = "") -> list[str]:
    """The targets (HOST:PORT) that accept a connection from inside the container and send `greeting`."""
    return in_container(container, CAN_CONNECT, greeting, *targets).splitlines()


def reached_by_a_stranger(targets: list[str], *, greeting: str = "") -> list[str]:
    """The same from a container that has nothing to do with ours, on Docker's default network."""
    stranger = ["run", "--rm", "--entrypoint", "python", "specimen/gateway", "-c", CAN_CONNECT]
    return docker(*stranger, greeting, *targets).splitlines()


def greet_at(container: str, port: int, greeting: str) -> None:
    """Let the container send `greeting` to every connection to that port, on every network that it is in."""
    docker("exec", "--detach", container, "/opt/venv/bin/python", "-c", GREET, str(port), greeting)


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Poll `happened`, for as long as even a busy machine needs."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.2)


@dataclass
class Load:
    """What uploads got while something was done to the stack."""

    answers: list[tuple[str, int, str, int]] = field(default_factory=list)
    """Version, index and label of the best class, number of answers."""
    gateways: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(count for *_, count in self.answers)

    @property
    def versions(self) -> set[str]:
        return {version for version, *_ in self.answers}


@contextmanager
def load(container: str) -> Iterator[Load]:
    """Uploads from `container` as long as the block runs; what came of them is told after it."""
    told = Load()
    uploading = subprocess.Popen(
        ["docker", "exec", "-i", container, "python", "-c", LOAD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert uploading.stdin is not None
    assert uploading.stdout is not None
    try:
        uploading.stdin.write(base64.b64encode(pictures.jpeg()).decode() + "\n")
        uploading.stdin.flush()
        assert uploading.stdout.readline() == "started\n"
        yield told
    finally:
        out, _ = uploading.communicate(timeout=120)
    result = json.loads(out)
    told.answers = [(version, index, label, count) for version, index, label, count in result["answers"]]
    told.gateways, told.failures = result["gateways"], result["failures"]
