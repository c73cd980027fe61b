"""`python -m tests.attacks.attackers KIND PORT KEY COUNT SECONDS`: callers who want to shut the others out.

A separate process at the lowest priority, because real attackers do not use the gateway's CPU; together they send at
most a gigabit a second. Only this machine can be attacked. Prints JSON: outcome -> number of connections or requests.
"""

import asyncio
import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

from benchmarks.load import answer
from tests.attacks.pictures import PICTURES
from tests.attacks.rows import CHEAP, IMAGE, MODEL, POISONS, ROWS, Request, as_body
from tests.documents import ROOT
from tests.faults.attackers import NICE, PIECE_BYTES, PIECE_S

ANNOUNCED, LEFT = 33_554_432, 450
DRIP_S = 4.0
HELD_S = 30.0
"""At least, once all but the end has been sent, however busy the machine is."""
UNREAD_S = 8.0
"""How long an answer stays unread at least, once it has been asked for."""
GIGABIT_BYTES_PER_S = 120e6
BUFFER_BYTES = 4096
PIPELINED = 4

Outcome = str
Attacker = Callable[[float], Awaitable[Outcome]]
"""Works until that moment on the clock of the event loop."""


async def half_upload(port: int, key: str, count: int, until: float) -> Outcome:
    """Send a large body but for its end, then a byte now and then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    refused = asyncio.create_task(reader.read(PIECE_BYTES))
    head = f"POST {MODEL}:predict HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Length: {ANNOUNCED}\r\n\r\n"
    pause_s = max(PIECE_S, count * PIECE_BYTES / GIGABIT_BYTES_PER_S)
    with contextlib.suppress(ConnectionError), contextlib.closing(writer):
        writer.write(head.encode())
        for at in range(0, ANNOUNCED - LEFT, PIECE_BYTES):
            writer.write(bytes(min(PIECE_BYTES, ANNOUNCED - LEFT - at)))
            await asyncio.wait({refused}, timeout=pause_s)
            if refused.done():
                break
            await writer.drain()
        until = max(until, _now() + HELD_S)
        while not refused.done() and _now() < until:
            writer.write(b" ")
            await asyncio.wait({refused}, timeout=DRIP_S)
    if refused.done() and not refused.exception():
        return refused.result()[9:12].decode() or "closed"
    return "closed" if refused.done() else "held to the end"


async def reader_of(message: bytes, port: int, bytes_per_s: int, until: float) -> Outcome:
    """Ask with a small receive buffer, and read the answers slowly or not at all."""
    loop, seen = asyncio.get_running_loop(), b""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, ("127.0.0.1", port))
            await loop.sock_sendall(connection, message * PIPELINED)
            while bytes_per_s and _now() < until:
                if not (chunk := await asyncio.wait_for(loop.sock_recv(connection, bytes_per_s), 5)):
                    break
                seen = (seen + chunk)[:12]
                await asyncio.sleep(1)
            await asyncio.sleep(max(until - _now(), UNREAD_S))
            seen = seen or connection.recv(12)
        except BlockingIOError:
            return "held without a byte"
        except (ConnectionError, TimeoutError) as failure:
            return seen[9:12].decode() or type(failure).__name__
    return seen[9:12].decode() or "closed"


async def sender_of(message: bytes, port: int, counts: "Counter[Outcome]", until: float) -> Outcome:
    """Send the same request again as soon as it is answered."""
    while _now() < until:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(writer):
                writer.write(message)
                status, _ = await answer(reader)
                counts[str(status)] += 1
    return ""


async def sender_in_turn(messages: list[bytes], port: int, counts: "Counter[Outcome]", until: float) -> Outcome:
    """Send each request once, one after the other."""
    slowest_s = 0.0
    for message in messages:
        if (began := _now()) > until:
            counts["not sent"] += 1
            continue
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(writer):
                writer.write(message)
                status, _ = await answer(reader)
                counts[str(status)] += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            counts["closed"] += 1
        slowest_s = max(slowest_s, _now() - began)
    return f"slowest {slowest_s:.2f} s"


def _now() -> float:
    return asyncio.get_running_loop().time()


def attackers(kind: str, port: int, key: str, count: int, counts: "Counter[Outcome]") -> list[Attacker]:
    """So many of that kind; `counts` is where they count requests, if not connections."""
    match kind:
        case "half":
            return [partial(half_upload, port, key, count) for _ in range(count)]
        case "slow" | "unread":
            pace = 1 if kind == "slow" else 0
            mixed = [request.message(key) for request in CHEAP]
            return [partial(reader_of, mixed[at % len(mixed)], port, pace) for at in range(count)]
        case "asset":
            message = ROWS["GET /docs/assets/FILE"][0].message(key)
            return [partial(reader_of, message, port, 0) for _ in range(count)]
        case "poison":
            return [partial(sender_in_turn, [request.message(key) for request in POISONS], port, counts)]
        case picture:
            message = Request(picture, "POST", "/v1/classify", as_body(picture), IMAGE).message(key)
            return [partial(sender_of, message, port, counts) for _ in range(count)]


async def main(kind: str, port: int, key: str, count: int, seconds: float) -> None:
    """Attack, and print the outcomes."""
    counts: Counter[Outcome] = Counter()
    working = attackers(kind, port, key, count, counts)
    until = _now() + seconds
    outcomes = await asyncio.gather(*(attacker(until) for attacker in working), return_exceptions=True)
    counts.update(each if isinstance(each, str) else type(each).__name__ for each in outcomes)
    counts.pop("", None)
    json.dump(counts, sys.stdout)


def attack(kind: str, port: int, key: str, *, count: int, seconds: float) -> dict[Outcome, int]:
    """The outcomes of attackers in a process of their own."""
    assert kind in ("half", "slow", "unread", "asset", "poison", *PICTURES), kind
    command = [sys.executable, "-m", "tests.attacks.attackers", kind, str(port), key, str(count), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=seconds + 120)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    os.nice(NICE)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5])))
