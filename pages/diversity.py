"""Diversity page: map of all questions, diversity metrics, and comparison with other datasets."""

import streamlit as st

from glan_core.diversity.map_store import MapInfo, list_maps
from glan_core.formatting import number, plural, shorten
from glan_core.taxonomy import coverage
from glan_core.workspace import homework_rows
from pages.components.diversity import comparison, embedder_form, metrics, question_map
from pages.components.shared import empty_state, job_panel, page_frame, url_state

VIEWS = ("Map", "Metrics", "Compare")
JOBS = ("embed", "map", "measure", "compare")

ws, tree = page_frame.open_page("Diversity")
counts = coverage.coverage_by_node(ws, tree)[""].counts
questions = int(counts["questions"])
maps = list_maps(ws)
live = job_panel.live_jobs(ws, JOBS)


def sentence() -> str:
    """Return the state of the map in one sentence."""
    if not questions:
        return "No questions to map yet."
    if not maps:
        return f"{plural(questions, 'question')} · no map yet"
    newest = maps[0]
    since = max(0, questions - newest.rows)
    return f"{number(newest.rows)} questions mapped" + (f" · {number(since)} added since" if since else "")


def choose_map() -> MapInfo:
    """Draw the choice of the embedder if there are several; returns its newest map."""
    names = list(dict.fromkeys(info.embedder for info in maps))
    if len(names) > 1:
        name = st.selectbox(
            "Embedder", names, key="embedder", bind="query-params", width=260, label_visibility="collapsed",
            format_func=lambda name: shorten(embedder_form.display_name(name), 34),
        )  # fmt: skip
    else:
        name = names[0]
    return next(info for info in maps if info.embedder == name)


page_frame.title_line("Diversity", tree, sentence(), ws)
if not questions:
    st.info("No questions yet. Once a run generates some, they are mapped here by similarity.",
            icon=":material/scatter_plot:")  # fmt: skip
    if st.button("Plan a run", type="primary", icon=":material/play_circle:"):
        url_state.open_page("pages/runs.py")
    empty_state.still("diversity")
    st.stop()
if not maps:
    job_panel.show_progress(ws, *JOBS)
    if not live:
        embedder_form.first_map(ws, questions)
    st.stop()
with st.container(horizontal=True, vertical_alignment="center", gap="small"):
    view = st.segmented_control(
        "View", VIEWS, default="Map", key="diversity_view", required=True, bind="query-params", label_visibility="collapsed"
    )
    info = choose_map()
    stale = homework_rows.last_seq(ws.db) > info.up_to
    st.space("stretch")
    embedder_form.update_button(ws, info, questions - info.rows if stale else 0, busy=bool(live))
job_panel.show_progress(ws, *JOBS)
match view:
    case "Metrics":
        metrics.panel(ws, tree, info.embedder)
    case "Compare":
        comparison.panel(ws, tree, info.embedder)
    case _:
        question_map.panel(ws, tree, info.embedder)
