"""`python -m tests.faults.unread PORT COUNT PATH...`: clients that ask for the paths in turn and read nothing.

A separate process at the lowest priority, as attackers are elsewhere. Each connection has a receive buffer of 4 KiB.
Prints a line when all have asked, and closes them when its standard input ends.
"""

import contextlib
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence

from tests.documents import ROOT
from tests.faults.attackers import NICE

RECEIVE_BYTES = 4096
AT_REST = "asked"


@contextlib.contextmanager
def unread(port: int, count: int, paths: Sequence[str]) -> Iterator[None]:
    """So many of them while the block runs, from a process of their own; the block begins when all have asked."""
    command = [sys.executable, "-m", "tests.faults.unread", str(port), str(count), *paths]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdin
        assert clients.stdout
        assert clients.stdout.readline().strip() == AT_REST
        yield
        clients.stdin.close()


def main(port: int, count: int, paths: Sequence[str]) -> None:
    """Ask, wait, close."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = [socket.socket() for _ in range(count)]
    for number, connection in enumerate(connections):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        connection.connect(("127.0.0.1", port))
        with contextlib.suppress(OSError):  # turned away
            connection.sendall(f"GET {paths[number % len(paths)]} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    sys.stdout.write(f"{AT_REST}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    os.nice(NICE)
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
