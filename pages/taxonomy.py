"""Taxonomy page: browse, search, edit and extend the taxonomy, and vote on its nodes."""

import streamlit as st

from glan_core.formatting import plural
from glan_core.operations import demo_workspace
from glan_core.taxonomy import coverage, taxonomy_files, tree_editing
from glan_core.workspace import curriculum_rows, taxonomy_rows
from pages.components.shared import page_frame, url_state
from pages.components.taxonomy.changes import act, changes, offer_undo
from pages.components.taxonomy.detail import detail
from pages.components.taxonomy.graph import graph
from pages.components.taxonomy.import_export import exchange
from pages.components.taxonomy.outline import outline
from pages.components.taxonomy.proposals import proposals

ws, tree = page_frame.open_page("Taxonomy")
standings = coverage.coverage_by_node(ws, tree)
subject = curriculum_rows.subject(ws.db, url_state.subject()) if url_state.subject() else None


def picture() -> None:
    """Draw the taxonomy as a graph or an outline."""
    view = st.segmented_control(
        "View", ["Graph", "Outline"], default="Graph", required=True, key="view", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    if view == "Graph":
        graph(ws, tree, standings, subject)
    else:
        outline(tree, standings)


def empty() -> None:
    """Draw the empty state."""
    st.info(
        "The taxonomy is empty. Start with the default taxonomy, or import your own below.",
        icon=":material/account_tree:",
    )
    if st.button("Use default taxonomy", type="primary", icon=":material/add:", disabled=ws.read_only):
        nodes = taxonomy_files.read(demo_workspace.STARTER_TAXONOMY)
        act(ws, "Default taxonomy added.", tree_editing.import_nodes, nodes, url_state.user())


fields = sum(1 for _, parents in tree.in_degree() if parents == 0)
open_proposals = len(taxonomy_rows.proposals(ws.db))
page_frame.title(
    "Taxonomy", tree, f"{plural(fields, 'field')} · {plural(standings[''].disciplines, 'discipline')} · "
    f"{plural(open_proposals, 'open proposal')}", ws,
)  # fmt: skip
offer_undo(ws)
if len(tree):
    left, right = page_frame.picture_and_detail("taxonomy")
    with left:
        picture()
    with right:
        detail(ws, tree, standings, subject)
else:
    empty()
PARTS = {
    f"Proposals and votes · {open_proposals}" if open_proposals else "Proposals and votes": lambda: proposals(ws, tree),
    "Changes": lambda: changes(ws),
    "Import and export": lambda: exchange(ws),
}
opened = st.tabs(list(PARTS), default=None if len(tree) else "Import and export", on_change="rerun", key="taxonomy_tabs")
for tab, draw in zip(opened, PARTS.values(), strict=True):
    if tab.open:
        with tab:
            draw()
