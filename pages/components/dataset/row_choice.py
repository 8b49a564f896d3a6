"""Fields shared by snapshots and exports: row selection and split, and their resulting counts."""

import time
from dataclasses import replace

import networkx as nx
import streamlit as st

from glan_core import runs
from glan_core.dataset.glan_test_store import list_tests
from glan_core.dataset.row_selection import estimate_rows
from glan_core.dataset.settings import RowSelection
from glan_core.dataset.snapshot_store import EXCLUSION_LABELS
from glan_core.dataset.split_estimate import SplitEstimate, estimate_split
from glan_core.formatting import ago, number, plural
from glan_core.taxonomy import coverage, hierarchy
from glan_core.workspace import Workspace, homework_rows, run_rows
from glan_core.workspace.homework_rows import SCRIPTED
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.tag_rows import REASONS
from pages.components.shared import map_selection, settings_fields, url_state
from pages.components.shared.untrusted_text import escape

SPLITS = {"none": "None", "syllabus": "By syllabus", "combination": "By combination of key concepts"}
HELD_OUT = {
    "syllabus": "Whole syllabi are held out. Their disciplines, and concepts that other syllabi share, remain in the "
    "training split.",
    "combination": "All questions with the same combination of key concepts are held out. Their syllabi, and the concepts alone or in "
    "other combinations, remain in the training split.",
}
TAKE_IN = {
    "rejected": "Rejected", "quality": "Filtered", "duplicate": "Duplicates", "contaminated": "Benchmark questions",
}  # fmt: skip
MOST_DOWNLOADED = 20_000  # rows of a browser download
RECENT = 3600.0  # seconds for which the result of the last job is shown


def fields(ws: Workspace, tree: nx.DiGraph, key: str, *, split: str) -> RowSelection:
    """Draw the selection among the disciplines in focus.

    Args:
        ws: The open workspace.
        tree: Its taxonomy.
        key: Prefix of the widget keys.
        split: Initial split rule.
    """
    focus = url_state.focus()
    which = PairFilter(disciplines=tuple(hierarchy.disciplines_under(tree, focus))) if focus else PairFilter()
    if focus:
        st.caption(f":material/filter_alt: Only pairs of {escape(tree.nodes[focus]['node'].name)} (focus).")
    which = replace(which, seqs=map_selection.seqs(ws))
    map_selection.chip(ws)
    if tests := list_tests(ws):
        held_out = sum(test.number for test in tests)
        st.caption(
            f":material/science: {plural(held_out, 'question')} of {plural(len(tests), 'GLAN-Test')} and pairs that leak them are "
            "excluded."
        )
    values = {"which": which, "include": _include(ws, tree, key), "scripted": _scripted(ws, key)}
    return RowSelection(**values, **_split(key, split))


def _split(key: str, first: str) -> dict:
    """Draw the split and return it as settings."""
    rule_key, share_key, seed_key = (f"run_{key}_{name}" for name in ("split", "share", "seed"))
    share = round(100 * settings_fields.default(RowSelection, "validation_share"))
    seed = settings_fields.default(RowSelection, "seed")
    for name, value in ((rule_key, first), (share_key, share), (seed_key, seed)):
        st.session_state.setdefault(name, value)
    rule = st.selectbox(
        options=list(SPLITS), format_func=SPLITS.get, key=rule_key, **settings_fields.text(RowSelection, "split")
    )
    if rule == "none":
        return {"split": rule}
    st.caption(HELD_OUT[rule])
    with st.grid(2, gap="small", min_column_width=150):
        share = st.slider(key=share_key, **settings_fields.percent(RowSelection, "validation_share"))
        seed = st.number_input(key=seed_key, **settings_fields.number(RowSelection, "seed"))
    return {"split": rule, "validation_share": share / 100, "seed": seed}


