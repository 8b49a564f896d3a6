r"""Markdown of models and users as HTML: no links, no images, no HTML of its own, formulas as MathML or TeX source."""

import re
from html import escape

from markdown_it import MarkdownIt

from glan_core.markdown_parts import code_parts, math_signs
from glan_core.operations.stakeholder_report.formula_mathml import mathml
from glan_core.operations.stakeholder_report.html_blocks import Html
from glan_core.tex_formulas import drawable
from glan_core.untrusted import clean

MOST = 20_000  # characters of a text that are rendered at most; Markdown takes time with the square of some texts
_OPEN, _CLOSE = "\ue000", "\ue001"  # enclose the index of a formula
_parser = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")
_parser.disable(["link", "image", "autolink", "html_block", "html_inline", "reference"])


def model_html(text: str, most: int = MOST) -> Html:
    """Render untrusted Markdown.

    Args:
        text: The text.
        most: Characters to render at most; a longer text ends at a line or word, with its full length stated.
    """
    text = clean(text).replace(_OPEN, "").replace(_CLOSE, "")
    shown = text if len(text) <= most else _cut(text, most)
    formulas: list[str] = []

    def without_math(prose: str) -> str:
        parts, last = [], 0
        for sign in math_signs(prose):
            if not sign.tex:
                continue
            tex = drawable(sign.tex)
            drawn = mathml(tex, block=sign.display) if tex is not None else None
            formulas.append(drawn or f'<span class="tex">{escape(" ".join(sign.tex.split()))}</span>')
            parts += [prose[last : sign.start], f"{_OPEN}{len(formulas) - 1}{_CLOSE}"]
            last = sign.end
        return "".join([*parts, prose[last:]])

    parts, last = [], 0
    for start, end in code_parts(shown):
        parts += [without_math(shown[last:start]), shown[start:end]]
        last = end
    tokens = _parser.parse("".join([*parts, without_math(shown[last:])]))
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
