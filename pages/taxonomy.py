"""Taxonomy: the tree of knowledge, to be searched, edited, grown with a teacher and voted on."""

import pandas as pd
import streamlit as st

from glan_core import coverage, demo, runs, taxonomy, taxonomy_edit, taxonomy_file
from glan_core.errors import GlanError
from glan_core.generation.order import ProposalOrder, read_order
from glan_core.generation.run import check
from glan_core.wording import ago, plural
from glan_core.workspace import run_rows, taxonomy_rows
from glan_core.workspace.run_rows import LIVE
from pages.components import address, runs_panel, studio, teacher_form
from pages.components.add_discipline import add_discipline
from pages.components.text import fault, plain, scripted_mark

ws, tree = studio.open_page("Taxonomy")
focus = address.focus()
node = tree.nodes[focus]["node"] if focus else None
standings = coverage.standings(ws, tree)
WORDS = {
    "add": "added", "describe": "described anew", "move": "moved", "remove": "removed",
    "restore": "restored", "import": "imported",
}  # fmt: skip


def visible(search: str, whole: bool) -> list[taxonomy.Node]:
    """The nodes that the outline shows: those found with what is above them; else the tops and what the focus unfolds."""
    nodes = list(taxonomy.walk(tree))
    if search.strip():
        wanted = search.casefold().split()
        found = [n for n in nodes if all(w in f"{n.name} {n.description}".casefold() for w in wanted)]
        shown = {above.id for n in found for above in taxonomy.path(tree, n.id)}
        return [n for n in nodes if n.id in shown]
    unfolded = {None, *(n.id for n in taxonomy.path(tree, focus))} if focus else {None}
    return [n for n in nodes if whole or n.parent_id in unfolded]


def outline() -> None:
    """The tree as an indented table; a click picks and unfolds."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = st.text_input("Search", placeholder="name or description", key="taxonomy_search", icon=":material/search:")
        whole = st.toggle("Unfold all", key="unfold", bind="query-params")
    nodes = visible(search, whole)
    if not nodes:
        st.info("Nothing is called so. Try another word, or add it as a discipline.")
        return
    rows = [(standings[n.id], n, len(taxonomy.path(tree, n.id)) - 1) for n in nodes]
    frame = pd.DataFrame(
        {
            "name": [
                "\u2003" * depth + ("" if n.kind == "discipline" else "▾ " if _open(n) or whole else "▸ ") + n.name
                for _, n, depth in rows
            ],
            "disciplines": [f"{s.disciplines:,}" if n.kind != "discipline" else "" for s, n, _ in rows],
            "share": [None if s.share is None else 100 * s.share for s, _, _ in rows],
            "pairs": [int(s.counts["pairs"]) for s, _, _ in rows],
        }
    )

    def pick() -> None:
        picked = st.session_state[key].selection.rows
        address.set_focus(nodes[picked[0]].id if picked else node.parent_id)  # the picked row again: back up

    key = f"outline_{focus}_{search}_{whole}"  # the rows change with these, and a picked row must not stay picked by number
    at = next((number for number, n in enumerate(nodes) if n.id == focus), None)
    st.dataframe(
        frame, key=key, on_select=pick, selection_mode="single-row", hide_index=True,
        height="content" if len(frame) <= 17 else 600,
        selection_default={"selection": {"rows": [] if at is None else [at]}},
        column_config={
            "name": st.column_config.TextColumn("Field, sub-field, discipline", width=318),
            "disciplines": st.column_config.TextColumn("Disciplines", width=80, alignment="right"),
            "share": st.column_config.ProgressColumn("Target", format="%.0f%%", min_value=0, max_value=100, width=100),
            "pairs": st.column_config.NumberColumn("Pairs", format="localized", width=60),
        },
    )  # fmt: skip


def _open(n: taxonomy.Node) -> bool:
    return focus is not None and any(above.id == n.id for above in taxonomy.path(tree, focus))


def act(done: str, action, *args, **kwargs) -> None:
    """Do an edit; say what was done, or why it can't be."""
    try:
        action(ws, *args, **kwargs)
    except GlanError as error:
        fault(error)
    else:
        st.toast(done, icon=":material/check:")
        st.rerun()


def detail() -> None:
    """What is picked, and what can be done with it."""
    if node is None:
        st.subheader("All knowledge", anchor=False)
        st.markdown("Pick a node to see what it is and to change it.")
        return
    st.subheader(plain(node.name), anchor=False)
    group = taxonomy.group_of(tree, node.id)
    st.caption(f"{node.kind.capitalize()} · {group or 'no group'}")
    st.markdown(plain(node.description) or "*No description yet.*")
    with st.container(horizontal=True, gap="small"):
        if node.kind == "discipline" and st.button("Plan a run", icon=":material/play_circle:"):
            st.switch_page("pages/runs.py")
        with st.popover("Edit", icon=":material/edit:"):
            edit_form()
        count = sum(1 for _ in taxonomy.walk(tree, node.id))
        with st.popover("Remove", icon=":material/delete:"):
            st.markdown(
                f"Removes {plural(count, 'node')}. What was generated stays, and *Changes* below brings the nodes back."
            )
            if st.button(f"Remove {plural(count, 'node')}"):
                parent = node.parent_id
                act(
                    f"Removed {node.name}.",
                    lambda ws: (taxonomy_edit.remove(ws, node.id, address.user()), address.set_focus(parent)),
                )
    keep, against = taxonomy_rows.tallies(ws.db).get(node.id, (0, 0))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Votes: {keep} keep, {against} remove")
        vote_buttons(node.id)


