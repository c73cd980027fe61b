"""Where the replicas are."""

import asyncio
import socket
from typing import Any

import pytest

from gateway.replicas.discovery import Listed, Resolved

Records = list[tuple[Any, ...]]


def record(host: str) -> tuple[Any, ...]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return (family, socket.SOCK_STREAM, 6, "", (host, 8501))


class Resolver:
    """A fake of the system's resolver that counts its calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
        self.hosts = hosts
        self.asked = 0
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self.look_up, raising=False)

    async def look_up(self, name: str, port: int, **options: Any) -> Records:
        self.asked += 1
        if not self.hosts:
            raise socket.gaierror(-2, "Name or service not known")
        return [record(host) for host in self.hosts]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # uvloop's methods cannot be replaced


async def test_a_list_needs_no_look_up() -> None:
    assert await Listed(["a:1", "b:2"]).addresses() == ["a:1", "b:2"]


async def test_every_address_of_the_name_is_a_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch, "10.0.0.2", "10.0.0.1", "10.0.0.2", "fd00::1")
    found = await Resolved("tasks.tf:8501", refresh_s=5, clock=lambda: 0).addresses()
    assert found == ["10.0.0.1:8501", "10.0.0.2:8501", "[fd00::1]:8501"]


async def test_the_name_is_looked_up_again_when_its_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    resolver = Resolver(monkeypatch, "10.0.0.1")
    resolved = Resolved("tf:8501", refresh_s=5, clock=lambda: now)
    assert await resolved.addresses() == ["10.0.0.1:8501"]
    resolver.hosts = ("10.0.0.1", "10.0.0.2")
    now = 4.9
    assert await resolved.addresses() == ["10.0.0.1:8501"]
    now = 5.0
    assert await resolved.addresses() == ["10.0.0.1:8501", "10.0.0.2:8501"]
    assert resolver.asked == 2


async def test_a_resolver_that_fails_takes_no_replica_away(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    resolver = Resolver(monkeypatch, "10.0.0.1")
    resolved = Resolved("tf:8501", refresh_s=5, clock=lambda: now)
    await resolved.addresses()
    resolver.hosts = ()
    now = 5.0
    assert await resolved.addresses() == ["10.0.0.1:8501"]
