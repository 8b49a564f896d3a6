"""Overview page: coverage of the taxonomy, and where it is empty."""

import pandas as pd
import streamlit as st

from glan_core import runs
from glan_core.figures import rings, tiles
from glan_core.figures.coverage import HEIGHT, MEASURES, coverage_frame, coverage_rings, coverage_tiles
from glan_core.figures.tree_parts import drawn_ids
from glan_core.formatting import number, plural, short, usd
from glan_core.operations.journey import journey
from glan_core.runs import counter_deltas
from glan_core.runs.registry import is_job
from glan_core.taxonomy import coverage, hierarchy
from glan_core.workspace import run_rows
from glan_core.workspace.run_rows import LIVE, Run
from pages.components.overview import made, report_downloads
from pages.components.shared import (
    job_panel,
    page_frame,
    picture_table,
    plain_table,
    row_selection,
    run_table,
    taxonomy_picture,
    url_state,
)
from pages.components.shared.untrusted_text import escape

PICTURES = {"Rings": (coverage_rings, rings.LEVELS), "Tiles": (coverage_tiles, tiles.LEVELS)}
EMPTIEST = 12
WITH_DATA, ALL_NODES = "data", "all"  # which disciplines are drawn

ws, tree = page_frame.open_page("Overview")
standings = coverage.coverage_by_node(ws, tree)
focus = url_state.focus()
standing = standings[focus or ""]
sentence = coverage.coverage_sentence(standings, focus or "", demo=bool(ws.metadata("demo")))


def picture() -> None:
    """Draw the taxonomy as rings or tiles, colored by a metric."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        measure = st.selectbox(
            "Color by", list(MEASURES), format_func=lambda m: MEASURES[m].title, key="measure",
            bind="query-params", width=210, help="\n\n".join(f"**{m.title}**: {m.description}" for m in MEASURES.values()),
        )  # fmt: skip
        drawn = st.segmented_control(
            "View", list(PICTURES), default="Rings", required=True, key="drawn", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        center = taxonomy_picture.middle(tree)
        shown = ALL_NODES
        if (whole := standings[""]).partly_begun:
            words = {WITH_DATA: "With data", ALL_NODES: "All"}  # labels are part of URLs, so they have no counts
            shown = st.segmented_control(
                "Disciplines", list(words), default=WITH_DATA, format_func=words.get, required=True, key="shown", bind="query-params",
                help=f"{number(whole.begun)} of {number(whole.disciplines)} disciplines have data.", label_visibility="collapsed",
            )  # fmt: skip
    frame = coverage_frame(tree, standings, measure, only_begun=shown == WITH_DATA)
    if center not in set(frame["id"]):  # the focus has no data
        frame = coverage_frame(tree, standings, measure)
    draw, levels = PICTURES[drawn]
    taxonomy_picture.draw(
        draw(frame, measure, page_frame.figure_style(), center, focus), drawn_ids(frame, center, levels), tree, key=f"coverage_{drawn}",
        height=HEIGHT, alt=f"Taxonomy as {drawn.lower()}, colored by {MEASURES[measure].title.lower()}: {sentence}",
    )  # fmt: skip
    gray = " Gray: no data." if shown == ALL_NODES else ""
    st.caption(f"{MEASURES[measure].description}{gray} Click a part to zoom in, the center or the frame to zoom out.")
    picture_table.button(
        "coverage", f"Taxonomy by {MEASURES[measure].title.lower()}", lambda: _parts(frame, measure),
        {"name": "Part", "kind": "Level", "above": "Part of", "value": MEASURES[measure].title},
    )  # fmt: skip


def _parts(frame: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return the parts of the picture with the part above each and the written value."""
    names, written = dict(zip(frame["id"], frame["name"], strict=True)), MEASURES[measure].written
    return frame.assign(
        above=frame["parent"].map(names), value=[None if pd.isna(value) else written(value) for value in frame["value"]]
    )


def detail() -> None:
    """Draw the focus: counts, and the nodes below it."""
    node = tree.nodes[focus]["node"] if focus else None
    st.header(escape(node.name) if node else "All knowledge", anchor=False)
    if node and node.description:
        st.markdown(escape(node.description))
    if standing.share is not None:
        share, of = standing.share, "" if standing.disciplines == 1 else " (mean over disciplines)"
        if standing.partly_begun:  # few started disciplines would not show among many
            share = min(1.0, standing.share * standing.disciplines / standing.begun)
            of = f" of the {plural(standing.begun, 'started discipline')}"
        st.progress(share, f"{share:.1%} of the target{of}")
    counts = standing.counts
    if counts["concepts"]:
        asked = f"{number(counts['concepts_asked'])} of {number(counts['concepts'])} key concepts covered by questions"
        st.progress(min(1.0, counts["concepts_asked"] / counts["concepts"]), asked)
    totals()
    if standing.disciplines:
        label = "Plan a run" if standing.share == 1 else "Plan a run to fill this"
        if st.button(label, type="primary", icon=":material/play_circle:", width="stretch"):
            plan_for([])
    report_downloads.buttons(ws, standings[""])
    below = [tree.nodes[child]["node"] for child in (tree.successors(focus) if focus else _tops())]
    if below:
        part_below, part_empty = st.tabs(["Children", "Emptiest"], on_change="rerun", key="overview_tabs")
        if part_below.open:
            with part_below:
                _below(below)
        if part_empty.open:
            with part_empty:
                emptiest()


def plan_for(disciplines: list[str]) -> None:
    """Open the plan form for these disciplines, or for the whole focus if the list is empty."""
    st.session_state.run_disciplines = disciplines
    st.session_state.runs_view = "Plan"
    url_state.open_page("pages/runs.py")


