"""The questions nearest to one on the map, by the similarity of their vectors."""

import streamlit as st

from glan_core.diversity.similar_questions import similar_questions
from glan_core.formatting import shorten
from glan_core.workspace import Workspace, homework_rows
from pages.components.shared import url_state
from pages.components.shared.untrusted_text import escape


def panel(ws: Workspace, seq: int) -> None:
    """Draw the most similar questions; a click opens one."""
    found = similar_questions(ws, seq)
    if not found:
        return
    starts = homework_rows.question_starts(ws.db, [other for other, _ in found], 120)
    ids = homework_rows.ids_by_seq(ws.db, [other for other, _ in found])
    st.markdown(
        "**Most similar questions**", help="Cosine similarity of the vectors of the newest map's embedder; 1 is the same text."
    )
    with st.container(gap=None, key="similar"):
        for other, similarity in found:
            if other in ids:
                st.button(
                    f"{similarity:.2f} · {escape(shorten(' '.join(starts.get(other, '').split()), 62))}", key=f"similar_{other}",
                    type="tertiary", on_click=url_state.select, kwargs={"pair": ids[other]},
                )  # fmt: skip