def _include(ws: Workspace, tree: nx.DiGraph, key: str) -> tuple[str, ...]:
    """Draw the choice of excluded rows to include anyway."""
    standings = coverage.coverage_by_node(ws, tree)
    here, whole = standings[url_state.focus() or ""].counts, standings[""].counts
    there = [reason for reason in REASONS if whole[f"dropped_{reason}"]]
    if not there:
        return ()
    key = f"run_{key}_include"
    st.session_state[key] = [reason for reason in st.session_state.get(key) or [] if reason in there]
    chosen = st.pills(
        options=there, selection_mode="multi", key=key, **settings_fields.text(RowSelection, "include"),
        format_func=lambda reason: f"{TAKE_IN[reason]} · {number(here[f'dropped_{reason}'])}",
    )  # fmt: skip
    return tuple(chosen)


def _scripted(ws: Workspace, key: str) -> bool | None:
    """Draw the choice of scripted rows; returns None if all rows are scripted, or none."""
    teachers = set(homework_rows.teachers(ws.db))
    if not teachers.intersection(SCRIPTED) or not teachers.difference(SCRIPTED):
        return None
    return st.toggle(key=f"run_{key}_scripted", **settings_fields.text(RowSelection, "scripted"))


def count(ws: Workspace, tree: nx.DiGraph, choice: RowSelection) -> tuple[int, dict[str, int]]:
    """Return how many rows a selection includes, and how many it excludes by reason."""
    standing = coverage.coverage_by_node(ws, tree)[url_state.focus() or ""]
    existing_names = _expected(ws, str(ws.folder), choice.model_dump_json(), (standing, homework_rows.last_seq(ws.db)))
    left = {reason: int(standing.counts[f"dropped_{reason}"]) for reason in REASONS if reason not in choice.include}
    return existing_names, {"scripted": int(standing.counts["pairs"]) - existing_names - sum(left.values()), **left}


@st.cache_data(max_entries=50, show_spinner=False)
def _expected(_ws: Workspace, folder: str, choice: str, state: tuple[coverage.Coverage, int]) -> int:
    return estimate_rows(_ws, RowSelection.model_validate_json(choice), state[0])


def show_held_out(ws: Workspace, choice: RowSelection) -> bool:
    """Show what the split holds out; returns whether rows remain for training."""
    state = (homework_rows.last_seq(ws.db), coverage.coverage_by_node(ws)[""])
    found = _estimated(ws, str(ws.folder), choice.model_dump_json(), state)
    if found is None or not found.rows:
        return True
    if found.empty:
        st.error("The split holds out every pair, so none remains for training. Lower the share or change the seed.")
    elif found.far:
        st.warning(str(found), icon=":material/call_split:")
    else:
        st.caption(str(found))
    return not found.empty


@st.cache_data(max_entries=50, show_spinner=False)
def _estimated(_ws: Workspace, folder: str, choice: str, state: tuple[int, coverage.Coverage]) -> SplitEstimate | None:
    return estimate_split(_ws, RowSelection.model_validate_json(choice))


def describe_split(rows: dict[str, int]) -> str:
    """Describe a split: '90 training, 6 validation'."""
    train, held_out = rows.get("train", 0), rows.get("validation", 0)
    return (
        f"{number(train)} training, {number(held_out)} validation"
        if held_out
        else f"{plural(train, 'pair')}, no validation split"
    )


def describe_excluded(left: dict[str, int]) -> str:
    """Describe excluded rows: '12 rejected, 3 near-duplicates', or 'none'."""
    return ", ".join(f"{number(n)} {EXCLUSION_LABELS[reason]}" for reason, n in left.items() if n) or "none"


def last_result(ws: Workspace, *kinds: str) -> None:
    """Show the result of the last job of these kinds if it is recent."""
    run = next((run for run in run_rows.runs(ws.db, 20) if run.kind in kinds), None)
    if run and run.message and run.finished_at and runs.state_of(run) == "finished" and time.time() - run.finished_at < RECENT:
        st.caption(f":green[:material/check_circle:] {escape(run.message)} · {ago(run.finished_at)}")
