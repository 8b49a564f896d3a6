"""Proposals for the taxonomy: ask a teacher for missing nodes, vote on them, apply the votes."""

from itertools import groupby

import networkx as nx
import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.generation.settings import ProposalSettings
from glan_core.records import Node
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace, run_rows, taxonomy_rows
from glan_core.workspace.run_rows import LIVE
from glan_core.workspace.taxonomy_rows import Proposal
from pages.components.shared import page_frame, run_table, settings_fields, teacher_form, url_state
from pages.components.shared.untrusted_text import escape, scripted_badge, show_error
from pages.components.taxonomy import changes, detail

MOST = 40  # proposals drawn at once
FEW, HEIGHT = 4, 620  # more proposals scroll within this height


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the open proposals, those below the focus first, and the form that asks for more."""
    for run in run_rows.live_runs(ws.db):
        if run.kind == "propose" and runs.state_of(run) in LIVE:
            run_table.run_panel(ws, run.id)
    tallies = taxonomy_rows.vote_counts(ws.db)
    every = taxonomy_rows.proposals(ws.db)
    left, right = page_frame.main_and_detail("proposals")
    with right:
        _grow_form(ws, tree)
    with left:
        _count_votes(ws, tree, every, tallies)
        if not every:
            st.info("No open proposals. Ask a teacher which nodes are missing, then vote on its proposals.")
        near = {node.id for node in hierarchy.walk(tree, url_state.focus())}
        shown = sorted(every, key=lambda p: (p.parent_id not in near, p.parent_id))[:MOST]
        with st.container(height=HEIGHT if len(shown) > FEW else "content", border=False):
            for parent_id, ones in groupby(shown, key=lambda p: p.parent_id):
                where = detail.path_name(tree, parent_id) if parent_id in tree else "a removed node"
                st.caption(f"Under **{escape(where)}**")
                with st.grid(2, gap="small", min_column_width=290):
                    for proposal in ones:
                        with st.container(border=True, height="stretch", gap="xsmall"):
                            _card(ws, proposal, tallies.get(proposal.id, (0, 0)))
        if len(every) > MOST:
            st.caption(f"Showing the first {MOST} of {len(every):,}; decide on these to see the rest.")


def _count_votes(ws: Workspace, tree: nx.DiGraph, every: list[Proposal], tallies: dict[str, tuple[int, int]]) -> None:
    """Draw the button that applies the votes, with its effect."""
    ids = {p.id for p in every}
    adds = sum(keep > against for id, (keep, against) in tallies.items() if id in ids)
    rejects = sum(against > keep for id, (keep, against) in tallies.items() if id in ids)
    out = [id for id, (keep, against) in tallies.items() if id in tree and against > keep]
    removes = {below.id for id in out for below in hierarchy.walk(tree, id)}
    if not every and not removes:
        return
    effects = [f"{word} {count}" for word, count in (("adds", adds), ("rejects", rejects), ("removes", len(removes))) if count]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"**{plural(len(every), 'open proposal')}.** Decided by majority; ties stay open.", width="content")
        label = f"Apply votes · {', '.join(effects) or 'no majority yet'}"
        if st.button(label, icon=":material/how_to_vote:", disabled=not effects or ws.read_only):
            changes.apply_edit(ws, f"Votes applied: {', '.join(effects)}.", _decide)


def _decide(ws: Workspace) -> None:
    """Apply the votes and show why an accepted proposal could not be added."""
    for name, reason in tree_editing.apply_votes(ws, url_state.user()).refused:
        st.toast(f"{escape(name)} could not be added: {escape(reason)}", icon=":material/warning:")


def _card(ws: Workspace, proposal: Proposal, votes: tuple[int, int]) -> None:
    """Draw one proposal with its reason and votes."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{escape(proposal.name)}**", width="content")
        st.badge(proposal.kind, color="gray")
        scripted_badge(proposal.teacher)
    if proposal.similar_to:
        st.badge(
            f"similar to {', '.join(escape(name) for name in proposal.similar_to)}", color="orange", icon=":material/content_copy:",
            help="The taxonomy may already contain this node under another name.",
        )  # fmt: skip
    st.markdown(escape(proposal.description) or ":gray[No description.]")
    why = f"Reason: {escape(proposal.reason)} " if proposal.reason else ""
    st.caption(
        f"{why}Suggested by {len(proposal.prompts)} of 4 prompts.",
        help="The teacher gets 4 differently worded prompts; a node suggested by several of them is more likely missing.",
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        detail.vote_buttons(ws, proposal.id, *votes)


def _grow_form(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the form that asks a teacher for nodes missing under the focus, or under its parent if it is a discipline."""
    node = _place(tree)
    if node is None:
        st.markdown("**Extend the taxonomy**")
        st.caption("Select a field or sub-field to ask a teacher for missing sub-fields and disciplines.")
        return
    st.markdown(f"**Missing nodes under {escape(node.name)}**")
    values = teacher_form.fields("grow", stage="proposals") or {}
    count = st.number_input(
        value=settings_fields.default(ProposalSettings, "count"), **settings_fields.number(ProposalSettings, "count")
    )
    idle = not values or ws.read_only
    if st.button("Ask for missing nodes · 4 calls", icon=":material/psychiatry:", width="stretch", disabled=idle):
        try:
            settings = read_settings(ProposalSettings, {**values, "parent_id": node.id, "count": count})
            runs.start(ws, "propose", f"Missing nodes under {node.name}", settings, teacher_form.environment())
        except GlanError as error:
            show_error(error)
        else:
            st.rerun()


def _place(tree: nx.DiGraph) -> Node | None:
    focus = url_state.focus()
    node = tree.nodes[focus]["node"] if focus else None
    return tree.nodes[node.parent_id]["node"] if node and node.kind == "discipline" else node
