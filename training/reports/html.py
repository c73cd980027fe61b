"""A report as one self-contained HTML page: no script, no network; pictures and plots are embedded."""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def document(title: str, header: str, body: str, *, below_header: str = "") -> str:
    """The whole page.

    Args:
        title: plain text; it is escaped here.
        header: HTML below the title.
        body: HTML of the sections.
        below_header: HTML between the two, such as a table of contents.
    """
    name = escape(title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{name}</title>
<style>
{STYLE}</style>
</head>
<body>
<header>
<h1>{name}</h1>
{header}
</header>
{below_header}
<main>
{body}
</main>
</body>
</html>
"""


def verdict(kind: str, sentence: str) -> str:
    """`kind` is error, warning or clean."""
    return f'<p class="verdict {kind}">{escape(sentence)}</p>'


def figures(figures: Mapping[str, str | int]) -> str:
    """Named figures, side by side."""
    items = "".join(f"<div><dd>{_number(value)}</dd><dt>{escape(name)}</dt></div>" for name, value in figures.items())
    return f'<dl class="figures">{items}</dl>'


def lines(texts: Iterable[str]) -> str:
    """Small print, such as digests, one per line."""
    return f'<p class="digest">{"<br>".join(map(escape, texts))}</p>'


def section(name: str, title: str, why: str, content: str) -> str:
    """`content` is HTML; `title` and `why` are plain text."""
    return f"""<section id="{name}">
<h2>{escape(title)}</h2>
<p class="why">{escape(why)}</p>
{content}
</section>"""


def picture(data: bytes | None, caption: str, remark: str) -> str:
    """A thumbnail, JPEG or None, above the file's name and a remark."""
    shown = (
        f'<img alt="" src="data:image/jpeg;base64,{b64encode(data).decode()}">'
        if data
        else '<span class="none">no picture</span>'
    )
    name = escape(caption).replace("/", "/<wbr>")
    return f"<figure>{shown}<figcaption>{name}<small>{escape(remark)}</small></figcaption></figure>"


def plot(svg: bytes, alternative: str) -> str:
    """An SVG inside an `img` element, where scripts and links in it have no effect."""
    return f'<img class="plot" alt="{escape(alternative)}" src="data:image/svg+xml;base64,{b64encode(svg).decode()}">'


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table whose first column names the row; the other cells are right-aligned."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = "\n".join(_row(tuple(row)) for row in rows)
    filled = f"<thead><tr>{top}</tr></thead>\n<tbody>\n{lines}\n</tbody>"
    return f'<div class="wide"><table class="numbers">{filled}</table></div>'


def _row(cells: tuple[str, ...]) -> str:
    rest = "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:])
    return f'<tr><th scope="row">{escape(cells[0])}</th>{rest}</tr>'


def bars(shares: Mapping[str, tuple[float, str]]) -> str:
    """One row per name, with the number and a bar for its share of 1."""
    lines = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="number">{escape(number)}</td>'
        f'<td><span class="bar" style="width:{100 * share:.1f}%"></span></td></tr>'
        for name, (share, number) in shares.items()
    )
    return f"<table>\n{lines}\n</table>"


def _number(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else escape(value)
