"""One scenario: replicas, a gateway in front of them, and clients. It is repeated if the machine was too busy."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.chaos import gateway, load, replicas
from tests.chaos.gateway import Gateway
from tests.chaos.load import MAX_LAG_P99_S, Offered, Outcomes, Traffic, batch, uploads
from tests.chaos.names import NAME, Names
from tests.chaos.replicas import Replica
from tests.chaos.report import Line, Report, part_of
from tests.faults.record import record

ATTEMPTS = 3
REPEAT_WITHIN_S = 420
"""Of the whole session: no scenario is repeated later than that, since so busy a machine does not become quiet."""
SERVICE_S = 0.01
OFFERED = Offered()
TRANSPORTS = ("rest", "grpc")
QUICK = {"drain_s": 0, "probe_interval_s": 0.25, "probe_timeout_s": 1, "attempt_timeout_s": 1, "deadline_s": 5}
"""Settings for most scenarios: the defaults' proportions, at a pace that a test can wait for."""

_began = time.monotonic()


@dataclass
class Bed:
    """What a scenario works with."""

    replicas: list[Replica]
    gateway: Gateway
    traffic: Traffic
    names: Names | None
    """Where the gateway looks the replicas up by name."""

    def look_up_gives(self, *answer: Replica) -> None:
        """Let the resolver answer with the addresses of these replicas."""
        assert self.names is not None
        self.names.tell([replica.host for replica in answer])

    async def calls(self) -> list[int]:
        """Calls for the clients' own pictures at each replica, by its present process."""
        own = {digest for upload in (*uploads(), batch()) for digest in upload.digests}
        seen = [await replica.seen() for replica in self.replicas]
        return [sum(count for digest, count in one.calls.items() if digest in own) for one in seen]


@dataclass
class Run:
    """One attempt at a scenario."""

    name: str
    folder: Path
    report: Report
    lags_s: list[float] = field(default_factory=list)
    starved: str = ""
    """Why a process got too little CPU for what is counted; then the run is invalid. Empty: it got enough."""
    _lines: list[Line] = field(default_factory=list)
    _figures: list[tuple[str, str]] = field(default_factory=list)

    @asynccontextmanager
    async def bed(
        self, *, count: int = 4, by_name: int = 0, offered: Offered = OFFERED, **settings: object
    ) -> AsyncIterator[Bed]:
        """Replicas that are all available, a gateway and its clients.

        Args:
            by_name: the gateway looks the replicas up and finds so many at first; 0: it gets a list of addresses.
            settings: the gateway's, by name. With `transport="grpc"` the replicas serve gRPC, too.
        """
        folder = self.folder / str(len(self.lags_s))
        folder.mkdir()
        async with replicas.running(count, grpc=settings.get("transport") == "grpc", service_s=SERVICE_S) as made:
            names = Names(folder / "names.json") if by_name else None
            if names:
                names.tell([replica.host for replica in made[:by_name]])
            addresses = [replica.address for replica in made[: by_name or count]]
            upstream = f"dns://{NAME}:{made[0].port}" if names else ",".join(addresses)
            told = QUICK | {"upstream": upstream, **made[0].as_settings} | settings
            async with gateway.running(folder, names=names, **told) as started:
                await started.takes_in(*addresses)
                async with load.traffic(started.port, offered) as traffic:
                    try:
                        yield Bed(made, started, traffic, names)
                    finally:
                        self.lags_s.append(traffic.lag_p99_s)

    def tell(self, part: str, outcomes: Outcomes, *, undisturbed: Outcomes | None = None, notes: str = "") -> None:
        """Add a line to the report, to be published if this run is valid."""
        self._lines.append(part_of(self.name, part, outcomes, undisturbed=undisturbed, notes=notes))

    def expects_no_slow_replica(self, bed: Bed) -> None:
        """Mark the run invalid if this machine made a replica slow: the gateway then rightly shares unevenly."""
        if slow := bed.gateway.lines("replica slow"):
            self.starved = f"{len(slow)} times a replica got so little CPU that the gateway treated it as slow"

    def record(self, rows: str, figure: str) -> None:
        """Keep a figure for rows of the fault catalogue (numbers separated by spaces), in case this run passes."""
        self._figures += [(row, figure) for row in rows.split()]

    @property
    def valid(self) -> bool:
        """Whether the harness was on time and the machine had enough CPU for the gateway and the replicas."""
        return max(self.lags_s, default=0) <= MAX_LAG_P99_S and not self.starved

    def publish(self, *, held: bool) -> None:
        """Write the lines, or why the run was invalid, to the report, and its figures to the catalogue if it passed."""
        if self.valid:
            self.report.lines += self._lines
            for row, figure in self._figures if held else ():
                record(row, figure)
        else:
            lag_ms = round(max(self.lags_s) * 1000)
            why = self.starved or f"the p99 of the harness's own lag was {lag_ms} ms"
            self.report.invalid.append(f"{self.name}: a run was invalid: {why}")


Scenario = Callable[[Run], Awaitable[None]]


@dataclass
class Chaos:
    """Runs scenarios for one test."""

    folder: Path
    report: Report

    async def valid_run(self, name: str, scenario: Scenario) -> None:
        """Repeat a scenario until a run is valid; the assertions of that run count. Skips if no run was valid."""
        for attempt in range(ATTEMPTS):
            folder = self.folder / str(attempt)
            folder.mkdir()
            run = Run(name, folder, self.report)
            failure: Exception | None = None
            try:
                await scenario(run)
            except (AssertionError, TimeoutError, OSError) as error:
                failure = error
            run.publish(held=failure is None)
            if run.valid:
                if failure is not None:
                    raise failure
                return
            if time.monotonic() - _began > REPEAT_WITHIN_S:
                break
        pytest.skip(f"no valid run of scenario {name}: this machine is too busy to measure anything")
