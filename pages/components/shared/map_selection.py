"""The area selected on the diversity map: kept in session and URL, it filters Homework, Dataset and exports until it is cleared."""

import streamlit as st

from glan_core.diversity.map_area import MOST_ROWS, Area, area_seqs, parse_area
from glan_core.diversity.map_store import list_maps
from glan_core.formatting import number, plural
from glan_core.workspace import Workspace

AREA = "map_area"  # text of the area in the session state
IN_URL = "area"


def selected() -> Area | None:
    """Return the selected area; a URL with another one than this session wrote replaces it."""
    state, linked = st.session_state, st.query_params.get(IN_URL)
    if linked and linked != state.get("map_area_written"):
        state[AREA] = state.map_area_written = linked
    text = state.get(AREA)
    area = parse_area(text) if text else None
    if area is None:
        state.pop(AREA, None)
        st.query_params.pop(IN_URL, None)
    elif linked != text:
        st.query_params[IN_URL] = state.map_area_written = text
    return area


def select(area: Area | None) -> None:
    """Select an area, or none; in a callback."""
    if area is None:
        st.session_state.pop(AREA, None)
        st.query_params.pop(IN_URL, None)
    else:
        st.session_state[AREA] = area.to_text()


def seqs(ws: Workspace) -> tuple[int, ...] | None:
    """Return the questions of the selected area, None if there is none or it cannot filter."""
    area = selected()
    if area is None:
        return None
    versions = tuple((info.embedder, info.dims, info.version) for info in list_maps(ws))
    return _seqs(ws, (str(ws.folder), area.to_text(), versions))


@st.cache_data(max_entries=20, show_spinner=False)
def _seqs(_ws: Workspace, key: tuple) -> tuple[int, ...] | None:
    area = parse_area(key[1])
    return area_seqs(_ws, area) if area else None


def chip(ws: Workspace) -> None:
    """Draw the selected area as a removable filter."""
    if selected() is None:
        return
    found = seqs(ws)
    if found is None:
        st.caption(
            f":material/lasso_select: The area selected on the map does not filter: its map is gone, or it has over {number(MOST_ROWS)} questions."
        )
        return
    st.button(
        f"Map area · {plural(len(found), 'question')}", icon=":material/close:", key="chip_map_area", help="Remove filter",
        on_click=select, args=(None,),
    )  # fmt: skip
