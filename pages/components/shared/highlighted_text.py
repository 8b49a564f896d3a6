"""Text of models shown as it was written, with some of it marked."""

from collections.abc import Sequence

import streamlit as st

from glan_core.dataset.text_spans import Span, excerpt
from pages.components.shared.untrusted_text import JOINER, plain

GAP = "\u00a0"


def marked(text: str, spans: Sequence[Span]) -> str:
    """The text as Markdown that shows every sign of it, line by line, with what the spans enclose on a coloured ground."""
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
    """Escaped, with gaps kept, which would otherwise make code of a line or vanish."""
    return plain(text.replace("\r", "").replace("\t", 4 * GAP).replace("  ", 2 * GAP))


def show(text: str, spans: Sequence[Span] = (), most: int = 1200) -> None:
    """A text, cut to what is around its marks where it is long."""
    st.markdown(marked(*excerpt(text, spans, most)))