def totals() -> None:
    """Draw the counts, each with what the current or last run added."""
    run, brought = counter_deltas.last_change(ws) or (None, {})
    under = set(hierarchy.disciplines_under(tree, focus))
    added = counter_deltas.total_changes({id: values for id, values in brought.items() if id in under})
    counts = standing.counts
    shown = (
        ("Pairs", "pairs", short, "Answered questions."), ("Subjects", "subjects", short, "Subjects generated so far."),
        ("Syllabi", "syllabi", short, "Subjects with a syllabus."),
        ("Key concepts", "concepts", short, "Key concepts extracted from syllabi."),
        ("Rejected", "rejected", short, "Pairs rejected in review."),
        ("Cost", "cost_usd", usd, "Cost of the calls below this node, at known prices."),
    )  # fmt: skip
    with st.grid(3, gap="small", min_column_width=90):
        for title, name, written, explanation in shown:
            delta = f"+{written(added[name])}" if added.get(name, 0) > 0 else None
            full = "" if name == "cost_usd" else f" {number(counts[name])} in total."
            value = standing.cost if name == "cost_usd" else written(counts[name])
            st.metric(title, value, delta, delta_color="off", delta_arrow="off", help=explanation + full)
    if failed := int(counts["failures"]):
        st.caption(f"{plural(failed, 'call')} failed; the next run retries {'it' if failed == 1 else 'them'}.")
    if any(value > 0 for value in added.values()):
        which = "so far by" if runs.state_of(run) in LIVE else "by"
        st.caption(f"+: added {which} run {run.id} ({escape(run.title)}).")


def _tops() -> list[str]:
    return [id for id, parents in tree.in_degree() if parents == 0]


def _below(nodes: list) -> None:
    _nodes_table(nodes, f"below_{focus}")  # other rows need another key, or a row would stay selected by its number


def emptiest() -> None:
    """List the disciplines furthest from their target, with a button to plan a run for them."""
    ids = sorted(
        hierarchy.disciplines_under(tree, focus), key=lambda id: (standings[id].share or 0, standings[id].counts["pairs"])
    )
    ids = [id for id in ids if (standings[id].share or 0) < 1][:EMPTIEST]
    if not ids:
        st.success("Every discipline here has reached its target.", icon=":material/check:")
        return
    _nodes_table([tree.nodes[id]["node"] for id in ids], f"emptiest_{focus}")
    if st.button(f"Plan a run for these {plural(len(ids), 'discipline')}", icon=":material/playlist_add:", width="stretch"):
        plan_for(ids)


def _nodes_table(nodes: list, key: str) -> None:
    """Draw a table of nodes with target share and pairs; a click moves the focus."""
    rows = pd.DataFrame(
        {
            "name": [node.name for node in nodes],
            "share": [None if standings[node.id].share is None else 100 * standings[node.id].share for node in nodes],
            "pairs": [int(standings[node.id].counts["pairs"]) for node in nodes],
        }
    )

    def choose(row: int | None) -> None:
        if row is not None:
            url_state.set_focus(nodes[row].id)

    plain_table.draw(
        rows, **row_selection.clickable_rows(key, None, choose, len(nodes)), hide_index=True,
        alt="Coverage by node", height="content" if len(rows) <= 8 else 330,
        column_config={
            "name": st.column_config.TextColumn("Name", width=128),
            "share": st.column_config.ProgressColumn("Target", format="%.0f%%", min_value=0, max_value=100, width=70),
            "pairs": st.column_config.NumberColumn("Pairs", format="localized", width=72),
        },
    )  # fmt: skip


def live_progress(run: Run) -> tuple[float, str]:
    """Return the completed fraction of a live run and its label."""
    if is_job(run.kind):
        share, label = job_panel.job_progress(ws, run)
        return share, f"Run {run.id}, {label}"
    state = runs.state_of(run)
    share, done = run_table.call_progress(run, run_rows.stages(ws.db, run.id), state) or (0.0, state)
    return share, f"Run {run.id}, {escape(run.title)}: {done}"


def at_work() -> None:
    """Draw the progress of the live runs."""
    live = runs.live_runs(ws)
    if [run.id for run in live] != st.session_state.get("overview_live"):
        st.session_state.overview_live = [run.id for run in live]
        st.rerun()
    for run in live:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(*live_progress(run), width="stretch")
            if st.button("Watch", key=f"watch_{run.id}", icon=":material/visibility:"):
                st.session_state.run = run.id
                url_state.open_page("pages/runs.py")


page_frame.title_line("Overview", tree, sentence, ws)
live_now = [run.id for run in runs.live_runs(ws)]
st.session_state.overview_live = live_now
if live_now:
    st.fragment(at_work, run_every="2s")()
if standings[""].counts["pairs"]:
    made.strip(journey(ws, standings[""]))
if standings[""].disciplines:
    left, right = page_frame.main_and_detail("overview")
    with left:
        picture()
    with right:
        detail()
else:
    st.info(
        "The taxonomy has no disciplines yet. Add the default taxonomy or import your own; its coverage is shown here.",
        icon=":material/donut_large:",
    )
    if st.button("Open taxonomy", type="primary", icon=":material/account_tree:"):
        url_state.open_page("pages/taxonomy.py")

st.header("Recent runs", anchor=False)
if recent := run_rows.runs(ws.db, 5):
    if picked := run_table.table(recent, key="recent", ws=ws):
        st.session_state.run = picked.id
        url_state.open_page("pages/runs.py")
else:
    st.caption("No runs yet. A run generates missing subjects, syllabi, questions and answers. Plan one on the Runs page.")
