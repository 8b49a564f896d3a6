"""Audit log of a workspace: what its signed-in users changed."""

import pandas as pd
import streamlit as st

from glan_core.formatting import exact
from glan_core.workspace import Workspace, audit_rows
from pages.components.shared import plain_table

SHOWN = 500  # newest entries


def panel(ws: Workspace) -> None:
    """Draw the newest entries; nothing if nobody with a sign-in changed anything."""
    found = audit_rows.entries(ws.db, SHOWN)
    if not found:
        return
    with st.expander("Audit log", icon=":material/policy:"):
        plain_table.draw(
            pd.DataFrame({
                "at": [exact(one.at) for one in found], "who": [one.who for one in found],
                "action": [one.action for one in found], "detail": [one.detail for one in found],
            }),
            hide_index=True, placeholder="–", height="content" if len(found) <= 9 else 350, alt="Changes by signed-in users, newest first",
            column_config={
                "at": st.column_config.TextColumn("Time", width=140), "who": st.column_config.TextColumn("User", width=130),
                "action": st.column_config.TextColumn("Action", width=170, help="Function of the studio that made the change."),
                "detail": st.column_config.TextColumn("Detail", width=140),
            },
        )  # fmt: skip
        if len(found) == SHOWN:
            st.caption(f"The newest {SHOWN} entries. All are in the table audit of the database.")
