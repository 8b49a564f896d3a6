"""Taxonomy: the tree of knowledge, to be looked at, searched, edited, grown with a teacher and voted on."""

import streamlit as st

from glan_core import coverage, demo, taxonomy_edit, taxonomy_file
from glan_core.wording import plural
from glan_core.workspace import curriculum_rows, taxonomy_rows
from pages.components import address, studio
from pages.components.proposals import proposals
from pages.components.taxonomy_changes import act, changes, offer_undo
from pages.components.taxonomy_detail import detail
from pages.components.taxonomy_exchange import exchange
from pages.components.taxonomy_graph import graph
from pages.components.taxonomy_outline import outline

ws, tree = studio.open_page("Taxonomy")
standings = coverage.standings(ws, tree)
subject = curriculum_rows.subject(ws.db, address.subject()) if address.subject() else None


def picture() -> None:
    """The tree, as a graph or as an outline."""
    view = st.segmented_control(
        "View", ["Graph", "Outline"], default="Graph", required=True, key="view", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    if view == "Graph":
        graph(ws, tree, standings, subject)
    else:
        outline(tree, standings)


def empty() -> None:
    """What can be done while there is no tree."""
    st.info(
        "The taxonomy is empty. Begin with the starter taxonomy, or import one of your own below.",
        icon=":material/account_tree:",
    )
    if st.button("Use the starter taxonomy", type="primary", icon=":material/add:", disabled=ws.read_only):
        nodes = taxonomy_file.read(demo.STARTER_TAXONOMY)
        act(ws, "The starter taxonomy is in place.", taxonomy_edit.import_nodes, nodes, address.user())


fields = sum(1 for _, parents in tree.in_degree() if parents == 0)
open_proposals = len(taxonomy_rows.proposals(ws.db))
studio.title(
    "Taxonomy", tree, f"{plural(fields, 'field')} · {plural(standings[''].disciplines, 'discipline')} · "
    f"{plural(open_proposals, 'open proposal')}", ws,
)  # fmt: skip
offer_undo(ws)
if len(tree):
    left, right = studio.picture_and_detail("taxonomy")
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
