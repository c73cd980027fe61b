"""The parts of the documents that are made from the code: `python -m tests.documents` (by `make fix`) writes them.

`test_documented.py` fails while one of them is not what the code would write.
"""

import re
from pathlib import Path
from typing import Literal, get_args, get_origin

from prometheus_client import REGISTRY

from gateway.api.pages import problem_types
from gateway.observe import metrics
from gateway.settings import Settings

ROOT = Path(__file__).resolve().parents[1]


def settings_table() -> str:
    """A row a setting: variable, default, meaning and bounds."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(
            f"| `GATEWAY_{name.upper()}` | {_default(name)} | {field.description}{_choices(field.annotation)} |"
        )
    return "\n".join(rows)


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


def problems_table() -> str:
    """A row a problem type: status, slug and what to do."""
    rows = ["| status | type | meaning | what to do |", "|--:|---|---|---|"]
    rows += [f"| {kind.status} | `/problems/{kind.slug}` | {kind.title} | {kind.advice} |" for kind in problem_types()]
    return "\n".join(rows)


def metrics_table() -> str:
    """A row an instrument."""
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


def with_table(text: str, name: str, table: str) -> str:
    """`text` with what stands between the marks of `name` replaced."""
    marks = f"<!-- {name}: made by `make fix` -->", f"<!-- end of {name} -->"
    pattern = re.compile(re.escape(marks[0]) + ".*?" + re.escape(marks[1]), re.DOTALL)
    assert pattern.search(text), f"no marks of {name}"
    return pattern.sub(lambda _: f"{marks[0]}\n{table}\n{marks[1]}", text)


DOCUMENTS = {
    "README.md": ("settings", settings_table),
    "docs/problems.md": ("problems", problems_table),
    "docs/metrics.md": ("metrics", metrics_table),
}


def main() -> None:
    """Write every document that is not as the code would have it."""
    for path, (name, table) in DOCUMENTS.items():
        file = ROOT / path
        file.write_text(with_table(file.read_text(encoding="utf-8"), name, table()), encoding="utf-8")


if __name__ == "__main__":
    main()
