"""Compare view: choice of a comparison, the form for a new one, the joint map and the metrics."""

import networkx as nx
import streamlit as st

from glan_core.diversity.comparison_job import default_name, resolve_path
from glan_core.diversity.comparison_sources import comparison_sources, store_dataset
from glan_core.diversity.comparison_store import Comparison, list_comparisons, remove_comparison
from glan_core.diversity.settings import ComparisonSettings
from glan_core.errors import GlanError
from glan_core.formatting import ago, number, plural, shorten
from glan_core.ids import slug
from glan_core.io.data_files import FORMATS
from glan_core.settings import read_settings
from glan_core.workspace import Workspace
from pages.components.diversity import comparison_map, comparison_metrics, embedder_form
from pages.components.shared import job_panel, page_frame, settings_fields
from pages.components.shared.untrusted_text import escape, show_error

ABOUT = (
    "Compare this workspace with another dataset on one map and with the same metrics, including what each covers that the other "
    "does not. The dataset can be a file or folder of questions (JSONL, JSON, CSV or Parquet; Alpaca, ShareGPT, chat, or prompt and "
    "response columns are detected), another workspace, or a snapshot."
)
PICKED = "comparison"
FORM = "comparisons_asked"  # incremented to clear the form
MOST = settings_fields.default(ComparisonSettings, "max_rows")


def panel(ws: Workspace, tree: nx.DiGraph, embedder: str) -> None:
    """Draw the selected comparison for an embedder, or the empty state."""
    every = list_comparisons(ws)
    found = [one for one in every if one.embedder == embedder]
    if not found:
        with st.container(width=620):
            st.info(ABOUT, icon=":material/compare:")
            if ws.read_only:
                st.caption("No comparisons yet. This workspace is read-only.")
            else:
                _form(ws, embedder, found)
            _others(every, found)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        one = _choose(found)
        if not ws.read_only:
            with st.popover("New comparison", icon=":material/add:", key="new_comparison"):
                _form(ws, embedder, found)
            with st.popover("Remove", icon=":material/delete:", key="remove_comparison"):
                _removal(ws, one)
    comparison_map.panel(ws, tree, one, again=lambda: _again(ws, one))
    comparison_metrics.metrics_panel(one)
    comparison_metrics.taxonomy_coverage(ws, tree, one)
    if len(found) > 1:
        comparison_metrics.comparison_table(found)
    _others(every, found)


def _choose(found: list[Comparison]) -> Comparison:
    """Draw the choice of the comparison, by default the one selected or started last, else the newest."""
    names = [one.name for one in found]
    wanted = st.session_state.get(PICKED)
    at = next((n for n, name in enumerate(names) if wanted and slug(name) == slug(wanted)), 0)
    summary = {one.name: f"{shorten(one.name, 24)} · {number(one.rows)} questions · {ago(one.made_at)}" for one in found}
    key = f"comparison_of_{at}_{len(found)}_{int(found[0].made_at)}"

    def choose() -> None:
        st.session_state[PICKED] = st.session_state[key]
        comparison_map.clear_selection()

    name = st.selectbox("Comparison", names, index=at, format_func=summary.get, key=key, on_change=choose, width=310,
                        label_visibility="collapsed")  # fmt: skip
    return next(one for one in found if one.name == name)


