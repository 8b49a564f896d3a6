"""Filters of the Homework page, and the chips that show and remove the active ones."""

from collections.abc import Callable
from dataclasses import replace

import networkx as nx
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from glan_core.formatting import number, shorten
from glan_core.ids import syllabus_id
from glan_core.taxonomy import hierarchy
from glan_core.workspace import Workspace, curriculum_rows, homework_rows
from glan_core.workspace.pair_filter import PairFilter
from pages.components.shared import map_selection, url_state
from pages.components.shared.untrusted_text import escape

REVIEWS = {"none": "not reviewed", "keep": "kept", "reject": "rejected"}
ANSWERED = {"answered": "answered", "open": "no answer yet", "failed": "answer failed"}
DROPPED = {
    "in": "in the dataset", "out": "excluded", "quality": "excluded by a filter", "duplicate": "excluded as a duplicate",
    "contaminated": "excluded as contaminated",
}  # fmt: skip
LENGTHS = ("shortest", "longest")
FIELDS = ("words", "review", "strategy", "answered", "level", "teacher", "dropped", "starred", "edited", *LENGTHS)


def panel(ws: Workspace, tree: nx.DiGraph, bar: DeltaGenerator, changed: Callable[[], None]) -> PairFilter:
    """Draw the filters into `bar` and the active ones as chips below it; their values are in the URL.

    Args:
        ws: The open workspace.
        tree: Its taxonomy.
        bar: Horizontal container.
        changed: Called when a filter changes.

    Returns:
        The filter to apply.
    """
    bound = {"bind": "query-params", "on_change": changed}
    with bar:
        words = st.text_input(
            "Search", placeholder="words in question or answer", key="words", icon=":material/search:", width="stretch", **bound,
            help="Matches pairs that contain all words. Pairs are indexed when the run that generates them ends.",
        )  # fmt: skip
        review = st.selectbox(
            "Review", list(REVIEWS), None, format_func=lambda name: REVIEWS[name].capitalize(), key="review", width=150,
            placeholder="All", **bound,
        )  # fmt: skip
        with st.popover("More filters", icon=":material/tune:", help="More filters", key="icon_more_filters"):
            more = _more(ws, bound)
    failed = more["answered"] == "failed"
    chips(ws, {"words": words, "review": review, **more}, changed)
    map_selection.chip(ws)
    wanted = PairFilter(
        None if url_state.focus() is None else tuple(hierarchy.disciplines_under(tree, url_state.focus())), more["strategy"],
        None if failed or more["answered"] is None else more["answered"] == "answered", words,
        syllabus_id(url_state.subject()) if url_state.subject() else None, url_state.selected("concept"), more["level"],
        more["teacher"], review, bool(more["starred"]), bool(more["edited"]), more["shortest"], more["longest"], failed,
        more["dropped"],
    )  # fmt: skip
    return replace(wanted, seqs=map_selection.seqs(ws))


def _more(ws: Workspace, bound: dict) -> dict:
    """Draw the less common filters and return their values."""
    strategy = st.segmented_control(
        "Strategy", ["single", "pair"], key="strategy", **bound,
            help="single: concepts of one class session; pair: concepts of two sessions, for harder questions.",
    )  # fmt: skip
    answered = st.segmented_control("Answer", list(ANSWERED), format_func=ANSWERED.get, key="answered", **bound)
    level = st.selectbox("Level", homework_rows.levels(ws.db), None, key="level", placeholder="any", **bound)
    teacher = st.selectbox(
        "Teacher", homework_rows.teachers(ws.db), None, key="teacher", placeholder="any", **bound,
        help="Model that generated the question or the answer.",
    )  # fmt: skip
    dropped = st.selectbox(
        "Dataset", list(DROPPED), None, format_func=lambda name: DROPPED[name].capitalize(), key="dropped", placeholder="any",
        help="Inclusion in the dataset after checks and reviews; see the Dataset page.", **bound,
    )  # fmt: skip
    with st.grid(2, gap="small"):
        shortest = st.number_input("Min answer length", 1, None, None, key="shortest", placeholder="characters", **bound)
        longest = st.number_input("Max answer length", 1, None, None, key="longest", placeholder="characters", **bound)
        starred = st.toggle("Starred", key="starred", **bound)
        edited = st.toggle("Edited", key="edited", help="Edited or regenerated since.", **bound)
    return {
        "strategy": strategy, "answered": answered, "level": level, "teacher": teacher, "dropped": dropped, "starred": starred, "edited": edited,
        "shortest": shortest, "longest": longest,
    }  # fmt: skip


def chips(ws: Workspace, values: dict, changed: Callable[[], None]) -> None:
    """Draw the active filters as chips; a click removes one."""
    summary = {name: _said(name, value) for name, value in values.items() if value}
    concept = url_state.selected("concept")
    if concept:
        summary["concept"] = f"about {curriculum_rows.concept_name(ws.db, concept) or 'a deleted concept'}"
    if not summary:
        return

    def take_off(*names: str) -> None:
        for name in names:
            if name == "concept":
                url_state.select(concept=None)
            else:
                clear(name)
        changed()

    with st.container(horizontal=True, gap="xsmall", key="filter_chips"):
        for name, text in summary.items():
            st.button(
                escape(shorten(text, 40)), icon=":material/close:", key=f"chip_{name}", on_click=take_off, args=(name,),
                help="Remove filter",
            )  # fmt: skip
        if len(summary) > 1:
            st.button("Clear all", type="tertiary", on_click=take_off, args=tuple(summary))


def clear(*names: str) -> None:
    """Reset the named filters, or all of them."""
    for name in names or FIELDS:
        st.session_state[name] = {"words": "", "starred": False, "edited": False}.get(name)


def _said(name: str, value: object) -> str:
    match name:
        case "review":
            return REVIEWS[value]
        case "answered":
            return ANSWERED[value]
        case "dropped":
            return DROPPED[value]
        case "shortest":
            return f"answer ≥ {number(value)} characters"
        case "longest":
            return f"answer ≤ {number(value)} characters"
        case "starred":
            return "starred"
        case "edited":
            return "edited"
        case "words":
            return f"“{value}”"
    return str(value)
