"""`python -m tests.chaos.names FILE`: the gateway, with a resolver that answers from FILE.

libc asks the servers of /etc/resolv.conf, which is not ours to change; so the event loop's and the socket module's
`getaddrinfo` is the wire that is replaced, and all above it is the gateway's own. FILE holds JSON, read at every
look-up: {"name": ["127.0.0.2", ...]}, an empty list for a name without addresses, null for a resolver that fails.
"""

import asyncio
import ipaddress
import json
import runpy
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

Records = list[tuple[int, int, int, str, tuple[Any, ...]]]
NAME = "replicas.test"


@dataclass(frozen=True)
class Names:
    """FILE as the harness writes it, with one name."""

    file: Path

    def tell(self, addresses: Sequence[str] | None) -> None:
        """Set what the resolver answers; None: it fails."""
        aside = self.file.with_suffix(".new")
        aside.write_text(json.dumps({NAME: addresses}))
        aside.replace(self.file)


def look_up(names: Path, host: str, port: int) -> Records:
    """As getaddrinfo answers.

    Raises:
        socket.gaierror: the name is unknown, without addresses, or the resolver fails.
    """
    addresses = [host] if _is_address(host) else json.loads(names.read_text()).get(host, [])
    if addresses is None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def run_gateway(names: Path) -> None:
    """`python -m gateway`, but for its resolver."""

    class Loop(uvloop.Loop):
        async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
            await asyncio.sleep(0.001)
            return look_up(names, host, int(port))

    uvloop.new_event_loop = Loop
    socket.getaddrinfo = lambda host, port, *_, **__: look_up(names, str(host), int(port))  # type: ignore[assignment]
    sys.argv = ["gateway"]
    runpy.run_module("gateway", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run_gateway(Path(sys.argv[1]))
