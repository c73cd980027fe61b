"""`python -m tests.faults.attackers PORT AT_ONCE FILE...`: send each file so many times at once, one after the other.

A separate process at the lowest priority: real attackers do not use the gateway's CPU. Their network is slower than a
loopback, too: each sends at most 6 MB a second, so twenty of them fill a gigabit. Prints JSON: for each file, a list of
[status, problem, seconds].
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import answer
from tests.documents import ROOT
from tests.faults.contract import problem_in

NICE = 19
PIECE_BYTES, PIECE_S = 64 * 1024, 0.01


class Told(NamedTuple):
    """One answer."""

    status: int
    problem: str
    seconds: float


async def send(port: int, data: bytes, *, pause_s: float = 0) -> Told:
    """One picture on a connection of its own; `pause_s` between its pieces."""
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer):
        head = (
            f"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        writer.write(head.encode())
        for at in range(0, len(data), PIECE_BYTES):
            writer.write(data[at : at + PIECE_BYTES])
            await asyncio.sleep(pause_s)
        status, body = await answer(reader)
    problem = "" if status == 200 else problem_in(status, body)
    return Told(status, problem, time.perf_counter() - started)


def attacked(port: int, files: Mapping[str, Path], *, at_once: int) -> dict[str, list[Told]]:
    """The answers to attackers in a separate process, by file name."""
    command = [sys.executable, "-m", "tests.faults.attackers", str(port), str(at_once), *map(str, files.values())]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=300)
    told = json.loads(done.stdout)
    return {name: [Told(*one) for one in answers] for name, answers in zip(files, told, strict=True)}


async def main(port: int, at_once: int, files: list[Path]) -> list[list[Told]]:
    """Each in its turn."""
    told = []
    for file in files:
        data = file.read_bytes()
        told.append(list(await asyncio.gather(*(send(port, data, pause_s=PIECE_S) for _ in range(at_once)))))
    return told


if __name__ == "__main__":
    os.nice(NICE)
    json.dump(asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), [Path(name) for name in sys.argv[3:]])), sys.stdout)
