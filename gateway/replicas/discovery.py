"""The addresses of the replicas: a fixed list, or every address of one DNS name."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

log = structlog.get_logger()


class Discovery(Protocol):
    """A source of replica addresses, read before each round of probes."""

    trouble: str
    """Why the last look-up failed; empty if it succeeded."""

    async def addresses(self) -> Sequence[str]:
        """host:port of each replica, in a stable order."""

    def expire(self) -> None:
        """Called when a connection failed: the addresses may be stale."""


class Listed:
    """The addresses listed in the settings."""

    trouble = ""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def addresses(self) -> Sequence[str]:
        """The list, unchanged."""
        return self._addresses

    def expire(self) -> None:
        """Nothing to do: a list does not become stale."""


class Resolved:
    """Every A and AAAA record of one name: a Compose service, Swarm's `tasks.NAME` or a headless Service."""

    def __init__(self, target: str, *, refresh_s: float, clock: Callable[[], float]) -> None:
        """`target`: NAME:PORT."""
        self.trouble = ""
        self._name, _, self._port = target.rpartition(":")
        self._refresh_s = refresh_s
        self._clock = clock
        self._found: Sequence[str] = ()
        self._due = float("-inf")

    async def addresses(self) -> Sequence[str]:
        """The last successful answer; looked up again when it is older than `refresh_s`."""
        if self._clock() >= self._due:
            self._due = self._clock() + self._refresh_s
            self._found = await self._look_up() or self._found
        return self._found

    def expire(self) -> None:
        """Look the name up again at the next call of `addresses`."""
        self._due = float("-inf")

    async def _look_up(self) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        try:
            records = await loop.getaddrinfo(self._name, int(self._port), type=socket.SOCK_STREAM)
        except OSError as error:  # replicas that work are kept while the resolver fails
            self._report(str(error))
            return ()
        self._report("")
        return sorted({_host_port(str(sockaddr[0]), self._port) for *_, sockaddr in records})

    def _report(self, trouble: str) -> None:
        """Log a failure when it begins and when it is over, not at every look-up."""
        if trouble and not self.trouble:
            log.warning("replicas not looked up", name=self._name, reason=trouble, kept=len(self._found))
        if self.trouble and not trouble:
            log.info("replicas looked up again", name=self._name)
        self.trouble = trouble


def _host_port(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
