"""Validate a data set: read, decode and check it; write the report as JSON and as a page. The data stay unchanged."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from training.console import NewBar, no_bar
from training.data.checks import MIN_PER_CLASS, Looks, check, pictures_by_class
from training.data.findings import KINDS, Finding, Severity
from training.data.label_map import read_label_map
from training.data.looks import look_at_all, thumbnails
from training.data.manifest import Manifest, read
from training.data.page import Facts, page, pictured
from training.data.pictures import Workers
from training.errors import DataSetError
from training.reports import files

JSON_NAME, PAGE_NAME = "validation.json", "validation.html"
Verdict = Literal["errors", "warnings", "clean"]


@dataclass(frozen=True)
class Report:
    """The findings of a validation."""

    manifest: Manifest
    looks: Looks
    findings: tuple[Finding, ...]
    """The most severe first."""

    def count(self, severity: Severity) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def verdict(self) -> Verdict:
        return "errors" if self.count("error") else "warnings" if self.findings else "clean"

    @property
    def kinds(self) -> dict[str, int]:
        """Number of findings by kind, the most severe first."""
        counts = Counter(finding.kind for finding in self.findings)
        return {kind: counts[kind] for kind in KINDS if counts[kind]}


def validate(
    data_set: Path,
    *,
    labels: Path | None = None,
    also: Sequence[Path] = (),
    min_per_class: int = MIN_PER_CLASS,
    workers: Workers = Workers(),  # noqa: B008 - immutable
    bar: NewBar = no_bar,
) -> Report:
    """Check every picture of a data set for what would spoil training. Writes nothing.

    Args:
        data_set: a folder or CSV as `data.manifest` reads it.
        labels: the label file that the data set must match.
        also: folders outside of the data set's that its files may lie in.
        min_per_class: smaller classes are reported.
        workers: the processes that decode.
        bar: starts a progress bar.

    Raises:
        DataSetError: the data set or the label file cannot be read.
    """
    label_map = read_label_map(labels).labels if labels else None
    manifest = read(data_set, also=also, progress=bar("Reading files"))
    looks = look_at_all(manifest, workers, bar("Decoding pictures"))
    findings = check(manifest, looks, labels=label_map, min_per_class=min_per_class)
    return Report(manifest, looks, tuple(findings))


# --- Writing ----------------------------------------------------------------------------------------------------


def check_place(folder: Path, data_set: Path) -> None:
    """Check before the work that a report can be written to `folder`; changes nothing.

    Raises:
        DataSetError: it cannot, or it would change the data set.
    """
    place = folder.resolve()
    if data_set.is_dir() and place.is_relative_to(data_set.resolve()):
        raise DataSetError(
            f"The report folder {folder} lies in the data set, which must not change: give another with --report."
        )
    files.check_place(folder)


def write(report: Report, folder: Path, *, workers: Workers = Workers(), bar: NewBar = no_bar) -> tuple[Path, Path]:  # noqa: B008
    """Write the report; returns the JSON file and the page. The same data and options give the same bytes.

    Raises:
        DataSetError: the folder cannot be written; no file is left half written.
    """
    small = thumbnails(report.manifest.folders, pictured(report.findings), workers, bar("Making thumbnails"))
    texts = {
        JSON_NAME: json.dumps(as_json(report), indent=1) + "\n",
        PAGE_NAME: page(facts(report), report.findings, small),
    }
    files.write_files(folder, texts)
    return folder / JSON_NAME, folder / PAGE_NAME


def as_json(report: Report) -> dict[str, Any]:
    """The report without its pictures."""
    manifest = report.manifest
    return {
        "data_set": str(manifest.root),
        "layout": manifest.layout,
        "digest": manifest.digest,
        "pictures": len(report.looks),
        "classes": pictures_by_class(manifest, report.looks),
        "splits": pictures_by_split(manifest),
        "verdict": report.verdict,
        "errors": report.count("error"),
        "warnings": report.count("warning"),
        "findings": [
            {"kind": f.kind, "severity": f.severity, "files": f.files, "sentence": f.sentence} for f in report.findings
        ],
    }


def facts(report: Report) -> Facts:
    """What the page shows besides the findings."""
    manifest = report.manifest
    return Facts(
        data_set=str(manifest.root),
        digest=manifest.digest,
        pictures=len(report.looks),
        errors=report.count("error"),
        warnings=report.count("warning"),
        classes=pictures_by_class(manifest, report.looks),
        splits=pictures_by_split(manifest),
        places={entry.file: " · ".join(filter(None, (entry.label, entry.split))) for entry in manifest.entries},
    )


def pictures_by_split(manifest: Manifest) -> dict[str, int]:
    """In the order train, val, test; empty where the data set is not split."""
    counts = Counter(entry.split for entry in manifest.entries)
    return {split: counts[split] for split in manifest.splits if split}
