"""Connections page: saved endpoints of the user, a test of each, and the default teachers of the workspace."""

import os

import pandas as pd
import streamlit as st

from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.teachers.connections import MARK, Connection, list_connections
from glan_core.teachers.endpoint_settings import KEY_VARIABLE
from glan_core.teachers.wire_format import OPENAI_URL
from pages.components.connections import defaults, form
from pages.components.shared import page_frame, plain_table, row_selection
from pages.components.shared.untrusted_text import show_error

ws, tree = page_frame.open_page("Connections")
try:
    saved = list_connections()
except GlanError as error:
    page_frame.title_line("Connections", tree, "The saved connections cannot be read.", ws)
    show_error(error)
    st.stop()
page_frame.title_line(
    "Connections", tree, f"{plural(len(saved), 'connection')} saved" if saved else "No connections are saved.", ws
)
if error := st.session_state.pop("connection_error", None):
    show_error(error)
if said := st.session_state.pop("connection_said", None):
    st.toast(said, icon=":material/check:")


def choose(row: int | None) -> None:
    """Select the connection of the clicked row; without one, the form is for a new connection."""
    st.session_state.connection = None if row is None else names[row]
    st.query_params.pop("connection", None)


def key_words(connection: Connection) -> str:
    """Say which variable holds the key of a connection, and whether it is set."""
    if connection.key_variable is None and connection.base_url not in (None, OPENAI_URL):
        return "none"
    variable = connection.key_variable or KEY_VARIABLE
    return variable if os.environ.get(variable) else f"{variable} (not set)"


names = [connection.name for connection in saved]
selected = st.session_state.get("connection") or st.query_params.get("connection")
st.session_state.connection = selected = selected if selected in names else None
if selected:
    st.query_params["connection"] = selected
left, right = page_frame.main_and_detail("connection")
with left:
    if saved:
        at = names.index(selected) if selected in names else None
        plain_table.draw(
            pd.DataFrame({
                "name": [f"{MARK}{connection.name}" for connection in saved],
                "model": [connection.model for connection in saved],
                "url": [connection.base_url or OPENAI_URL for connection in saved],
                "key": [key_words(connection) for connection in saved],
            }),
            **row_selection.clickable_rows(f"connections_{len(names)}", at, choose, len(names)), hide_index=True, alt="Saved connections",
            height="content" if len(saved) <= 12 else 457,
            column_config={
                "name": st.column_config.TextColumn("Name", width=110), "model": st.column_config.TextColumn("Model", width=150),
                "url": st.column_config.TextColumn("URL", width=200),
                "key": st.column_config.TextColumn(
                    "Key", width=210, help="Environment variable of the key, and whether it is set where the studio runs."
                ),
            },
        )  # fmt: skip
        if st.session_state.connection:
            st.button(
                "New connection", icon=":material/add:", key="connection_new", on_click=choose, args=(None,),
            )  # fmt: skip
    else:
        st.info(
            "A connection names an endpoint and a model, so that every form and command can use it as @NAME. Keys are never stored: "
            "a connection holds the name of the environment variable.", icon=":material/cable:",
        )  # fmt: skip
    with st.expander("Default teachers of this workspace", expanded=bool(st.session_state.default_teachers)):
        defaults.panel(ws, saved)
with right:
    form.panel(st.session_state.connection)
