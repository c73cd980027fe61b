"""Label files: the one reader, for the gateway and for training. Pure, but for reading the file.

A file whose name ends in `.csv` is a table with a header; any other file is text with a label per line. The name alone
decides, so that a class called "label" is never taken for a header.

    label,display_name,group,name:de,link
    Lithodes_ferox,Lithodes ferox,Arthropoda/Malacostraca/Decapoda/Lithodidae,,https://www.marinespecies.org/
    ,King crabs,Arthropoda/Malacostraca/Decapoda/Lithodidae,Königskrabben,

Only `label` must be there; columns come in any order. A line without a label, but with a display name and a group,
names that group. An empty display name is made from the label (`plain_name`), an empty name of a language is the
display name. Both forms are UTF-8, with or without a byte order mark, in the order of the model's outputs; blanks
around a cell and blank lines at the end do not count.
"""

import codecs
import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway.labels import LabelMap, NamedGroup, mistake_in_group, mistake_in_link, plain_name
from gateway.languages import is_tag

LABEL, DISPLAY_NAME, GROUP, LINK, NAME = "label", "display_name", "group", "link", "name:"
COLUMNS = (LABEL, DISPLAY_NAME, GROUP, LINK)
_KNOWN = "label, display_name, group, link and name:LANG (such as name:de), separated by commas"

Row = tuple[str, Mapping[str, str]]
"""Where it is, as "line 3 of labels.csv", and its cells by column."""


class LabelFileError(Exception):
    """The label file cannot be used; the message is one sentence that says why and what to do."""


def read_label_file(file: Path) -> LabelMap:
    """The labels of a file, with what it says about each.

    Raises:
        LabelFileError: the file cannot be read, or would name classes wrongly.
    """
    try:
        data = file.read_bytes().removeprefix(codecs.BOM_UTF8).rstrip()
    except OSError as cause:
        raise LabelFileError(
            f"{file} cannot be read ({cause.strerror}): give a UTF-8 text file with one class per line, or a CSV"
        ) from cause
    rows = list((_csv if file.suffix.lower() == ".csv" else _text)(data.splitlines(keepends=True), file))
    names_group = [not cells[LABEL] and bool(cells.get(GROUP) and cells.get(DISPLAY_NAME)) for _, cells in rows]
    labelled = [row for row, group in zip(rows, names_group, strict=True) if not group]
    _check_labels(labelled, file)
    return _label_map(labelled, [cells for (_, cells), group in zip(rows, names_group, strict=True) if group], file)


# --- The two forms ------------------------------------------------------------------------------------------------


def _text(lines: list[bytes], file: Path) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        where = f"line {number} of {file}"
        label = _decoded(line, where).strip()
        if number == 1 and label.startswith(f"{LABEL},"):
            raise LabelFileError(f"{file} begins as a CSV does: give it a name that ends in .csv")
        yield where, {LABEL: label}


def _csv(lines: list[bytes], file: Path) -> Iterator[Row]:
    texts = [_decoded(line, f"line {number} of {file}") for number, line in enumerate(lines, 1)]
    rows = csv.reader(texts, strict=True)
    columns: list[str] = []
    try:
        for row in rows:
            where, cells = f"line {rows.line_num} of {file}", [cell.strip() for cell in row]
            if not columns:
                columns = _checked_columns(cells, where)
            else:
                yield where, _checked_cells(dict(zip(columns, cells, strict=False)), len(cells), len(columns), where)
    except csv.Error as cause:
        raise LabelFileError(f"line {rows.line_num} of {file} is not CSV ({cause}): check its quotes") from cause


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise LabelFileError(f"{where} is not UTF-8: save the file as UTF-8") from cause


# --- What is checked where it stands ------------------------------------------------------------------------------


def _checked_columns(columns: list[str], where: str) -> list[str]:
    if LABEL not in columns:
        raise LabelFileError(
            f"{where} names no column {LABEL!r}: begin the CSV with its columns, {_KNOWN}; "
            "a file of one class per line without a header must not be called .csv"
        )
    for at, column in enumerate(columns):
        tag = column.removeprefix(NAME)
        if column not in COLUMNS and tag == column:
            raise LabelFileError(f"{where} names the unknown column {column!r}: the columns are {_KNOWN}")
        if tag != column and not is_tag(tag):
            raise LabelFileError(f"{where}: {tag!r} in {column!r} is no language tag: write one as name:de, name:pt-BR")
        if column.lower() in (earlier.lower() for earlier in columns[:at]):
            raise LabelFileError(f"{where} names the column {column!r} twice: keep one")
    return columns


def _checked_cells(cells: Mapping[str, str], found: int, wanted: int, where: str) -> Mapping[str, str]:
    if found == 0:
        return {LABEL: ""}
    if found != wanted:
        raise LabelFileError(
            f"{where} has {found} cells for {wanted} columns: give every column a cell, and quote one with a comma"
        )
    for cell in cells.values():
        if any(sign < " " or sign == "\x7f" for sign in cell):
            raise LabelFileError(f"{where} has a line break or another control character in {cell!r}: remove it")
    if mistake := mistake_in_group(cells.get(GROUP, "")) or mistake_in_link(cells.get(LINK, "")):
        raise LabelFileError(f"{where}: {mistake}")
    return cells


def _check_labels(rows: Iterable[Row], file: Path) -> None:
    labels: dict[str, str] = {}
    for where, cells in rows:
        label = cells[LABEL]
        if not label:
            lacks = "has no label" if any(cells.values()) else "is blank"
            raise LabelFileError(f"{where} {lacks}: name the class there or delete the line")
        if label in labels:
            earlier = labels[label].partition(" of ")[0]
            raise LabelFileError(f"{where} names {label!r} again, as {earlier} does: name each class once")
        labels[label] = where
    if not labels:
        raise LabelFileError(f"{file} names no class: write one class per line, in the order of the model's outputs")


def _label_map(rows: list[Row], groups: list[Mapping[str, str]], file: Path) -> LabelMap:
    def column(name: str) -> tuple[str, ...]:
        return tuple(cells.get(name, "") for _, cells in rows)

    tags = [name.removeprefix(NAME) for name in rows[0][1] if name.startswith(NAME)]
    try:
        return LabelMap(
            labels=column(LABEL),
            display_names=tuple(cells.get(DISPLAY_NAME) or plain_name(cells[LABEL]) for _, cells in rows),
            groups=column(GROUP) if any(column(GROUP)) else (),
            names={tag: column(f"{NAME}{tag}") for tag in tags},
            links=column(LINK) if any(column(LINK)) else (),
            named_groups=tuple(_named_group(cells, tags) for cells in groups),
        )
    except ValidationError as cause:  # too many languages, or too much of everything
        raise LabelFileError(
            f"{file} cannot be used: {cause.errors()[0]['msg'].removeprefix('Value error, ')}"
        ) from cause


def _named_group(cells: Mapping[str, str], tags: Iterable[str]) -> NamedGroup:
    return NamedGroup(
        path=cells[GROUP],
        display_name=cells[DISPLAY_NAME],
        names={tag: name for tag in tags if (name := cells[f"{NAME}{tag}"])},
        link=cells.get(LINK, ""),
    )
