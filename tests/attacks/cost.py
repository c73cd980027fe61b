"""`python -m tests.attacks.cost`: measure the dearest request of every route, and write the table of the threat model.

Exits with 1 if a request cost more than the table promises. With `--tree DIR` it measures the gateway of another
checkout, for the column "before". CPU time is what the processes used beyond what they use when idle. Each request is
repeated; figures are medians.
"""

import argparse
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

from tests.attacks.gateway import ATTACKER, Answer, Gateway, running_gateway, send
from tests.attacks.processes import DECODING, GATEWAY, KINDS, REPLICAS
from tests.attacks.promises import PROMISES, Cost, Measured, broken, read, worst, write
from tests.attacks.rows import ROWS, Request

RUNS, ENOUGH_S = 3, 2.0
"""A request is measured so often, unless once took longer than `ENOUGH_S`."""
CHEAP_S, TIMES = 0.01, 10
"""Requests that use less CPU time are sent so often in each run."""
IDLE_S = 3.0


@dataclass(frozen=True)
class Meter:
    """Measures single requests to a gateway that nobody else uses."""

    gateway: Gateway
    idle: dict[str, float]
    """CPU seconds a second of each kind of process without requests."""

    def cost(self, request: Request) -> Measured:
        """The medians of several runs."""
        message = request.message(ATTACKER)
        began = time.monotonic()
        first = self._once(request, message)
        if time.monotonic() - began > ENOUGH_S:
            return first
        whole_s = (first.cost.gateway_ms + first.cost.decoding_ms + first.cost.replicas_ms) / 1000
        times = TIMES if whole_s < CHEAP_S else 1
        runs = [self._once(request, message, times) for _ in range(RUNS)]
        middle = Cost(*(median(getattr(run.cost, each.name) for run in runs) for each in fields(Cost)))
        return Measured(request.name, len(message), runs[0].status, median(run.seconds for run in runs), middle)

    def _once(self, request: Request, message: bytes, times: int = 1) -> Measured:
        processes, log = self.gateway.processes, self.gateway.log
        replicas, logged = processes.replicas(), log.stat().st_size
        before, began = processes.begin(), time.monotonic()
        answers = [send(self.gateway.port, message) for _ in range(times)]
        processes.wait_until_quiet()
        used, elapsed_s = processes.used(before), time.monotonic() - began
        cpu_ms = {kind: max(0.0, used.cpu_s[kind] - self.idle[kind] * elapsed_s) * 1000 / times for kind in KINDS}
        mib = {kind: used.grown_bytes[kind] / 2**20 for kind in KINDS}
        lost = len(replicas - processes.replicas())
        log_bytes = (log.stat().st_size - logged) / times
        if lost:
            self.gateway.wait_until_ready()
            processes.wait_until_quiet()
        cost = Cost(
            *(cpu_ms[kind] for kind in (GATEWAY, DECODING, REPLICAS)),
            *(mib[kind] for kind in (GATEWAY, DECODING, REPLICAS)),
            log_bytes,
            max(answer.bytes for answer in answers),
            lost,
        )
        return Measured(request.name, len(message), _status(answers), median(a.seconds for a in answers), cost)


def _status(answers: list[Answer]) -> int:
    return answers[0].status


def meter(gateway: Gateway) -> Meter:
    """One that knows what the gateway uses when idle."""
    gateway.processes.wait_until_quiet()
    before, began = gateway.processes.begin(), time.monotonic()
    time.sleep(IDLE_S)
    used, elapsed_s = gateway.processes.used(before), time.monotonic() - began
    return Meter(gateway, {kind: used.cpu_s[kind] / elapsed_s for kind in KINDS})


def main() -> None:
    """Measure, print every request, write the table, and judge it."""
    arguments = _arguments()
    began = time.monotonic()
    with running_gateway(arguments.tree) as gateway:
        measuring = meter(gateway)
        rows = {row: _row(measuring, row) for row in ROWS if arguments.rows in row}
    told = broken(rows, PROMISES) if not arguments.tree else []
    if not arguments.rows:
        write(read() | {"before" if arguments.tree else "now": rows})
    sys.stdout.write("".join(f"above the promise: {line}\n" for line in told))
    sys.stdout.write(f"{sum(map(len, ROWS.values()))} requests in {time.monotonic() - began:.0f} s\n")
    sys.exit(1 if told else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.cost")
    parser.add_argument("--tree", type=Path, help="another checkout, whose gateway is measured as the one before")
    parser.add_argument("--rows", default="", help="only rows whose name has this in it; nothing is written")
    return parser.parse_args()


def _row(measuring: Meter, row: str) -> Measured:
    sys.stdout.write(f"{row}\n")
    candidates = []
    for request in ROWS[row]:
        candidates.append(measured := measuring.cost(request))
        sys.stdout.write(f"  {measured.told()}\n")
        sys.stdout.flush()
    return worst(candidates)


if __name__ == "__main__":
    main()