def edit_form() -> None:
    """Name, description and place of the picked node."""
    parents = [n for n in taxonomy.walk(tree) if n.kind != "discipline" and n.id not in _below(node.id)]
    with st.form("edit_node", border=False):
        name = st.text_input("Name", node.name)
        description = st.text_area("Description", node.description, height=90)
        parent = node.parent_id
        if node.kind != "field":
            ids = [n.id for n in parents]
            parent = st.selectbox("Under", ids, ids.index(parent), format_func=lambda id: _path_name(id))
        if st.form_submit_button("Save", type="primary"):
            act("Saved.", taxonomy_edit.edit, node.id, address.user(), name=name, description=description, parent_id=parent)


def _below(id: str) -> set[str]:
    return {n.id for n in taxonomy.walk(tree, id)}


def _path_name(id: str) -> str:
    return " › ".join(n.name for n in taxonomy.path(tree, id))


def vote_buttons(target_id: str) -> None:
    """Keep or remove, for a node or a proposal."""
    for keep, icon, word in ((True, ":material/thumb_up:", "Keep"), (False, ":material/thumb_down:", "Remove")):
        if st.button(word, icon=icon, key=f"vote_{target_id}_{keep}", type="tertiary"):
            act("Your vote is counted.", taxonomy_edit.vote, target_id, keep, address.user())


def proposals() -> None:
    """Ask a teacher what is missing, and vote on what it proposes."""
    live = [run for run in run_rows.live_runs(ws.db) if run.kind == "propose" and runs.state_of(run) in LIVE]
    for run in live:
        runs_panel.live(ws, run.id)
    open_ones = taxonomy_rows.proposals(ws.db)
    left, right = studio.picture_and_detail()
    with right:
        grow_form()
    with left:
        tallies = taxonomy_rows.tallies(ws.db)
        count_votes(open_ones, tallies)
        if not open_ones:
            st.info("No open proposals. Ask a teacher what is missing under a node; people vote on what it says.")
        for proposal in open_ones:
            with st.container(border=True):
                proposal_card(proposal, tallies.get(proposal.id, (0, 0)))


def count_votes(open_ones: list[taxonomy_rows.Proposal], tallies: dict[str, tuple[int, int]]) -> None:
    """The button that lets the majority decide, with what it will do."""
    ids = {p.id for p in open_ones}
    adds = sum(keep > against for id, (keep, against) in tallies.items() if id in ids)
    rejects = sum(against > keep for id, (keep, against) in tallies.items() if id in ids)
    removes = {below for id, (keep, against) in tallies.items() if id in tree and against > keep for below in _below(id)}
    if open_ones or removes:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"{plural(len(open_ones), 'open proposal')}. The majority decides; a tie stays open.", width="content")
            deeds = [
                f"{word} {count}" for word, count in (("adds", adds), ("rejects", rejects), ("removes", len(removes))) if count
            ]
            label = f"Count the votes · {', '.join(deeds) or 'none yet'}"
            if st.button(label, icon=":material/how_to_vote:", disabled=not deeds):
                act("The votes are counted.", decide)


def decide(ws) -> None:
    """Count the votes; say why a proposal that the majority kept could not join the tree."""
    for name, reason in taxonomy_edit.decide(ws, address.user()).refused:
        st.toast(f"{plain(name)} could not be added: {plain(reason)}", icon=":material/warning:")