def _form(ws: Workspace, embedder: str, found: list[Comparison]) -> None:
    """Draw dataset, name and size, and the button that starts the comparison."""
    summary = {other.path: other.said for other in comparison_sources(ws, page_frame.HOME)}
    nth = st.session_state.get(FORM, 0)
    added = st.session_state.get("set_added")
    options = list(dict.fromkeys([*summary, *([added] if added else [])]))
    path_key, most_key = f"run_compare_path_{nth}", "run_compare_most"
    st.session_state.setdefault(path_key, added)
    st.session_state.setdefault(most_key, MOST)
    path = st.selectbox(
        options=options, index=None, format_func=lambda path: summary.get(path, path), key=path_key,
        accept_new_options=True, placeholder="Select, or enter a file or folder path", **settings_fields.text(ComparisonSettings, "path"),
    )  # fmt: skip
    _upload(ws)
    path = (path or "").strip()
    there = _is_there(ws, path)
    hint = default_name(ws, path) if there else ""
    name = (
        st.text_input(
            key=f"run_compare_name_{nth}",
            placeholder=hint or "name of the file or folder",
            **settings_fields.text(ComparisonSettings, "name"),
        ).strip()
        or hint
    )
    most = st.number_input(key=most_key, **settings_fields.number(ComparisonSettings, "max_rows", step=10_000))
    if not there and path:
        st.caption(f":orange[{escape(path)} does not exist on the machine that runs the studio.]")
    if any(name and slug(one.name) == slug(name) for one in found):
        st.caption(f"Replaces the existing comparison {escape(name)}.")
    if st.button(  # not a callback: it would not see the field that this click deselects
        f"Compare with {escape(shorten(name, 40))}" if there else "Compare", type="primary", icon=":material/compare:",
        key="begin_comparison", disabled=not there or bool(job_panel.live_jobs(ws, ("compare",))),
        help=None if path else "Select a dataset first.",
    ):  # fmt: skip
        start_comparison(ws, embedder, path, name, int(most))
        st.session_state[FORM] = nth + 1
        st.session_state.pop("set_added", None)
        st.rerun()


def _is_there(ws: Workspace, path: str) -> bool:
    try:
        return bool(path and resolve_path(ws, path))
    except GlanError:
        return False


def start_comparison(ws: Workspace, embedder: str, path: str, name: str, most: int) -> None:
    """Start the comparison job; an error is shown above the view."""
    try:
        values = embedder_form.settings_of(ws, embedder) | {"path": str(resolve_path(ws, path)), "name": name, "max_rows": most}
        settings = read_settings(ComparisonSettings, values)
    except GlanError as error:
        st.session_state.job_error = error
        return
    job_panel.start_jobs(ws, settings, title=f"Comparison with {name}")
    st.session_state[PICKED] = name
    comparison_map.clear_selection()


def _again(ws: Workspace, one: Comparison) -> None:
    start_comparison(ws, one.embedder, one.path, one.name, max(one.rows, MOST))


def _upload(ws: Workspace) -> None:
    """Draw the upload of a dataset, which is stored in the workspace and selected."""
    file = st.file_uploader(
        "Or upload a file",
        key=f"set_{st.session_state.get(FORM, 0)}",
        help=f"{FORMATS}, with one question per row. The file is stored in the workspace.",
    )
    if file:
        try:
            path, skipped = store_dataset(ws, file.name, file)
        except GlanError as error:
            show_error(error)
            return
        st.session_state[FORM] = st.session_state.get(FORM, 0) + 1
        st.session_state.set_added = str(path)
        if skipped:
            st.toast(escape(skipped), icon=":material/warning:", duration="long")
        st.rerun()


def _removal(ws: Workspace, one: Comparison) -> None:
    st.markdown(
        f"Remove the comparison with **{escape(one.name)}**? The dataset itself is kept; its copy here can be restored on the Workspaces page."
    )
    st.button(
        f"Remove {plural(one.rows, 'copied question')}", icon=":material/delete:", key=f"remove_it_{one.name}", on_click=_remove, args=(ws, one)
    )  # fmt: skip


def _remove(ws: Workspace, one: Comparison) -> None:
    job_panel.run_action(remove_comparison, ws, one.name)
    st.session_state.pop(PICKED, None)
    comparison_map.clear_selection()


def _others(every: list[Comparison], found: list[Comparison]) -> None:
    if more := len(every) - len(found):
        names = dict.fromkeys(embedder_form.display_name(one.embedder) for one in every if one not in found)
        st.caption(f"{plural(more, 'more comparison')} with {escape(', '.join(names))}: select that embedder above.")
