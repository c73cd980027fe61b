"""What the dearest request of each route may cost, what it was measured to cost, and the table of both.

The measurements are in `measured.json`, which `python -m tests.attacks.cost` writes; `make fix` writes the table from
them into docs/threat-model.md. A promise is about twice the measurement on a machine that does nothing else.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

FILE = Path(__file__).with_name("measured.json")


@dataclass(frozen=True)
class Cost:
    """Of one request, by kind of process: CPU time in milliseconds, growth of memory in MiB."""

    gateway_ms: float = 20
    decoding_ms: float = 10
    replicas_ms: float = 20
    gateway_mib: float = 8
    decoding_mib: float = 8
    replicas_mib: float = 8
    log_bytes: float = 2048
    answer_bytes: float = 16_384
    replicas_lost: float = 0


@dataclass(frozen=True)
class Measured:
    """One request, or the dearest of a row."""

    request: str
    bytes_in: int
    status: int
    seconds: float
    cost: Cost

    def told(self) -> str:
        """One line."""
        figures = ", ".join(f"{name} {value:.1f}" for name, value in asdict(self.cost).items())
        return f"{self.request}: {self.bytes_in:,} bytes, {self.status} in {self.seconds:.3f} s; {figures}"

    @property
    def cpu_ms(self) -> float:
        """Of all processes."""
        return self.cost.gateway_ms + self.cost.decoding_ms + self.cost.replicas_ms


def worst(candidates: Iterable[Measured]) -> Measured:
    """The one that took most CPU time, with the largest of each figure of all of them."""
    measured = list(candidates)
    most = Cost(*(round(max(getattr(one.cost, each.name) for one in measured), 1) for each in fields(Cost)))
    dearest = max(measured, key=lambda one: one.cpu_ms)
    return replace(dearest, cost=most, seconds=round(max(one.seconds for one in measured), 3))


PROMISES: dict[str, Cost] = {}


def broken(rows: Mapping[str, Measured], promises: Mapping[str, Cost]) -> list[str]:
    """A line for each figure above its promise."""
    return [
        f"{row}: {each.name} is {getattr(measured.cost, each.name):,.1f}, promised {getattr(promise, each.name):,.0f}"
        for row, measured in rows.items()
        if (promise := promises.get(row, Cost()))
        for each in fields(Cost)
        if getattr(measured.cost, each.name) > getattr(promise, each.name)
    ]


Columns = dict[str, dict[str, Measured]]
"""before and now -> row -> measurement."""


def read() -> Columns:
    """The measurements of the last runs."""
    if not FILE.exists():
        return {}
    columns = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        column: {row: Measured(**{**one, "cost": Cost(**one["cost"])}) for row, one in rows.items()}
        for column, rows in columns.items()
    }


def write(columns: Columns) -> None:
    """Keep them."""
    kept = {column: {row: asdict(one) for row, one in rows.items()} for column, rows in columns.items()}
    FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
