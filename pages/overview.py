"""Overview: how much of human knowledge the workspace covers, and where it is empty."""

import pandas as pd
import streamlit as st

from glan_core import coverage
from glan_core.figures.coverage import ALL, MEASURES, coverage_frame, sunburst
from glan_core.wording import number, plural, short, usd
from glan_core.workspace import run_rows
from pages.components import address, runs_panel, studio
from pages.components.text import plain

ws, tree = studio.open_page("Overview")
standings = coverage.standings(ws, tree)
focus = address.focus()
standing = standings[focus or ""]


def sentence() -> str:
    """The state of what is in focus, in one sentence."""
    if not standings[""].disciplines:
        return "The taxonomy is empty: import one on the Taxonomy page, or add a field."
    counts = standing.counts
    share = f"{standing.share:.1%} of the target reached" if standing.share is not None else "no target yet"
    if standing.disciplines == 1:
        return (
            f"{number(counts['syllabi'])} of {plural(int(counts['subjects']), 'subject')} have a syllabus · "
            f"{plural(int(counts['pairs']), 'pair')} · {share}"
        )
    return f"{standing.begun} of {standing.disciplines} disciplines begun · {plural(int(counts['pairs']), 'pair')} · {share}"


def middle() -> str:
    """The node in the middle of the picture: the focus, or what is above it where the focus is a leaf."""
    if focus is None:
        return ALL
    node = tree.nodes[focus]["node"]
    return focus if node.kind != "discipline" else node.parent_id


def pick() -> None:
    """A click on a sector sets the focus; a click on the middle goes up."""
    points = st.session_state.coverage.selection.points
    if points:
        id = points[0]["id"]
        if id == middle() and id != ALL:
            id = tree.nodes[id]["node"].parent_id
        address.set_focus(None if id in (ALL, None) else id)


def picture() -> None:
    """The sunburst and the measure that colours it."""
    measure = st.segmented_control(
        "Coloured by", list(MEASURES), format_func=lambda m: MEASURES[m][0], default="share", required=True,
        key="measure", bind="query-params", help="\n\n".join(f"**{title}**: {text}" for title, text in MEASURES.values()),
    )  # fmt: skip
    frame = coverage_frame(tree, standings, measure)
    st.plotly_chart(
        sunburst(frame, studio.figure_style(), middle(), focus), key="coverage", on_select=pick, selection_mode="points",
        config={"displayModeBar": False}, alt=f"Taxonomy as rings, coloured by {MEASURES[measure][0].lower()}: {sentence()}",
    )  # fmt: skip
    st.caption(f"{MEASURES[measure][1]} Click a sector to look into it, the middle to go back up.")


def detail() -> None:
    """What is in focus: its numbers, and what lies below it."""
    node = tree.nodes[focus]["node"] if focus else None
    st.subheader(plain(node.name) if node else "All knowledge", anchor=False)
    if node and node.description:
        st.markdown(plain(node.description))
    if standing.share is not None:
        told = "" if standing.disciplines == 1 else ", the mean over disciplines"
        st.progress(standing.share, f"{standing.share:.1%} of target{told}")
    counts = standing.counts
    with st.grid(3, gap="small", min_column_width=90):
        st.metric("Pairs", short(counts["pairs"]), help=f"{number(counts['pairs'])} answered questions.")
        st.metric("Subjects", short(counts["subjects"]), help="Subjects found so far.")
        st.metric("Syllabi", short(counts["syllabi"]), help="Subjects that have a syllabus.")
        asked = f"{counts['concepts_asked'] / counts['concepts']:.0%}" if counts["concepts"] else "–"
        st.metric("Asked", asked, help="Key concepts asked about at least once, as a share of all. More is better.")
        st.metric("Spent", usd(counts["cost_usd"]), help="What the calls below this node cost.")
        st.metric(
            "Failures", short(counts["failures"]), help="Calls that brought nothing usable; the next run tries them again."
        )
    below = [tree.nodes[child]["node"] for child in (tree.successors(focus) if focus else _tops())]
    if below:
        _below(below)
    if standing.disciplines:
        left = standing.wanted - standing.reached
        label = "Plan a run to fill this" if left or not standing.wanted else "Plan a run"
        if st.button(label, type="primary", icon=":material/play_circle:", width="stretch"):
            st.switch_page("pages/runs.py")


def _tops() -> list[str]:
    return [id for id, parents in tree.in_degree() if parents == 0]


def _below(nodes: list) -> None:
    rows = pd.DataFrame(
        {
            "name": [node.name for node in nodes],
            "share": [None if standings[node.id].share is None else 100 * standings[node.id].share for node in nodes],
            "pairs": [int(standings[node.id].counts["pairs"]) for node in nodes],
        }
    )

    key = f"below_{focus}"  # other rows are another table: one picked row must not stay picked by its number

    def choose() -> None:
        if picked := st.session_state[key].selection.rows:
            address.set_focus(nodes[picked[0]].id)

    st.dataframe(
        rows, key=key, on_select=choose, selection_mode="single-row", hide_index=True,
        height="content" if len(rows) <= 8 else 330,
        column_config={
            "name": st.column_config.TextColumn("Below", width=155),
            "share": st.column_config.ProgressColumn("Target", format="%.0f%%", min_value=0, max_value=100, width=75),
            "pairs": st.column_config.NumberColumn("Pairs", format="localized", width=45),
        },
    )  # fmt: skip


studio.title("Overview", tree, sentence(), ws)
if standings[""].disciplines:
    left, right = studio.picture_and_detail()
    with left:
        picture()
    with right:
        detail()
else:
    st.info("Nothing to draw yet: the taxonomy has no disciplines.", icon=":material/account_tree:")
    st.page_link("pages/taxonomy.py", label="Go to the taxonomy", icon=":material/account_tree:")

st.subheader("Recent runs", anchor=False)
if recent := run_rows.runs(ws.db, 5):
    if picked := runs_panel.history(recent, key="recent"):
        st.session_state.run = picked.id
        st.switch_page("pages/runs.py")
else:
    st.caption("No runs yet: a run asks a teacher for what the workspace lacks. Plan one on the Runs page.")
