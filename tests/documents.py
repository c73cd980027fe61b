"""The parts of the documents that are generated from the code. `make fix` runs `python -m tests.documents`.

`test_documented.py` fails while a document differs from what the code would write.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from prometheus_client import REGISTRY

from gateway.api.pages import problem_types
from gateway.failures import FAILURES, ReplicaFailedError
from gateway.observe import metrics
from gateway.settings import Settings
from tests.attacks import promises
from tests.pictures import differences

ROOT = Path(__file__).resolve().parents[1]


COMMON = (
    "host",
    "port",
    "upstream",
    "model_name",
    "models_dir",
    "labels_file",
    "input_range",
    "api_keys_file",
    "cors_origins",
    "deadline_s",
)
"""The settings that a newcomer needs."""


def settings_table(names: Iterable[str] = tuple(Settings.model_fields)) -> str:
    """A row for each setting: variable, default, meaning, choices and bounds."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name in names:
        field = Settings.model_fields[name]
        meaning = f"{field.description}{_choices(field.annotation)}{_bounds(field.metadata)}"
        rows.append(f"| `GATEWAY_{name.upper()}` | {_default(name)} | {meaning} |")
    return "\n".join(rows)


def common_settings_table() -> str:
    """The same for a few of them."""
    return settings_table(COMMON)


def _default(name: str) -> str:
    value = Settings.model_fields[name].default
    if name == "decode_processes":
        return "cores"
    if value in (None, "", ()):
        return "none"
    return f"`{','.join(value) if isinstance(value, tuple) else value}`"


def _choices(annotation: object) -> str:
    if get_origin(annotation) is not Literal:
        return ""
    return " One of " + ", ".join(f"`{choice}`" for choice in get_args(annotation)) + "."


def _bounds(metadata: Iterable[Any]) -> str:
    bounds = {type(bound).__name__: bound for bound in metadata}
    most = f"{bounds['Le'].le}" if "Le" in bounds else ""
    if "Gt" in bounds:
        return f" Above {bounds['Gt'].gt}, up to {most}." if most else f" Above {bounds['Gt'].gt}."
    if "Ge" in bounds:
        return f" {bounds['Ge'].ge} to {most}." if most else f" At least {bounds['Ge'].ge}."
    return ""


def problems_table() -> str:
    """A row for each problem type: status, slug, meaning and what to do."""
    rows = ["| status | type | meaning | what to do |", "|--:|---|---|---|"]
    rows += [f"| {kind.status} | `/problems/{kind.slug}` | {kind.title} | {kind.advice} |" for kind in problem_types()]
    return "\n".join(rows)


def metrics_table() -> str:
    """A row for each instrument."""
    assert metrics.REQUESTS, "importing it declares the instruments"
    rows = ["| metric | kind | labels | what |", "|---|---|---|---|"]
    for instrument in REGISTRY._collector_to_names:
        for metric in instrument.describe() if hasattr(instrument, "describe") else ():
            if metric.name.startswith("gateway_"):
                names = getattr(instrument, "_labelnames", ()) or getattr(metric, "_labelnames", ())
                labels = ", ".join(f"`{name}`" for name in names)
                name = metric.name + ("_total" if metric.type == "counter" else "")
                rows.append(f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |")
    return "\n".join(rows)


def failures_table() -> str:
    """A row a kind of failure of one attempt."""
    rows = [
        "| failure | REST | gRPC | repeated | counts against the replica | the client receives |",
        "|---|---|---|---|---|---|",
    ]
    for kind in FAILURES:
        again = (
            "on another replica, or on the same one if there is no other" if kind.same_again else "on another replica"
        )
        if kind.suspect:
            again += "; once, and only as the quarantine allows, if the request may be the cause"
        elif kind.once_more:
            again += ", once"
        told = [
            f"`{kind.outcome()}`",
            ", ".join(map(str, kind.http)) + (", any other" if kind is ReplicaFailedError else ""),
            ", ".join(f"`{code}`" for code in kind.grpc),
            (again + (", after a pause" if kind.rests else "") + (", outside the budget" if kind.free else ""))
            if kind.elsewhere
            else "no",
            "yes" if kind.counts else "no",
            f"{kind.answer.status} `{kind.answer.slug}`",
        ]
        rows.append("| " + " | ".join(told) + " |")
    return "\n".join(rows)


def with_table(text: str, name: str, table: str) -> str:
    """`text` with the table between the marks of `name` replaced."""
    marks = f"<!-- {name}: made by `make fix` -->", f"<!-- end of {name} -->"
    pattern = re.compile(re.escape(marks[0]) + ".*?" + re.escape(marks[1]), re.DOTALL)
    assert pattern.search(text), f"no marks of {name}"
    return pattern.sub(lambda _: f"{marks[0]}\n{table}\n{marks[1]}", text)


DOCUMENTS = {
    "README.md": ("settings", common_settings_table),
    "docs/settings.md": ("settings", settings_table),
    "docs/problems.md": ("problems", problems_table),
    "docs/metrics.md": ("metrics", metrics_table),
    "docs/replicas.md": ("failures", failures_table),
    "docs/threat-model.md": ("costs", promises.table),
    "docs/preprocessing.md": ("kinds", differences.table),
}


def main() -> None:
    """Write every document."""
    for path, (name, table) in DOCUMENTS.items():
        file = ROOT / path
        file.write_text(with_table(file.read_text(encoding="utf-8"), name, table()), encoding="utf-8")


if __name__ == "__main__":
    main()
