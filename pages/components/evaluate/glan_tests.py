"""GLAN-Tests: the list, one of them, and the forms that freeze, take in, give out or remove one."""

import time

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.dataset.glan_test_store import GlanTest, import_test, list_tests, remove_test, test_path
from glan_core.dataset.snapshot_store import list_snapshots
from glan_core.errors import GlanError
from glan_core.evaluation.settings import GlanTestSettings
from glan_core.formatting import ago, exact, plural
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy
from glan_core.workspace import Workspace
from pages.components.dataset import row_choice
from pages.components.shared import job_panel, page_frame, url_state
from pages.components.shared.untrusted_text import fault, plain

WORKSPACE = "the workspace's pairs"
PICKED = "picked_test"


def panel(ws: Workspace, tree: nx.DiGraph) -> list[GlanTest]:
    """The tests with the picked one, and what can be done; the tests."""
    st.markdown("**Tests**")
    if error := st.session_state.pop("test_error", None):
        fault(error)
    busy = job_panel.progress(ws, "glan-test")
    if not busy:
        row_choice.outcome(ws, "glan-test")
    found = list_tests(ws)
    if found:
        _detail(ws, tree, _table(found))
    else:
        st.caption(
            "A GLAN-Test holds questions out before the dataset is frozen: their combinations of key concepts, and whatever nearly "
            "repeats them, never get into a snapshot. The paper holds out 50 of each discipline. There is none yet."
        )
    if not ws.read_only:
        _freeze(ws, tree, found, busy)
        _take_in(ws)
    return found


def _table(found: list[GlanTest]) -> GlanTest:
    names = [test.name for test in found]
    at, picking = page_frame.one_picked(f"tests_{len(found)}_{int(found[0].created_at)}", names, PICKED)
    st.dataframe(
        pd.DataFrame({
            "name": names, "questions": [test.number for test in found], "disciplines": [len(test.disciplines) for test in found],
            "made": [ago(test.created_at) for test in found],
        }),
        **picking, hide_index=True, alt="Tests, newest first",
        height="content" if len(found) <= 6 else 250,
        column_config={
            "name": st.column_config.TextColumn("Test", width=130),
            "questions": st.column_config.NumberColumn("Questions", format="localized", width=75),
            "disciplines": st.column_config.NumberColumn("Disciplines", format="localized", width=80),
            "made": st.column_config.TextColumn("Frozen", width=90),
        },
    )  # fmt: skip
    return found[at]


def _detail(ws: Workspace, tree: nx.DiGraph, test: GlanTest) -> None:
    st.caption(
        f"**{plain(test.name)}** · {plain(test.source)}, seed {test.seed} · frozen {exact(test.created_at)}  \n"
        f"{plain(test.hash[:30])}… · training rows stay out from a likeness of {test.threshold:.2f}"
    )
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Export", lambda: test_path(ws, test.name).read_bytes(), f"{test.name}.jsonl", "application/jsonl", icon=":material/download:",
            help="One file with the hash in its head: who imports it has the same test.", on_click="ignore",
        )  # fmt: skip
        if not ws.read_only:
            with st.popover("Remove", icon=":material/delete:"):
                st.caption(
                    "Its questions may be trained on again. Answers and verdicts are kept, but can't be read without it."
                )
                st.button(
                    f"Remove {plain(test.name)} for good", key="remove_test", on_click=_do, args=(remove_test, ws, test.name)
                )


def _freeze(ws: Workspace, tree: nx.DiGraph, found: list[GlanTest], busy: bool) -> None:
    """The form that holds questions out."""
    focus = url_state.focus()
    with st.expander("Hold questions out", expanded=not found, icon=":material/science:"):
        sources = [WORKSPACE, *(one.name for one in list_snapshots(ws) if one.rows.get("validation"))]
        with st.grid(2, gap="small", min_column_width=150):
            name = st.text_input("Name of the test", key="run_test_name", placeholder=_free_name(found))
            per = st.number_input(
                "Questions of each discipline", 1, 10_000, 50, key="run_test_questions", help="The paper has 50."
            )
            source = st.selectbox(
                "Draw from", sources, key="run_test_source", format_func=lambda s: s if s == WORKSPACE else f"what {s} held out",
                help="From the workspace before you freeze the snapshot to train on. From what a snapshot held out, to test models that "
                "were trained on it already.",
            )  # fmt: skip
            seed = st.number_input("Seed", 0, key="run_test_seed", help="The same seed draws the same questions.")
        share = st.slider(
            "At most this part of a discipline's combinations", 5, 100, 20, 5, format="%d%%", key="run_test_share",
            disabled=source != WORKSPACE, help="So that a small discipline keeps enough to train on.",
        )  # fmt: skip
        if focus:
            st.caption(f":material/filter_alt: Only of {plain(tree.nodes[focus]['node'].name)}, which is in focus.")
        values = {
            "name": name.strip() or _free_name(found), "questions": per, "seed": seed, "max_share": share / 100,
            "snapshot": None if source == WORKSPACE else source,
            "disciplines": tuple(hierarchy.disciplines_under(tree, focus)) if focus else None,
        }  # fmt: skip
        try:
            settings = read_settings(GlanTestSettings, values)
        except GlanError as error:
            fault(error)
            return
        st.button(
            "Freeze the test", icon=":material/lock:", key="freeze_test", disabled=busy, on_click=job_panel.begin, args=(ws, settings),
            kwargs={"title": f"GLAN-Test {settings.name}"}, type="secondary" if found else "primary",
        )  # fmt: skip


def _free_name(found: list[GlanTest]) -> str:
    taken = {test.name for test in found}
    return next(name for n in range(1, len(taken) + 2) if (name := f"glan-test-{n}") not in taken)


def _take_in(ws: Workspace) -> None:
    """A test from elsewhere."""
    with st.expander("Take in a test", icon=":material/upload_file:"):
        st.caption(
            "A GLAN-Test that another workspace exported, or prompts that others collected, such as the Evol-Instruct test: rows with a "
            "question or instruction, and a skill where they have one (JSONL, JSON, CSV or Parquet)."
        )
        file = st.file_uploader(
            "File", ["jsonl", "json", "csv", "tsv", "parquet"], key="take_in_file", label_visibility="collapsed"
        )
        name = st.text_input("Name here", key="run_take_in_name", placeholder="its own")
        st.button(
            "Take it in",
            icon=":material/upload:",
            key="take_in",
            disabled=file is None,
            on_click=_import,
            args=(ws, file, name),
        )


def _import(ws: Workspace, file, name: str) -> None:
    try:
        test = import_test(ws, file, name.strip() or None, time.time(), file.name)
    except GlanError as error:
        st.session_state.test_error = error
    else:
        st.session_state[PICKED] = test.name
        st.toast(f"Took in {plural(test.number, 'question')} as {plain(test.name)}.", icon=":material/check:")


def _do(act, *args) -> None:
    try:
        act(*args)
    except GlanError as error:
        st.session_state.test_error = error
