"""`python -m tests.attacks.suite [NAME...]`: attack a gateway while another caller uses it; a line for each attack.

Each attack runs on a gateway of its own with two embedded replicas and two keys. The other caller sends ten small
pictures a second, before and during the attack; p50 and p99 are of those that were served. A name selects the attacks
that contain it. With `--tree DIR` the gateway of another checkout is attacked.
"""

import argparse
import sys
import time
from dataclasses import dataclass

from tests.attacks.attackers import attack
from tests.attacks.beside import other_caller
from tests.attacks.cost import meter
from tests.attacks.gateway import ATTACKER, VICTIM, Gateway, running_gateway, send
from tests.attacks.processes import KINDS
from tests.attacks.rows import IMAGE, POISONS, Request, as_body
from tests.faults.load import Seen

BEFORE_S = 8.0
NORMAL_IN_A_ROW, NORMAL_WITHIN_S, MORE_FILES = 3, 60.0, 128
"""The service is normal again after so many answers of 200 in a row, with so few more descriptors than before, because
connections to replicas stay open."""
CPU_MS, ANSWER_S = 100, 0.5
"""What one poisonous body may take."""


@dataclass(frozen=True)
class Attack:
    """One attack: so many attackers of a kind (`tests/attacks/attackers.py`) for so long."""

    name: str
    kind: str
    count: int
    seconds: float


ATTACKS = [
    *(Attack(f"half uploads, {count}", "half", count, 50) for count in (8, 80)),
    Attack("slow readers of every route", "slow", 200, 25),
    *(Attack(f"unread assets, {count:,}", "asset", count, 10) for count in (2400, 4000, 4090)),
    *(Attack(f"unread routes, {count:,}", "unread", count, 10) for count in (2400, 4000, 4090)),
    *(
        Attack(f"another caller's {picture}, {count} at once", picture, count, 20)
        for picture in ("flat GIF, 36 MP", "flat PNG with alpha, 31 MP")
        for count in (64, 160)
    ),
    Attack("poisonous bodies", "poison", 1, 60),
]


def main() -> None:
    """Run those that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.suite")
    parser.add_argument("names", nargs="*", default=[""], help="parts of names; default: all")
    parser.add_argument("--tree", default="", help="another checkout, whose gateway is attacked")
    arguments = parser.parse_args()
    for each in ATTACKS:
        if any(name in each.name for name in arguments.names):
            with running_gateway(arguments.tree) as gateway:
                _print(f"{each.name}: {attacked(gateway, each)}; {_log(gateway)}")
    if any(name in "each body alone" for name in arguments.names):
        with running_gateway(arguments.tree) as gateway:
            _bodies(gateway)


def attacked(gateway: Gateway, each: Attack) -> str:
    """What the other caller saw, the attackers, and the gateway."""
    with other_caller(gateway.port, VICTIM) as before:
        time.sleep(BEFORE_S)
    replicas, rss = gateway.processes.replicas(), gateway.processes.rss_mib()
    cpu, files = gateway.processes.begin(), gateway.processes.files
    with other_caller(gateway.port, VICTIM) as during:
        outcomes = attack(each.kind, gateway.port, ATTACKER, count=each.count, seconds=each.seconds)
    used = gateway.processes.used(cpu)
    recovered_s = _recovered(gateway, files)
    told = [
        _others(before, during),
        "attackers " + ", ".join(f"{outcome}: {count:,}" for outcome, count in sorted(outcomes.items())),
        "CPU s " + ", ".join(f"{kind} {used.cpu_s[kind]:.1f}" for kind in KINDS),
        "MiB " + ", ".join(f"{kind} +{used.grown_bytes[kind] / 2**20:.0f}" for kind in KINDS),
        f"gateway {rss:.0f} MiB, {gateway.processes.rss_mib():.0f} after",
        f"descriptors {files}, most {used.files:,}",
        f"normal after {recovered_s:.1f} s" if recovered_s < NORMAL_WITHIN_S else "not normal again in a minute",
        f"{len(replicas - gateway.processes.replicas())} replicas lost",
    ]
    return "; ".join(told)


def _others(before: Seen, during: Seen) -> str:
    problems = ", ".join(f"{slug} {count}" for slug, count in during.problems.items())
    unanswered = f"no answer {during.statuses[0]}" if during.statuses[0] else ""
    why = ", ".join(part for part in (problems, unanswered) if part)
    spans = [f"p{share * 100:.0f} {before.served(share):.0f} -> {during.served(share):.0f} ms" for share in (0.5, 0.99)]
    failed = f"others {during.failures} of {during.count} failed" + (f" ({why})" if why else "")
    return (
        f"{failed}, {', '.join(spans)}, longest {max(during.latencies_ms):.0f} ms, late {during.lateness(0.99):.0f} ms"
    )


def _recovered(gateway: Gateway, files: int) -> float:
    message = Request("small", "POST", "/v1/classify", as_body("small JPEG"), IMAGE).message(VICTIM)
    began, in_a_row = time.monotonic(), 0
    while in_a_row < NORMAL_IN_A_ROW and time.monotonic() - began < NORMAL_WITHIN_S:
        gateway.processes.files = 0
        well = send(gateway.port, message).status == 200
        gateway.processes.look()
        in_a_row = in_a_row + 1 if well and gateway.processes.files <= files + MORE_FILES else 0
        time.sleep(0.02 if well else 0.1)
    return time.monotonic() - began


def _log(gateway: Gateway) -> str:
    lines = gateway.log.read_bytes().splitlines()
    errors = sum(b'"level":"error"' in line for line in lines)
    return f"log {len(lines):,} lines, longest {max(map(len, lines)):,} bytes, {errors:,} of level error"


def _bodies(gateway: Gateway) -> None:
    """Each body on its own: what it costs, in how many seconds it is answered, and whether a replica is lost."""
    measuring, dear = meter(gateway, runs=1), 0
    for request in POISONS:
        measured = measuring.cost(request)
        if measured.cpu_ms > CPU_MS or measured.seconds > ANSWER_S or measured.cost.replicas_lost:
            dear += 1
            _print(f"  {measured.told()}")
    _print(f"each body alone: {dear} of {len(POISONS)} took more than {CPU_MS} ms of CPU or {ANSWER_S} s, or a replica")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
