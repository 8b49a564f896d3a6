"""Names and texts in figures: shown as they are, whatever they contain.

Plotly interprets some HTML in every text, and `%{…}` in templates of tooltips; ECharts interprets HTML in tooltips, and braces in
tooltips and labels.
"""

from glan_core.formatting import shorten
from glan_core.untrusted import clean_line


def label(text: str, most: int | None = None) -> str:
    """Return a text for plotly, in one line.

    Args:
        text: The text.
        most: Characters shown; a longer text ends in an ellipsis.
    """
    line = clean_line(text)
    line = line if most is None else shorten(line, most)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("%{", "&#37;{")


def label_lines(*lines: str) -> str:
    """Return texts for plotly, one per line."""
    return "<br>".join(map(label, lines))


def chart_text(text: str, most: int | None = None) -> str:
    """Return a text for a label of ECharts, in one line."""
    line = clean_line(text)
    return (line if most is None else shorten(line, most)).replace("{", "\u2774").replace("}", "\u2775")


def chart_html(text: str) -> str:
    """Return a text for a tooltip of ECharts, in one line."""
    line = clean_line(text)
    for sign, safe in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ('"', "&quot;"),
        ("'", "&#39;"),
        ("{", "&#123;"),
        ("}", "&#125;"),
    ):
        line = line.replace(sign, safe)
    return line
