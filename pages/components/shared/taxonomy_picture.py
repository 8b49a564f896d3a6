"""The taxonomy as a picture whose parts are clicked to move the focus: rings or tiles around the focus."""

from collections.abc import Sequence

import networkx as nx
import streamlit as st

from glan_core.figures.tree_parts import ALL
from pages.components.shared import url_state


def middle(tree: nx.DiGraph) -> str:
    """Return the center node of the picture: the focus, or its parent if it is a discipline."""
    focus = url_state.focus()
    if focus is None:
        return ALL
    node = tree.nodes[focus]["node"]
    return focus if node.kind != "discipline" else node.parent_id or ALL


def draw(option: dict, ids: Sequence[str], tree: nx.DiGraph, *, key: str, height: int, alt: str) -> None:
    """Draw a picture; a click on a part moves the focus to it, a click on the center moves it up.

    Args:
        option: Option of `rings_chart` or `tiles_chart`.
        ids: The nodes that it draws, by data index (`drawn_ids`), the center first.
        tree: The taxonomy.
        key: Key of the picture.
        height: Height in pixels.
        alt: Description for screen readers.
    """
    key = f"{key}_{url_state.focus() or ALL}"  # what was clicked is not selected in the next picture

    def pick() -> None:
        for group in st.session_state[key].selection.selected:
            id = ids[group["data_indices"][0]]
            if id == ids[0] and id != ALL:
                id = tree.nodes[id]["node"].parent_id or ALL
            url_state.set_focus(None if id == ALL else id)

    st.echarts_chart(option, key=key, on_select=pick, height=height, renderer="svg", alt=alt)
