"""The report of a validation as an HTML page."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from training.data.findings import KINDS, Finding, Kind, Severity
from training.reports import html

FINDINGS_SHOWN = 48
"""Findings of each kind on the page; the JSON file has all."""
FILES_SHOWN = 8
"""Pictures of each finding on the page."""


class Facts(NamedTuple):
    """What the page shows besides the findings."""

    data_set: str
    digest: str
    pictures: int
    errors: int
    warnings: int
    classes: Mapping[str, int]
    """Pictures that can be decoded, by label."""
    splits: Mapping[str, int]
    places: Mapping[str, str]
    """Label and split of each file, as text."""


def pictured(findings: Iterable[Finding]) -> list[str]:
    """The files with a thumbnail on the page, each once."""
    shown = (finding for _, some in _by_kind(findings) for finding in some[:FINDINGS_SHOWN])
    return list(dict.fromkeys(file for finding in shown for file in finding.files[:FILES_SHOWN]))


def page(facts: Facts, findings: Sequence[Finding], thumbnails: Mapping[str, bytes]) -> str:
    """The whole page. File names and labels are escaped."""
    kinds = _by_kind(findings)
    sections = "\n".join(_section(kind, some, facts, thumbnails) for kind, some in kinds)
    digest = html.lines((facts.data_set, facts.digest))
    return html.document(
        f"Validation of {Path(facts.data_set).name or facts.data_set}",
        f"{_verdict(facts)}\n{_figures(facts)}\n{digest}",
        f"{sections}\n{_classes(facts.classes)}",
        below_header=_contents(kinds),
    )


def _by_kind(findings: Iterable[Finding]) -> list[tuple[str, list[Finding]]]:
    return [(kind, list(some)) for kind, some in groupby(findings, key=lambda finding: finding.kind)]


# --- Above the findings -----------------------------------------------------------------------------------------


def _verdict(facts: Facts) -> str:
    if facts.errors:
        return html.verdict("error", "Not ready for training: there are errors to correct first.")
    if facts.warnings:
        return html.verdict("warning", "Ready for training, with warnings to look at.")
    return html.verdict("clean", "Nothing wrong was found.")


def _figures(facts: Facts) -> str:
    return html.figures(
        {
            "pictures": facts.pictures,
            "classes": len(facts.classes),
            **{f"in {split}": count for split, count in facts.splits.items()},
            "errors": facts.errors,
            "warnings": facts.warnings,
        }
    )


def _contents(kinds: Sequence[tuple[str, Sequence[Finding]]]) -> str:
    if not kinds:
        return ""
    links = "".join(_link(KINDS[kind], kind, len(some)) for kind, some in kinds)
    return f'<nav aria-label="What was found"><ul>{links}</ul></nav>'


def _link(kind: Kind, name: str, count: int) -> str:
    return f'<li><a class="{kind.severity}" href="#{name}">{escape(kind.title)} <b>{count:,}</b></a></li>'


# --- Findings ---------------------------------------------------------------------------------------------------


def _section(name: str, findings: Sequence[Finding], facts: Facts, thumbnails: Mapping[str, bytes]) -> str:
    kind = KINDS[name]
    articles = "\n".join(_article(finding, facts.places, thumbnails) for finding in findings[:FINDINGS_SHOWN])
    more = len(findings) - FINDINGS_SHOWN
    rest = f'<p class="rest">{more:,} more of this kind are in validation.json.</p>' if more > 0 else ""
    return f"""<section id="{name}">
<h2>{_badge(kind.severity)} {escape(kind.title)} <span class="count">{len(findings):,}</span></h2>
<p class="why">{escape(kind.why)}</p>
<div class="findings">
{articles}
</div>
{rest}</section>"""


def _badge(severity: Severity) -> str:
    return f'<span class="badge {severity}">{severity}</span>'


def _article(finding: Finding, places: Mapping[str, str], thumbnails: Mapping[str, bytes]) -> str:
    shape = "names" if not finding.files else "one" if len(finding.files) == 1 else "several"
    shown = finding.files[:FILES_SHOWN]
    figures = "".join(html.picture(thumbnails.get(file), file, places.get(file, "")) for file in shown)
    strip = f'<div class="strip">{figures}</div>' if figures else ""
    return f'<article class="{shape}">{strip}<p>{escape(finding.sentence)}</p></article>'


# --- Below them -------------------------------------------------------------------------------------------------


def _classes(classes: Mapping[str, int]) -> str:
    most = max(classes.values(), default=0) or 1
    fullest_first = sorted(classes.items(), key=lambda item: (-item[1], item[0]))
    bars = html.bars({label: (count / most, f"{count:,}") for label, count in fullest_first})
    return html.section(
        "classes", "Pictures by class", "Different files that can be decoded, the largest class first.", bars
    )
