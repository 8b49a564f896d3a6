"""Diversity: every question as a point, near those that it is like; how diverse they are in numbers, and beside other sets."""

import streamlit as st

from glan_core import coverage
from glan_core.diversity.maps import MapInfo, list_maps
from glan_core.wording import number, plural, shorten
from glan_core.workspace import homework_rows
from pages.components import diversity_compare, diversity_map, diversity_measures, embedder_form, job_panel, studio

VIEWS = ("Map", "Measures", "Compare")
JOBS = ("embed", "map", "measure", "compare")

ws, tree = studio.open_page("Diversity")
counts = coverage.standings(ws, tree)[""].counts
questions = int(counts["questions"])
maps = list_maps(ws)
live = job_panel.at_work(ws, JOBS)


def sentence() -> str:
    """How much of the workspace is on the map."""
    if not questions:
        return "Nothing to map yet."
    if not maps:
        return f"{plural(questions, 'question')} · no map yet"
    newest = maps[0]
    since = max(0, questions - newest.rows)
    return f"{number(newest.rows)} questions mapped" + (f" · {number(since)} came since" if since else "")


def choose_map() -> MapInfo:
    """The embedder whose pictures and numbers are shown, where there are several; the newest at first."""
    names = list(dict.fromkeys(info.embedder for info in maps))
    if len(names) > 1:
        name = st.selectbox(
            "Embedder", names, key="embedder", bind="query-params", width=260, label_visibility="collapsed",
            format_func=lambda name: shorten(embedder_form.spoken(name), 34),
        )  # fmt: skip
    else:
        name = names[0]
    return next(info for info in maps if info.embedder == name)


studio.title("Diversity", tree, sentence(), ws)
if not questions:
    st.info("Every question will be a point here, near the questions that it is like. There are none yet: a run writes them.",
            icon=":material/scatter_plot:")  # fmt: skip
    if st.button("Plan a run", type="primary", icon=":material/play_circle:"):
        from pages.components import address

        address.go("pages/runs.py")
    st.stop()
if not maps:
    job_panel.progress(ws, *JOBS)
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
    embedder_form.bring_up_to_date(ws, info, questions - info.rows if stale else 0, busy=bool(live))
job_panel.progress(ws, *JOBS)
match view:
    case "Measures":
        diversity_measures.panel(ws, tree, info.embedder)
    case "Compare":
        diversity_compare.panel(ws, tree, info.embedder)
    case _:
        diversity_map.panel(ws, tree, info.embedder)
