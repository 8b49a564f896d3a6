"""Untrusted text shown verbatim, with spans highlighted."""

from collections.abc import Sequence

import streamlit as st

from glan_core.dataset.text_spans import Span, excerpt
from pages.components.shared.untrusted_text import JOINER, escape

GAP = "\u00a0"


def highlight(text: str, spans: Sequence[Span]) -> str:
    """Return Markdown that shows the text verbatim, line by line, with a colored background on the spans."""
    lines, at = [], 0
    for line in text.split("\n"):
        parts, last = [], 0
        for start, end in sorted(spans):
            start, end = max(start - at, last), min(end - at, len(line))
            if start < end and line[start:end].strip():
                parts += [_plain(line[last:start]), f":yellow-background[{_plain(line[start:end])}]"]
                last = end
        parts.append(_plain(line[last:]))
        lines.append(JOINER + "".join(parts) if line.strip() else "")
        at += len(line) + 1
    return "\n".join(f"{line}  " if line else "" for line in lines)


def _plain(text: str) -> str:
    """Escape Markdown and keep tabs and repeated spaces, which would become code or vanish."""
    return escape(text.replace("\r", "").replace("\t", 4 * GAP).replace("  ", 2 * GAP))


def show(text: str, spans: Sequence[Span] = (), most: int = 1200) -> None:
    """Show a text with highlighted spans, cut to about `most` characters around them."""
    st.markdown(highlight(*excerpt(text, spans, most)))
