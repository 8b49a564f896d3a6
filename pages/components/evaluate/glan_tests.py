"""GLAN-Tests: list, details, and forms to create, import, export and remove a test."""

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
from pages.components.shared import job_panel, plain_table, row_selection, settings_fields, url_state
from pages.components.shared.untrusted_text import escape, show_error

WORKSPACE = "workspace"
PICKED = "picked_test"


def panel(ws: Workspace, tree: nx.DiGraph) -> list[GlanTest]:
    """Draw the tests with the selected one and the forms; returns the tests."""
    st.markdown("**Tests**")
    if error := st.session_state.pop("test_error", None):
        show_error(error)
    busy = job_panel.show_progress(ws, "glan-test")
    if not busy:
        row_choice.last_result(ws, "glan-test")
    found = list_tests(ws)
    if found:
        _detail(ws, tree, _table(found))
    else:
        st.caption(
            "No tests yet. A GLAN-Test holds questions out before a snapshot is created: their combinations of key concepts, and near "
            "duplicates, are excluded from all later snapshots. The paper holds out 50 questions per discipline."
        )
    if not ws.read_only:
        _freeze(ws, tree, found, busy=busy)
        _take_in(ws)
    return found


def _table(found: list[GlanTest]) -> GlanTest:
    names = [test.name for test in found]
    at, picking = row_selection.single_row_selection(f"tests_{len(found)}_{int(found[0].created_at)}", names, PICKED, "test")
    plain_table.draw(
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
            "made": st.column_config.TextColumn("Created", width=90),
        },
    )  # fmt: skip
    return found[at]


def _detail(ws: Workspace, tree: nx.DiGraph, test: GlanTest) -> None:
    st.caption(
        f"**{escape(test.name)}** · {escape(test.source)}, seed {test.seed} · created {exact(test.created_at)}  \n"
        f"{escape(test.hash[:30])}… · excludes training rows from similarity {test.threshold:.2f}"
    )
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Export", lambda: test_path(ws, test.name).read_bytes(), f"{test.name}.jsonl", "application/jsonl", icon=":material/download:",
            help="One file that includes the test's hash. Another workspace can import the identical test.", on_click="ignore",
        )  # fmt: skip
        if not ws.read_only:
            with st.popover("Remove", icon=":material/delete:"):
                st.caption(
                    "Its questions can then be used for training. Answers and verdicts are kept but cannot be read without the test. "
                    "It can be restored on the Workspaces page."
                )
                st.button(
                    f"Remove {escape(test.name)}",
                    key=f"remove_test_{test.name}",
                    on_click=_do,
                    args=(remove_test, ws, test.name),
                )


def _freeze(ws: Workspace, tree: nx.DiGraph, found: list[GlanTest], *, busy: bool) -> None:
    """Draw the form that creates a held-out test."""
    focus = url_state.focus()
    with st.expander("Create held-out test", expanded=not found, icon=":material/science:"):
        sources = [WORKSPACE, *(one.name for one in list_snapshots(ws) if one.rows.get("validation"))]
        with st.grid(2, gap="small", min_column_width=150):
            name = st.text_input(
                key="run_test_name", placeholder=_free_name(found), **settings_fields.text(GlanTestSettings, "name")
            )
            per = st.number_input(
                value=settings_fields.default(GlanTestSettings, "questions"), key="run_test_questions",
                **settings_fields.number(GlanTestSettings, "questions"),
            )  # fmt: skip
            source = st.selectbox(
                "Source", sources, key="run_test_source", format_func=lambda s: s if s == WORKSPACE else f"validation split of {s}",
                help="Workspace: before you create the snapshot to train on. Validation split of a snapshot: to test models that were "
                "already trained on it.",
            )  # fmt: skip
            seed = st.number_input(
                value=settings_fields.default(GlanTestSettings, "seed"), key="run_test_seed",
                **settings_fields.number(GlanTestSettings, "seed"),
            )  # fmt: skip
        share = st.slider(
            value=round(100 * settings_fields.default(GlanTestSettings, "max_share")), key="run_test_share",
            disabled=source != WORKSPACE, **settings_fields.percent(GlanTestSettings, "max_share", step=5),
        )  # fmt: skip
        if focus:
            st.caption(f":material/filter_alt: Only {escape(tree.nodes[focus]['node'].name)} (focus).")
        values = {
            "name": name.strip() or _free_name(found), "questions": per, "seed": seed, "max_share": share / 100,
            "snapshot": None if source == WORKSPACE else source,
            "disciplines": tuple(hierarchy.disciplines_under(tree, focus)) if focus else None,
        }  # fmt: skip
        try:
            settings = read_settings(GlanTestSettings, values)
        except GlanError as error:
            show_error(error)
            return
        st.button(
            "Create test", icon=":material/lock:", key="freeze_test", disabled=busy, on_click=job_panel.start_jobs, args=(ws, settings),
            kwargs={"title": f"GLAN-Test {settings.name}"}, type="secondary" if found else "primary",
        )  # fmt: skip


def _free_name(found: list[GlanTest]) -> str:
    existing_names = {test.name for test in found}
    return next(name for n in range(1, len(existing_names) + 2) if (name := f"glan-test-{n}") not in existing_names)


def _take_in(ws: Workspace) -> None:
    """Draw the form that imports a test."""
    with st.expander("Import test", icon=":material/upload_file:"):
        st.caption(
            "A GLAN-Test exported from another workspace, or other prompts such as the Evol-Instruct test: rows with a question or "
            "instruction and optionally a skill (JSONL, JSON, CSV or Parquet)."
        )
        file = st.file_uploader(
            "File", ["jsonl", "json", "csv", "tsv", "parquet"], key="take_in_file", label_visibility="collapsed"
        )
        name = st.text_input("Name", key="run_take_in_name", placeholder="name in the file")
        st.button(
            "Import",
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
        st.toast(f"Imported {plural(test.number, 'question')} as {escape(test.name)}.", icon=":material/check:")


def _do(act, *args) -> None:
    try:
        act(*args)
    except GlanError as error:
        st.session_state.test_error = error
