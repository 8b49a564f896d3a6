"""Duplicates view: similarity thresholds, the run that finds duplicates, and each next to its original."""

from typing import Any

import networkx as nx
import streamlit as st

from glan_core.dataset.settings import NearDuplicateSettings
from glan_core.dataset.text_spans import differing_spans
from glan_core.diversity import vector_store
from glan_core.diversity.semantic_neighbors import suggested_threshold
from glan_core.formatting import number, plural
from glan_core.taxonomy import coverage
from glan_core.workspace import Workspace, homework_rows, tag_rows
from glan_core.workspace.tag_rows import Tag
from pages.components.dataset import checks
from pages.components.diversity import embedder_form
from pages.components.shared import engine_form, job_panel, settings_fields, url_state
from pages.components.shared.untrusted_text import escape

ABOUT = (
    "Duplicates add no training signal and leak across a validation split. This check compares every question with all earlier "
    "ones; the earliest is kept, its duplicates are tagged and excluded from the dataset."
)
WAYS = {"exact": "Exact", "near": "Near", "meaning": "Semantic"}
TOLD = {
    "exact": "Identical words; case and punctuation may differ.",
    "near": "Differing words are highlighted.",
    "meaning": "The embeddings are close; differing words are highlighted.",
}
MOST = 1500  # characters of a question shown


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the settings with their run button, and the duplicates found."""
    pairs = int(coverage.coverage_by_node(ws, tree)[""].counts["pairs"])
    fact = checks.status_line(ws, "dedup", ABOUT, ", excluding rejected and filtered pairs")
    busy = job_panel.show_progress(ws, "dedup")
    if not ws.read_only:
        settings = _settings(ws, (fact or {}).get("settings", {}), pairs)
        if st.button(
            f"Find duplicates among {plural(pairs, 'question')}", icon=":material/content_copy:", type="primary",
            key="find_repeats", disabled=busy,
        ):  # fmt: skip
            job_panel.start_jobs(ws, settings)
            st.rerun()
    if fact:
        _found(ws, tree, fact)


def _key(name: str) -> str:
    return f"run_dedup_{st.session_state.workspace}_{name}"


def _initial(before: dict, name: str) -> Any:
    """Value of a setting in the last run, or its default."""
    return before.get(name, settings_fields.default(NearDuplicateSettings, name))


def _settings(ws: Workspace, before: dict, pairs: int) -> NearDuplicateSettings:
    """Draw the thresholds, initially those of the last run."""
    stored = vector_store.list_vectors(ws)
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        threshold = st.slider(
            key=checks.initial_value(_key("threshold"), _initial(before, "threshold")), width=240,
            **settings_fields.number(NearDuplicateSettings, "threshold", step=0.01),
        )  # fmt: skip
        meaning = st.toggle(
            key=checks.initial_value(_key("meaning"), bool(stored) and _initial(before, "semantic")),
            disabled=not stored, **settings_fields.text(NearDuplicateSettings, "semantic"),
        )  # fmt: skip
        if not stored:
            st.caption("requires embeddings, which the first map computes", width="content")
            if st.button("Create a map", icon=":material/scatter_plot:", type="tertiary", key="to_vectors"):
                url_state.open_page("pages/diversity.py")
        engine = engine_form.popover(_key("on"))
        if not (meaning and stored):
            return NearDuplicateSettings(threshold=threshold, **engine)
        names = [info.embedder for info in stored]
        known = before.get("embedder")
        name = st.selectbox(
            options=names, format_func=embedder_form.display_name,
            key=checks.initial_value(_key("embedder"), known if known in names else names[0]), width=190,
            **settings_fields.text(NearDuplicateSettings, "embedder"),
        )  # fmt: skip
        usual = _initial(before, "semantic_threshold") if known == name else suggested_threshold(name)
        least = st.slider(
            key=checks.initial_value(_key(f"cosine_{name}"), usual), width=240,
            **settings_fields.number(NearDuplicateSettings, "semantic_threshold", step=0.01),
        )  # fmt: skip
    with_vector = min(pairs, vector_store.count_vectors(ws, name))
    if with_vector < pairs:
        st.caption(
            f"{number(with_vector)} of {plural(pairs, 'question')} have an embedding; the others are compared by words only."
        )
    return NearDuplicateSettings(threshold=threshold, semantic=True, semantic_threshold=least, embedder=name, **engine)


def _found(ws: Workspace, tree: nx.DiGraph, fact: dict) -> None:
    """Draw the number of duplicates by kind, and a list of one kind."""
    counts = {name: both for (kind, name), both in tag_rows.tag_counts(ws.db).items() if kind == "duplicate"}
    ways = [way for way in WAYS if way in counts]
    if fact.get("crowded"):
        st.caption(f"{plural(fact['crowded'], 'question')} had too many candidates to compare all of them.")
    if not ways:
        st.markdown("**No duplicates found.**")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        way = st.segmented_control(
            "Kind", ways, default=ways[0], required=True, key=f"repeats_way_{'_'.join(ways)}", label_visibility="collapsed",
            format_func=lambda way: f"{WAYS[way]} · {number(counts[way][0])}",
        )  # fmt: skip
        only = checks.overruled_filter("repeats_overruled", *counts[way])
    at_least = {"near": "threshold", "meaning": "semantic_threshold"}.get(way)
    least = f" Similarity at least {fact['settings'][at_least]:.2f}." if at_least else ""
    st.caption(TOLD[way] + least)
    rows, buttons = checks.tagged_rows(ws, "repeats_rows", "duplicate", way, overruled=only)
    for tag in rows:
        _beside(ws, tree, tag)
    buttons()


def _beside(ws: Workspace, tree: nx.DiGraph, tag: Tag) -> None:
    """Draw the original and its duplicate side by side."""
    pair = checks.pair_of(ws, tag.seq)
    if pair is None:
        return
    stands = tag.other and homework_rows.pair(ws.db, tag.other)
    with st.container(border=True, gap="xsmall"):
        repeating = pair.question.text[:MOST]
        standing = stands.question.text[:MOST] if stands else ""
        in_standing, in_repeating = differing_spans(standing, repeating) if stands and tag.name != "exact" else ([], [])
        grid = st.grid(2, gap="medium", min_column_width=260)
        with grid.cell():
            if stands:
                checks.labeled_text("Kept", standing, in_standing, MOST)
            else:
                st.caption("The original was deleted; the next run compares again.")
        with grid.cell():
            checks.labeled_text("Included anyway" if tag.overruled_by else "Excluded", repeating, in_repeating, MOST)
        summary = f"similarity {tag.score:.2f}" if tag.name != "exact" and tag.score is not None else ""
        other = _elsewhere(tree, pair.question.discipline_id, stands.question.discipline_id) if stands else ""
        checks.tag_actions(ws, tree, tag, pair, " · ".join(part for part in (summary, other) if part))


def _elsewhere(tree: nx.DiGraph, own: str, other: str) -> str:
    """Return the disciplines of the two rows if they differ."""
    if own == other:
        return ""
    names = [escape(tree.nodes[id]["node"].name) if id in tree else "a removed discipline" for id in (other, own)]
    return f"{names[0]} and {names[1]}"
