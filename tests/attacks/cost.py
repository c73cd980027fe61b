"""`python -m tests.attacks.cost`: measure the dearest request of every route, and write the table of the threat model.

Exits with 1 if a request cost more than the table promises. With `--tree DIR` it measures the gateway of another
checkout, for the column "before". CPU time is what the processes used beyond what they use when idle. Each request is
repeated; figures are medians.
"""

import argparse
import sys
import time
from dataclasses import dataclass, fields
from statistics import median

from tests.attacks.gateway import ATTACKER, Gateway, running_gateway, send
from tests.attacks.processes import KINDS, Processes, Used
from tests.attacks.promises import Cost, Measured, broken, read, worst, write
from tests.attacks.rows import ROWS, Request

RUNS, ENOUGH_S = 3, 2.0
"""A request is measured so often, unless once took longer than `ENOUGH_S`."""
CHEAP_S, TIMES = 0.01, 10
"""Requests that use less CPU time are sent so often in each run."""
IDLE_SECONDS = 5


@dataclass(frozen=True)
class Meter:
    """Measures single requests to a gateway that nobody else uses."""

    gateway: Gateway
    idle: dict[str, float]
    """CPU seconds a second of each kind of process without requests."""
    runs: int = RUNS

    def cost(self, request: Request) -> Measured:
        """The medians of several runs; of memory the most."""
        message = request.message(ATTACKER)
        began = time.monotonic()
        first = self._once(request, message)
        if time.monotonic() - began > ENOUGH_S:
            return first
        whole_s = (first.cost.gateway_ms + first.cost.decoding_ms + first.cost.replicas_ms) / 1000
        times = TIMES if whole_s < CHEAP_S else 1
        runs = [self._once(request, message, times) for _ in range(self.runs)]
        middle = Cost(*(_of_runs(each.name, [first, *runs]) for each in fields(Cost)))
        return Measured(request.name, len(message), runs[0].status, median(run.seconds for run in runs), middle)

    def _once(self, request: Request, message: bytes, times: int = 1) -> Measured:
        processes, log = self.gateway.processes, self.gateway.log
        replicas, logged = processes.replicas(), log.stat().st_size
        before, began = processes.begin(), time.monotonic()
        answers = [send(self.gateway.port, message) for _ in range(times)]
        quiet = processes.wait_until_quiet()
        used, elapsed_s = processes.used(before), time.monotonic() - began
        cost = Cost(
            **self._figures(used, elapsed_s, times),
            log_bytes=(log.stat().st_size - logged) / times,
            answer_bytes=max(answer.bytes for answer in answers),
            replicas_lost=len(replicas - processes.replicas()),
        )
        self._settle(well=quiet and not cost.replicas_lost)
        return Measured(request.name, len(message), answers[0].status, median(a.seconds for a in answers), cost)

    def _figures(self, used: Used, elapsed_s: float, times: int) -> dict[str, float]:
        idle_s = {kind: self.idle[kind] * elapsed_s for kind in KINDS}
        cpu_ms = {f"{kind}_ms": max(0.0, used.cpu_s[kind] - idle_s[kind]) * 1000 / times for kind in KINDS}
        return cpu_ms | {f"{kind}_mib": used.grown_bytes[kind] / 2**20 for kind in KINDS}

    def _settle(self, *, well: bool) -> None:
        """Let the gateway replace replicas that have ended, or do not stop working."""
        if not well:
            if not self.gateway.processes.wait_until_quiet():
                self.gateway.end_replicas()
            self.gateway.wait_until_ready()
            self.gateway.processes.wait_until_quiet()


def _of_runs(name: str, runs: list[Measured]) -> float:
    """The median without the first run, which warms up; of memory the most, since processes keep some of it."""
    figures = [float(getattr(run.cost, name)) for run in runs]
    return max(figures) if name.endswith("_mib") else median(figures[1:])


def meter(gateway: Gateway, runs: int = RUNS) -> Meter:
    """One that knows what the gateway uses when idle."""
    gateway.processes.wait_until_quiet()
    seconds = [_idle_second(gateway.processes) for _ in range(IDLE_SECONDS)]
    return Meter(gateway, {kind: min(used[kind] for used in seconds) for kind in KINDS}, runs)


def _idle_second(processes: Processes) -> dict[str, float]:
    before, began = processes.begin(), time.monotonic()
    time.sleep(1)
    used, elapsed_s = processes.used(before), time.monotonic() - began
    return {kind: cpu_s / elapsed_s for kind, cpu_s in used.cpu_s.items()}


def main() -> None:
    """Measure, print every request, write the table, and judge it."""
    arguments = _arguments()
    began = time.monotonic()
    with running_gateway(arguments.tree) as gateway:
        measuring = meter(gateway, 1 if arguments.tree else RUNS)
        rows = {row: _row(measuring, row) for row in ROWS if arguments.rows in row}
    told = broken(rows) if not arguments.tree else []
    if not arguments.rows:
        write(read() | {"before" if arguments.tree else "now": rows})
    sys.stdout.write("".join(f"above the promise: {line}\n" for line in told))
    sys.stdout.write(f"{sum(map(len, ROWS.values()))} requests in {time.monotonic() - began:.0f} s\n")
    sys.exit(1 if told else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.cost")
    parser.add_argument("--tree", default="", help="another checkout, whose gateway is measured as the one before")
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
