"""Markdown building blocks: tables and escaped text."""

from glan_core.formatting import number
from glan_core.untrusted import clean_line


class Verbatim(str):
    """Trusted Markdown that `table` does not escape."""


def table(head: tuple[str, ...], rows: list[tuple]) -> str:
    """Render a Markdown table; integer columns are right-aligned."""
    right = [isinstance(cell, int) for cell in (rows[0] if rows else head)]
    cells = [[c if isinstance(c, Verbatim) else number(c) if isinstance(c, int) else plain(c) for c in row] for row in rows]
    lines = [head, ["---:" if r else "---" for r in right], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: object) -> str:
    """Escape text and join its lines, so that Markdown renders it verbatim on one line."""
    line = clean_line(str(text))
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!~$" else c for c in line)
