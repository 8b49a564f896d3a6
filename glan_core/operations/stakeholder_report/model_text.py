r"""Markdown of models and users as HTML: no links, no images, no HTML of its own, formulas as MathML or TeX source."""

import re
from html import escape

from markdown_it import MarkdownIt

from glan_core.operations.stakeholder_report.formula_mathml import mathml
from glan_core.operations.stakeholder_report.html_blocks import Html

_MATH = re.compile(
    r"\$\$(?P<a>.+?)\$\$|\\\[(?P<b>.+?)\\\]|\\\((?P<c>.+?)\\\)|\$(?P<d>[^\s$](?:[^$\n]*[^\s$])?)\$(?!\d)", re.DOTALL
)
_CODE = re.compile(r"(^[ \t]*(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t]*(?P=fence)[`~]*[ \t]*$|\Z)|(?P<ticks>`+)[^`].*?(?P=ticks)(?!`))",
                   re.DOTALL | re.MULTILINE)  # fmt: skip
_OPEN, _CLOSE = "\ue000", "\ue001"  # enclose the index of a formula
_parser = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")
_parser.disable(["link", "image", "autolink", "html_block", "html_inline", "reference"])


def model_html(text: str, most: int | None = None) -> Html:
    """Render untrusted Markdown.

    Args:
        text: The text.
        most: Characters to render at most; a longer text ends at a line or word, with its full length stated.
    """
    text = "".join(c for c in text if c >= " " or c in "\n\t").replace(_OPEN, "").replace(_CLOSE, "")
    shown = text if most is None or len(text) <= most else _cut(text, most)
    formulas: list[str] = []

    def keep(found: re.Match) -> str:
        name, tex = next((name, part) for name, part in found.groupdict().items() if part is not None)
        drawn = mathml(tex, block=name in "ab")
        formulas.append(drawn or f'<span class="tex">{escape(" ".join(tex.split()))}</span>')
        return f"{_OPEN}{len(formulas) - 1}{_CLOSE}"

    parts, last = [], 0
    for code in _CODE.finditer(shown):
        parts += [_MATH.sub(keep, shown[last : code.start()]), code.group()]
        last = code.end()
    tokens = _parser.parse("".join([*parts, _MATH.sub(keep, shown[last:])]))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):  # the outline of the report is its own
            token.tag = "h6"
    html = _parser.renderer.render(tokens, _parser.options, {})
    html = re.sub(f"{_OPEN}(\\d+){_CLOSE}", lambda found: formulas[int(found.group(1))], html)
    if shown is not text:
        html += f'<p class="cut">Shortened: the first {len(shown):,} of {len(text):,} characters.</p>'
    return Html(f'<div class="model-text">{html}</div>')


def _cut(text: str, most: int) -> str:
    """Cut a text at its last line break in the second half, or else between words."""
    head = text[:most]
    for sign in ("\n", " "):
        if (at := head.rfind(sign)) > most // 2:
            return head[:at]
    return head
