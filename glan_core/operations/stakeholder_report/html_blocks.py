"""Blocks of the report as HTML: tables, figures, numbers and notes. Every text argument is escaped here."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go

from glan_core.untrusted import clean

FONT = '"Source Sans 3", "Source Sans Pro", "Source Sans", "Segoe UI", "Helvetica Neue", Arial, sans-serif'
INLINE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
SHORT = 14  # rows of a table that is not divided between pages


class Html(str):
    """Trusted HTML, which `text` does not escape."""


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        id: Anchor.
        title: Heading.
        blocks: Content in order.
    """

    id: str
    title: str
    blocks: tuple[Html, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """A number with its label and its basis: what it counts, of how many, or its interval."""

    label: str
    value: str
    basis: str


def text(value: object) -> Html:
    """Escape a text, unless it is trusted HTML."""
    return value if isinstance(value, Html) else Html(escape(clean(str(value))))


def joined(blocks: Iterable[str]) -> Html:
    """Join trusted blocks."""
    return Html("\n".join(blocks))


def paragraph(value: str, kind: str = "") -> Html:
    """Return a paragraph of the class `kind`, such as 'lead' or 'basis'."""
    return Html(f'<p class="{kind}">{text(value)}</p>' if kind else f"<p>{text(value)}</p>")


def missing(value: str) -> Html:
    """Return the sentence of a section without data: what is missing and how to get it."""
    return paragraph(value, "missing")


def heading(value: str) -> Html:
    """Return a heading within a section."""
    return Html(f"<h3>{text(value)}</h3>")


def items(values: Iterable[str], kind: str = "") -> Html:
    """Return a list; empty for no values."""
    lines = "".join(f"<li>{text(value)}</li>" for value in values)
    return Html(f'<ul class="{kind}">{lines}</ul>' if lines else "")


def tiles(values: Iterable[Tile]) -> Html:
    """Return a row of numbers."""
    cells = (
        f'<div class="tile"><div class="label">{text(tile.label)}</div><div class="value">{text(tile.value)}</div>'
        f'<div class="basis">{text(tile.basis)}</div></div>'
        for tile in values
    )
    return Html(f'<div class="tiles">{"".join(cells)}</div>')


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, align: str, caption: str = "") -> Html:
    """Return a table.

    Args:
        head: Column titles.
        rows: Cells; numbers are given as formatted text.
        align: One letter per column: 'l' for text, 'r' for numbers.
        caption: Sentence above the table: what the numbers are and how they were measured.
    """
    kinds = ["num" if letter == "r" else "" for letter in align]
    top = "".join(f'<th class="{kind}" scope="col">{text(cell)}</th>' for kind, cell in zip(kinds, head, strict=True))
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{text(cell)}</td>' for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    words = f"<caption>{text(caption)}</caption>" if caption else ""
    short = " short" if len(rows) <= SHORT else ""
    return Html(f'<div class="scroll{short}"><table>{words}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>')


def definitions(rows: Iterable[tuple[str, str]]) -> Html:
    """Return a compact table of labels and values, in two columns where there is room."""
    lines = (f"<div><dt>{text(label)}</dt><dd>{text(value)}</dd></div>" for label, value in rows)
    return Html(f'<dl class="facts">{"".join(lines)}</dl>')


def details(summary: str, content: Html) -> Html:
    """Return content that is folded on the screen and open on paper."""
    return Html(f"<details><summary>{text(summary)}</summary>{content}</details>")


def figure(drawn: go.Figure, label: str, caption: str) -> Html:
    """Return a figure; the script of the report draws it from its JSON.

    Args:
        drawn: The figure.
        label: Description for screen readers.
        caption: What is shown and how it was measured.
    """
    drawn.update_layout(font={"family": FONT}, uirevision=None)
    spec = json.loads(drawn.to_json())
    for axis in ("xaxis", "yaxis", "xaxis2", "yaxis2"):
        if spec["layout"].get(axis):
            spec["layout"][axis]["automargin"] = True  # fonts differ between machines
    height = int(spec["layout"].get("height", 360))
    return Html(
        f'<figure><div class="plot" role="img" aria-label="{text(label)}" style="min-height:{height}px">'
        f"<noscript>{text(label)}: enable JavaScript to see the figure; the numbers are in the table.</noscript></div>"
        f'<script type="application/json">{script_json(spec)}</script><figcaption>{text(caption)}</figcaption></figure>'
    )


def script_json(data: object) -> str:
    """Serialize data as JSON that cannot end the script element it is in."""
    raw = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return "".join(INLINE.get(letter, letter) for letter in raw)
