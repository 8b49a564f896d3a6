"""A person's objection to the verdicts on a question: the score is then shown with and without it."""

import streamlit as st

from glan_core.errors import GlanError
from glan_core.evaluation.judge.disputes import dispute, withdraw
from glan_core.formatting import ago
from glan_core.workspace import Workspace, match_rows
from glan_core.workspace.match_rows import Match
from pages.components.shared import url_state
from pages.components.shared.untrusted_text import escape, show_error


def panel(ws: Workspace, match: Match, item: str) -> None:
    """Draw the objection to the verdicts on a question, or the field to make one."""
    if error := st.session_state.pop("dispute_error", None):
        show_error(error)
    if not any(verdict.item == item for verdict in match_rows.verdicts(ws.db, match.id, [item])):
        return
    known = match_rows.disputes(ws.db, match.id).get(item)
    if known is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f":material/flag: Disputed by {escape(known.who)} {ago(known.at)}: {escape(known.reason or 'no reason given')}",
                width="stretch",
            )
            if not ws.read_only:
                st.button("Withdraw", key=f"undispute_{item}", type="tertiary", on_click=withdraw, args=(ws, match.id, item))
        return
    if ws.read_only:
        return
    with st.popover("Mark verdict as wrong", icon=":material/flag:", key=f"dispute_{item}"):
        st.text_input("Reason", key=f"dispute_reason_{item}", placeholder="The judge missed a wrong unit in answer A.")
        st.caption("The verdicts are kept. Results show the score with and without disputed questions.")
        st.button("Mark as wrong", key=f"dispute_now_{item}", on_click=_dispute, args=(ws, match.id, item))


def _dispute(ws: Workspace, match: str, item: str) -> None:
    try:
        dispute(ws, match, item, st.session_state[f"dispute_reason_{item}"], url_state.user())
    except GlanError as error:
        st.session_state.dispute_error = error
