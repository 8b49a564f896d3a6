"""Differences between two replies, word by word."""

from collections.abc import Sequence

import streamlit as st

from glan_core.chat.conversations import answer_text
from glan_core.chat.word_diff import Span, word_diff
from glan_core.workspace.chat_rows import Reply
from pages.components.shared.untrusted_text import escape


def panel(turn_id: int, replies: Sequence[Reply], titles: Sequence[str]) -> None:
    """Draw the toggle, and the first two replies with the words that only one of them has marked."""
    texts = [answer_text(reply).strip() for reply in replies[:2]]
    if not all(texts) or not st.toggle(
        "Word diff", key=f"talk_diff_{turn_id}", help="Marks the words that the other reply does not have."
    ):
        return
    sides = word_diff(*texts)
    shared = sum(len(text.split()) for text, alone in sides[0] if not alone)
    with st.grid(2, gap="small", min_column_width=280):
        for title, spans in zip(titles, sides, strict=False):
            with st.container(border=True, gap="xsmall"):
                st.caption(escape(title))
                st.markdown("".join(map(_marked, spans)))
    st.caption(f"{shared} words in common, in this order; text that only one reply has is marked.")


def _marked(span: Span) -> str:
    """Return a span as Markdown; each line is marked by itself, because a mark ends with its paragraph."""
    text, alone = span
    lead = "" if not text[:1].isspace() else "\n\n" if "\n" in text[: len(text) - len(text.lstrip())] else " "
    lines = (escape(" ".join(line.split())) for line in text.splitlines() if line.strip())
    return lead + "\n\n".join(f":orange-background[{line}]" if alone else line for line in lines)
