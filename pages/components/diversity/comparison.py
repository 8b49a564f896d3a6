"""Another dataset beside this one: which comparison is shown, the form that makes one, the map of both and their numbers."""

import networkx as nx
import streamlit as st

from glan_core.diversity.comparison_job import name_of, place_of
from glan_core.diversity.comparison_sources import other_sets, store_set
from glan_core.diversity.comparison_store import Comparison, list_comparisons, remove_comparison
from glan_core.diversity.settings import ComparisonSettings
from glan_core.errors import GlanError
from glan_core.formatting import ago, number, plural, shorten
from glan_core.ids import slug
from glan_core.settings import read_settings
from glan_core.workspace import Workspace
from pages.components.diversity import comparison_map, comparison_metrics, embedder_form
from pages.components.shared import job_panel, page_frame
from pages.components.shared.untrusted_text import fault, plain

ABOUT = (
    "Lay another dataset over this one: on the same map, by the same measures, with what each covers that the other does not. "
    "It can be a file or folder of questions (JSONL, JSON, CSV, Parquet: Alpaca, ShareGPT, chat or prompt and response columns "
    "are recognised), another workspace, or a snapshot of this one."
)
PICKED = "comparison"
FORM = "comparisons_asked"  # how often its fields were emptied
MOST = 100_000  # rows of the other set that are taken, unless more are asked for


def panel(ws: Workspace, tree: nx.DiGraph, embedder: str) -> None:
    """The picked comparison by an embedder, or what will be here."""
    every = list_comparisons(ws)
    found = [one for one in every if one.embedder == embedder]
    if not found:
        with st.container(width=620):
            st.info(ABOUT, icon=":material/compare:")
            if ws.read_only:
                st.caption("There is no comparison yet, and this workspace is not yours to change.")
            else:
                _form(ws, embedder, found)
            _others(every, found)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        one = _choose(found)
        if not ws.read_only:
            with st.popover("Compare with another set", icon=":material/add:", key="new_comparison"):
                _form(ws, embedder, found)
            with st.popover("Remove", icon=":material/delete:", key="remove_comparison"):
                _removal(ws, one)
    comparison_map.panel(ws, tree, one, again=lambda: _again(ws, one))
    comparison_metrics.measures(one)
    comparison_metrics.spread(ws, tree, one)
    if len(found) > 1:
        comparison_metrics.overview(found)
    _others(every, found)


def _choose(found: list[Comparison]) -> Comparison:
    """The comparison that is shown: the one that was picked or begun last, else the newest."""
    names = [one.name for one in found]
    wanted = st.session_state.get(PICKED)
    at = next((n for n, name in enumerate(names) if wanted and slug(name) == slug(wanted)), 0)
    said = {one.name: f"{shorten(one.name, 24)} · {number(one.rows)} questions · {ago(one.made_at)}" for one in found}
    key = f"comparison_of_{at}_{len(found)}_{int(found[0].made_at)}"

    def choose() -> None:
        st.session_state[PICKED] = st.session_state[key]
        comparison_map.leave()

    name = st.selectbox("Comparison", names, index=at, format_func=said.get, key=key, on_change=choose, width=310,
                        label_visibility="collapsed")  # fmt: skip
    return next(one for one in found if one.name == name)


def _form(ws: Workspace, embedder: str, found: list[Comparison]) -> None:
    """Which dataset, what to call it, how much of it; and the button that compares."""
    said = {other.path: other.said for other in other_sets(ws, page_frame.HOME)}
    nth = st.session_state.get(FORM, 0)
    added = st.session_state.get("set_added")
    options = list(dict.fromkeys([*said, *([added] if added else [])]))
    path_key, most_key = f"run_compare_path_{nth}", "run_compare_most"
    st.session_state.setdefault(path_key, added)
    st.session_state.setdefault(most_key, MOST)
    path = st.selectbox(
        "Other dataset", options, index=None, format_func=lambda path: said.get(path, path), key=path_key,
        accept_new_options=True, placeholder="Choose, or type the path of a file or folder",
    )  # fmt: skip
    with st.popover("Add a file", icon=":material/upload_file:"):
        _upload(ws)
    path = (path or "").strip()
    there = _is_there(ws, path)
    hint = name_of(ws, path) if there else ""
    name = st.text_input("Called", key=f"run_compare_name_{nth}", placeholder=hint or "as its file or folder").strip() or hint
    most = st.number_input("Rows to take at most", 10, 1_000_000, step=10_000, key=most_key,
                           help="Of a larger set as many are drawn at random, the same ones every time.")  # fmt: skip
    if not there and path:
        st.caption(f":orange[There is no file or folder {plain(path)} where the studio runs.]")
    if any(name and slug(one.name) == slug(name) for one in found):
        st.caption(f"It replaces the comparison {plain(name)} that there is.")
    if st.button(  # no callback: it would get what the fields held before the last of them was left by this very click
        f"Compare with {plain(shorten(name, 40))}" if there else "Compare", type="primary", icon=":material/compare:",
        key="begin_comparison", disabled=not there or bool(job_panel.at_work(ws, ("compare",))),
        help=None if path else "Choose a dataset first.",
    ):  # fmt: skip
        begin(ws, embedder, path, name, int(most))
        st.session_state[FORM] = nth + 1
        st.session_state.pop("set_added", None)
        st.rerun()


def _is_there(ws: Workspace, path: str) -> bool:
    try:
        return bool(path and place_of(ws, path))
    except GlanError:
        return False


def begin(ws: Workspace, embedder: str, path: str, name: str, most: int) -> None:
    """Start the run that compares; what keeps it from starting is told above the view."""
    try:
        values = embedder_form.asked(ws, embedder) | {"path": str(place_of(ws, path)), "name": name, "max_rows": most}
        settings = read_settings(ComparisonSettings, values)
    except GlanError as error:
        st.session_state.job_error = error
        return
    job_panel.begin(ws, settings, title=f"Comparison with {name}")
    st.session_state[PICKED] = name
    comparison_map.leave()


def _again(ws: Workspace, one: Comparison) -> None:
    begin(ws, one.embedder, one.path, one.name, max(one.rows, MOST))


def _upload(ws: Workspace) -> None:
    """A file of a person's own, kept in the workspace."""
    st.caption("JSONL, JSON, CSV or Parquet with one question a row. It is kept in the workspace's folder.")
    file = st.file_uploader("File", key=f"set_{st.session_state.get(FORM, 0)}", label_visibility="collapsed")
    if file and st.button("Add it", width="stretch", key="add_set"):
        try:
            path = store_set(ws, file.name, file)
        except GlanError as error:
            fault(error)
            return
        st.session_state[FORM] = st.session_state.get(FORM, 0) + 1
        st.session_state.set_added = str(path)
        st.rerun()


def _removal(ws: Workspace, one: Comparison) -> None:
    st.markdown(f"Remove the comparison with **{plain(one.name)}**? The set itself stays where it is; its copy here goes.")
    st.button(
        f"Remove {plural(one.rows, 'copied question')}", icon=":material/delete:", key="remove_it", on_click=_remove, args=(ws, one)
    )  # fmt: skip


def _remove(ws: Workspace, one: Comparison) -> None:
    job_panel.act(remove_comparison, ws, one.name)
    st.session_state.pop(PICKED, None)
    comparison_map.leave()


def _others(every: list[Comparison], found: list[Comparison]) -> None:
    if more := len(every) - len(found):
        names = dict.fromkeys(embedder_form.spoken(one.embedder) for one in every if one not in found)
        st.caption(f"{plural(more, 'more comparison')} by {plain(', '.join(names))}: choose that embedder above.")
