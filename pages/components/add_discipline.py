"""The dialog that adds a discipline to the tree."""

import networkx as nx
import streamlit as st

from glan_core import taxonomy, taxonomy_edit
from glan_core.errors import GlanError
from glan_core.workspace import Workspace
from pages.components import address
from pages.components.text import fault, plain


@st.dialog("Add a discipline")
def add_discipline(ws: Workspace, tree: nx.DiGraph) -> None:
    """Ask for name, place and description; say what it resembles; add it and put the focus there."""
    places = [n for n in taxonomy.walk(tree) if n.kind != "discipline"]
    ids = [n.id for n in places]
    focus = address.focus()
    near = focus if focus in ids else (tree.nodes[focus]["node"].parent_id if focus else None)
    name = st.text_input("Name", placeholder="Virology")
    place = st.selectbox(
        "Where in the tree", ids, ids.index(near) if near in ids else 0,
        format_func=lambda id: " › ".join(n.name for n in taxonomy.path(tree, id)),
    )  # fmt: skip
    description = st.text_area("Description", placeholder="One line that tells a teacher what belongs to it.", height=80)
    alike = taxonomy.similar(name, [n.name for n in taxonomy.walk(tree)]) if name.strip() else []
    if alike:
        st.warning(f"The tree already has {plain(', '.join(other for other, _ in alike[:3]))}.")
    if st.button("Add the discipline", type="primary", disabled=not name.strip() or not ids):
        try:
            node = taxonomy_edit.add(ws, name, place, address.user(), description=description)
        except GlanError as error:
            fault(error)
        else:
            address.set_focus(node.id)
            st.rerun()
