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

    gateway_ms: float = 7
    decoding_ms: float = 2
    replicas_ms: float = 3
    gateway_mib: float = 4
    decoding_mib: float = 2
    replicas_mib: float = 2
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


PROMISES: dict[str, Cost] = {
    "POST /v1/classify": Cost(60, 1200, 15, 42, 480, answer_bytes=20_000),
    "POST /v1/classify, form": Cost(75, 750, 12, 42, 280),
    "POST /v1/classify/batch": Cost(300, 4500, 200, 170, 480, 12, answer_bytes=320_000),
    "POST :predict": Cost(250, 2, 2600, 140, 2, 2000, answer_bytes=700_000),
    "POST :classify": Cost(14, 2, 100, 24, 2, 64),
    "POST :regress": Cost(14, 2, 100, 24, 2, 64),
    "GET /metrics": Cost(25, answer_bytes=120_000),
    "GET /openapi.json": Cost(answer_bytes=220_000),
    "GET /docs/assets/FILE": Cost(35, answer_bytes=3_200_000),
}
"""Rows without an entry keep the defaults of `Cost`."""


def promised(row: str) -> Cost:
    """What a request of that row costs at most."""
    return PROMISES.get(row, Cost())


def broken(rows: Mapping[str, Measured]) -> list[str]:
    """A line for each figure above its promise."""
    return [
        f"{row}: {each.name} is {getattr(measured.cost, each.name):,}, promised {getattr(promised(row), each.name):,}"
        for row, measured in rows.items()
        for each in fields(Cost)
        if getattr(measured.cost, each.name) > getattr(promised(row), each.name)
    ]


COLUMNS = {
    "gateway, ms": "gateway_ms",
    "decoding, ms": "decoding_ms",
    "replicas, ms": "replicas_ms",
    "gateway, MiB": "gateway_mib",
    "decoding, MiB": "decoding_mib",
    "replicas, MiB": "replicas_mib",
    "answer, bytes": "answer_bytes",
    "log, bytes": "log_bytes",
    "replicas lost": "replicas_lost",
}


def table() -> str:
    """A row for each route: before / now / promised."""
    columns = read()
    heads = ["row", "dearest request", "bytes in", "longest, s", *COLUMNS]
    lines = [_line(heads), "|---|---|" + "--:|" * (len(heads) - 2)]
    for row, now in columns.get("now", {}).items():
        before = columns["before"][row] if row in columns.get("before", {}) else now
        figures = [_cell(before.cost, now.cost, promised(row), name) for name in COLUMNS.values()]
        longest = f"{before.seconds:.2f} / {now.seconds:.2f}"
        lines.append(_line([f"`{row}`", now.request, f"{now.bytes_in:,}", longest, *figures]))
    return "\n".join(lines)


def _cell(before: Cost, now: Cost, promise: Cost, name: str) -> str:
    return " / ".join(f"{getattr(cost, name):,.0f}" for cost in (before, now, promise))


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


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
