"""Markdown documents made from facts: tables, and texts of people or models that show as they are."""

from glan_core.formatting import number


class Verbatim(str):
    """Markdown of our own, that a table takes as it is."""


def table(head: tuple[str, ...], rows: list[tuple]) -> str:
    """Rows as a table; whole numbers to the right."""
    right = [isinstance(cell, int) for cell in (rows[0] if rows else head)]
    cells = [[c if isinstance(c, Verbatim) else number(c) if isinstance(c, int) else plain(c) for c in row] for row in rows]
    lines = [head, ["---:" if r else "---" for r in right], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: object) -> str:
    """Text that people or models wrote, as Markdown that shows it as it is, on one line."""
    line = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!~$" else c for c in line)
