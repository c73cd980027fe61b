"""How the gateway's pictures differ from Chromium's, by kind, and why: the table in docs/preprocessing.md.

`python -m tests.pictures.differences` measures and writes `differences.json`; `make fix` writes the table from it.
`tests/gateway/imaging/test_browser.py` compares it with the browser at hand.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.pictures import gifs, jpegs, pngs, webps
from tests.pictures.kinds import Kind

FILE = Path(__file__).with_name("differences.json")
SAME_LEVELS = 2.0
"""Below this mean difference, of 255, two pictures count as the same."""

GROUPS: dict[str, Callable[[], Iterator[Kind]]] = {
    "JPEG: grey, YCbCr, RGB, CMYK, YCCK; every sampling; baseline, progressive, restarts": jpegs.coded,
    "JPEG: arithmetic coding": jpegs.arithmetic,
    "JPEG: colour profiles": jpegs.profiles,
    "JPEG: orientation": jpegs.turned,
    "JPEG: metadata, also odd or damaged": jpegs.annotated,
    "JPEG: endings": jpegs.ended,
    "PNG: every depth and colour type, interlaced or not": pngs.depths,
    "PNG: transparent colours and palettes": pngs.transparent,
    "PNG: colour profiles": pngs.profiles,
    "PNG: gamma, chromaticities, cICP": pngs.gamma,
    "PNG: orientation": pngs.turned,
    "PNG: animation": pngs.animated,
    "PNG: metadata, also large or damaged": pngs.annotated,
    "PNG: endings": pngs.ended,
    "GIF: 2 to 256 colours, interlaced or not, either colour table": gifs.plain,
    "GIF: transparency": gifs.transparent,
    "GIF: animation": gifs.animated,
    "GIF: a first frame smaller or larger than its screen": gifs.within_screen,
    "GIF: endings": gifs.ended,
    "WebP: lossy and lossless, alpha, colour profiles": webps.stills,
    "WebP: orientation": webps.turned,
    "WebP: animation": webps.animated,
    "WebP: endings": webps.ended,
}


class Reason(NamedTuple):
    """Why a kind is meant to differ."""

    what: str
    gateway: str
    chromium: str


REASONS: dict[str, Reason] = {
    "gamma": Reason(
        "PNG with a gamma other than sRGB's, other primaries, or cICP",
        "shown as stored, as in the tools that data sets are made with",
        "colours are converted",
    ),
    "WebP orientation": Reason(
        "WebP with an orientation",
        "turned: the container has EXIF for it, and phones write it",
        "not turned",
    ),
    "late orientation": Reason(
        "PNG with its orientation behind the pixels",
        "turned: the PNG specification allows that place",
        "not turned",
    ),
    "broken animation": Reason(
        "PNG whose animation has no valid first frame",
        "the still picture, as the specification says",
        "nothing",
    ),
    "unfinished": Reason(
        "JPEG or WebP whose pixels are all there, without their ending",
        "the whole picture",
        "the last rows are missing, or nothing",
    ),
}


def kinds() -> Iterator[tuple[str, Kind]]:
    """Every kind with its row of the table: a group, or the reason for which it differs."""
    for group, draw in GROUPS.items():
        for kind in draw():
            yield kind.differs or group, kind


Rows = dict[str, tuple[int, float]]
"""Group or reason -> number of files; largest mean difference of those that Chromium shows, -1 if it shows none."""


def rows(means: Iterable[tuple[str, float | None]]) -> Rows:
    """Sum up the differences of all kinds."""
    found: dict[str, list[float | None]] = {}
    for row, mean in means:
        found.setdefault(row, []).append(mean)
    return {
        row: (len(every), round(float(max((mean for mean in every if mean is not None), default=-1)), 1))
        for row, every in found.items()
    }


def measured() -> Rows:
    """As written at the last measurement."""
    return {row: (files, most) for row, (files, most) in json.loads(FILE.read_text(encoding="utf-8")).items()}


def table() -> str:
    """A row for each group, then one for each reason to differ."""
    lines = ["| kind | files | the gateway | Chromium | largest mean difference |", "|---|--:|---|---|--:|"]
    written = measured()
    for group in (group for group in GROUPS if group in written):
        files, most = written[group]
        lines.append(f"| {group} | {files} | shown | the same | {most} |")
    for name, reason in REASONS.items():
        files, most = written[name]
        lines.append(f"| **{reason.what}** | {files} | {reason.gateway} | {reason.chromium} | {most} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the file."""
    from tests.pictures.chromium import differences

    names, every = zip(*kinds(), strict=True)
    written = rows(zip(names, differences(every), strict=True))
    FILE.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