def proposal_card(proposal: taxonomy_rows.Proposal, votes: tuple[int, int]) -> None:
    """One proposal with its reason and votes."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{plain(proposal.name)}**", width="content")
        st.badge(proposal.kind, color="gray")
        scripted_mark(proposal.teacher)
        if proposal.similar_to:
            st.badge(
                f"resembles {', '.join(plain(name) for name in proposal.similar_to)}",
                color="orange",
                icon=":material/content_copy:",
            )
    where = _path_name(proposal.parent_id) if proposal.parent_id in tree else "a removed node"
    st.caption(f"Under {plain(where)} · brought up by {plural(len(proposal.prompts), 'wording')} of the prompt")
    st.markdown(f"{plain(proposal.description)} {plain(proposal.reason)}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{votes[0]} keep, {votes[1]} remove")
        vote_buttons(proposal.id)


def grow_form() -> None:
    """Ask a teacher what is missing under the focus."""
    if node is None or node.kind == "discipline":
        st.markdown("**Grow the tree**")
        st.caption("Pick a field or a sub-field in the outline to ask a teacher what is missing there.")
        return
    st.markdown(f"**Grow {plain(node.name)}**")
    values = teacher_form.fields("grow") or {}
    count = st.number_input("Proposals from each wording, at most", 1, 50, 8)
    if st.button("Ask what is missing · 4 calls", icon=":material/psychiatry:", width="stretch", disabled=not values):
        try:
            order = read_order(ProposalOrder, {**values, "parent_id": node.id, "count": count})
            check(order, key=teacher_form.environment().get("OPENAI_API_KEY"))
            run_id = runs.submit(ws, "propose", f"What is missing in {node.name}?", order.model_dump(mode="json"))
            runs.launch(ws, run_id, teacher_form.environment())
        except GlanError as error:
            fault(error)
        else:
            st.rerun()


def changes() -> None:
    """Who changed what, with the removed nodes to restore."""
    removed = {n.id: n for n in taxonomy_rows.nodes(ws.db, removed=True)}
    tops = [n for n in removed.values() if n.parent_id not in removed]
    for n in tops:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{plain(n.name)} is removed.", width="content")
            if st.button("Restore", key=f"restore_{n.id}", icon=":material/undo:", type="tertiary"):
                act(f"Restored {n.name}.", taxonomy_edit.restore, n.id, address.user())
    events = taxonomy_rows.events(ws.db, 200)
    st.dataframe(
        pd.DataFrame({
            "when": [ago(e.at) for e in events], "who": [e.who for e in events],
            "what": [_deed(e) for e in events],
        }),
        hide_index=True, height=320, column_config={"when": "When", "who": "Who", "what": "What"},
    )  # fmt: skip


def _deed(event: taxonomy_rows.NodeEvent) -> str:
    if event.action == "rename":
        return f"{event.before.name} renamed to {event.after.name}"
    return f"{(event.after or event.before).name} {WORDS[event.action]}"


def exchange() -> None:
    """Import, with the difference shown before it is applied, and export."""
    left, right = studio.two_halves()
    with left:
        st.markdown("**Export**")
        for kind in ("yaml", "json"):
            text = taxonomy_file.dump(taxonomy_rows.nodes(ws.db), kind, name=str(ws.fact("name")))
            st.download_button(f"Download {kind.upper()}", text, f"taxonomy.{kind}", icon=":material/download:")
    with right:
        st.markdown("**Import**")
        file = st.file_uploader("A taxonomy as YAML or JSON", type=["yaml", "yml", "json"])
        if file:
            import_file(file.name, file.getvalue())


def import_file(name: str, content: bytes) -> None:
    """Show what an uploaded taxonomy would change, and apply it when told to."""
    try:
        kind = "json" if name.lower().endswith(".json") else "yaml"
        nodes = taxonomy_file.parse(content.decode("utf-8"), kind, name)
    except UnicodeDecodeError:
        st.error(f"{plain(name)} is not text in UTF-8.")
        return
    except GlanError as error:
        fault(error)
        return
    diff = taxonomy.diff(taxonomy_rows.nodes(ws.db), nodes)
    parts = {part: getattr(diff, part) for part in ("added", "removed", "renamed", "moved", "changed")}
    for part, entries in parts.items():
        if entries:
            names = [entry.name if part in ("added", "removed") else entry[1].name for entry in entries]
            st.markdown(f"{len(names):,} {part}: {plain(', '.join(names[:12]))}{' …' if len(names) > 12 else ''}")
    total = sum(map(len, parts.values()))
    if not total:
        st.info("This file says what the workspace already holds.")
    elif st.button(f"Import · {plural(total, 'change')}", type="primary"):
        act(f"Imported {name}.", taxonomy_edit.import_nodes, nodes, address.user())


fields = sum(1 for _, parents in tree.in_degree() if parents == 0)
studio.title("Taxonomy", tree, f"{plural(fields, 'field')} · {plural(standings[''].disciplines, 'discipline')} · "
             f"{plural(len(taxonomy_rows.proposals(ws.db)), 'open proposal')}", ws)  # fmt: skip
left, right = studio.picture_and_detail()
with left:
    if len(tree):
        outline()
    else:
        st.info(
            "The taxonomy is empty. Begin with the starter taxonomy, or import one of your own below.",
            icon=":material/account_tree:",
        )
        if st.button("Use the starter taxonomy", type="primary", icon=":material/add:"):
            act(
                "The starter taxonomy is in place.",
                taxonomy_edit.import_nodes,
                taxonomy_file.read(demo.STARTER_TAXONOMY),
                address.user(),
            )
with right:
    if len(tree):
        if st.button("Add a discipline", type="primary", icon=":material/add:", width="stretch"):
            add_discipline(ws, tree)
        detail()
tabs = st.tabs(["Proposals and votes", "Changes", "Import and export"], on_change="rerun", key="taxonomy_tabs")
for tab, draw in zip(tabs, (proposals, changes, exchange), strict=True):
    if tab.open:
        with tab:
            draw()
