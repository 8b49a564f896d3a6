"""Taxonomy page: browse, search, edit and extend the taxonomy, and vote on its nodes."""

import streamlit as st

from glan_core.formatting import plural
from glan_core.operations import demo_workspace
from glan_core.taxonomy import coverage, taxonomy_files, tree_editing
from glan_core.workspace import curriculum_rows, taxonomy_rows
from pages.components.shared import page_frame, url_state
from pages.components.taxonomy import changes, detail, graph, import_export, outline, proposals

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
        graph.panel(ws, tree, standings, subject)
    else:
        outline.panel(tree, standings)


def empty() -> None:
    """Draw the empty state."""
    st.info(
        "The taxonomy is empty. Start with the default taxonomy, or import your own below.",
        icon=":material/account_tree:",
    )
    if st.button("Use default taxonomy", type="primary", icon=":material/add:", disabled=ws.read_only):
        nodes = taxonomy_files.read(demo_workspace.STARTER_TAXONOMY)
        changes.apply_edit(ws, "Default taxonomy added.", tree_editing.import_nodes, nodes, url_state.user())


fields = sum(1 for _, parents in tree.in_degree() if parents == 0)
open_proposals = len(taxonomy_rows.proposals(ws.db))
page_frame.title_line(
    "Taxonomy", tree, f"{plural(fields, 'field')} · {plural(standings[''].disciplines, 'discipline')} · "
    f"{plural(open_proposals, 'open proposal')}", ws,
)  # fmt: skip
changes.undo_bar(ws)
if len(tree):
    left, right = page_frame.main_and_detail("taxonomy")
    with left:
        picture()
    with right:
        detail.panel(ws, tree, standings, subject)
else:
    empty()
PARTS = {
    f"Proposals and votes · {open_proposals}" if open_proposals else "Proposals and votes": lambda: proposals.panel(ws, tree),
    "Changes": lambda: changes.panel(ws),
    "Import and export": lambda: import_export.panel(ws),
}
opened = st.tabs(list(PARTS), default=None if len(tree) else "Import and export", on_change="rerun", key="taxonomy_tabs")
for tab, draw in zip(opened, PARTS.values(), strict=True):
    if tab.open:
        with tab:
            draw()
