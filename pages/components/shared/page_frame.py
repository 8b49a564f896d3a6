"""The frame of every page: workspace, focus and title line."""

from pathlib import Path

import networkx as nx
import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from glan_core import access
from glan_core.errors import GlanError
from glan_core.figures.style import Style, style
from glan_core.formatting import quoted, shorten
from glan_core.generation.default_teachers import default_teachers
from glan_core.operations import workspaces
from glan_core.records import Subject
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace, curriculum_rows, find_workspaces, run_rows
from pages.components.chat import page_state
from pages.components.shared import checklist, scroll_top, search_box, sign_in, tour, url_state
from pages.components.shared.untrusted_text import escape, show_error
from pages.components.shared.workspace_home import first_name, workspace_home
from pages.components.taxonomy import add_discipline
from pages.components.workspaces import actions

HOME = workspace_home()
DEMO = "Built by the studio with its offline teacher. Edit it freely: *Reset demo* on the Workspaces page restores it."


def open_page(name: str) -> tuple[Workspace, nx.DiGraph]:
    """Draw the parts common to all pages and open the workspace.

    Stops the script with a message if no workspace can be opened.

    Args:
        name: Title of the page.

    Returns:
        The open workspace and its current taxonomy.
    """
    if not {"framed", "unframed"} & set(st.session_state):
        # With `streamlit run streamlit_app.py`, the first request for a page's URL runs that file as an old-style multipage script,
        # without streamlit_app.py, until that has called st.navigation. asgi_app.py prevents this.
        PagesManager.uses_pages_directory = False
        st.session_state.unframed = True  # tried once: without streamlit_app.py there is no end of it
        st.rerun()
    if not sign_in.is_admitted():  # streamlit_app.py has stopped before
        st.stop()
    for key in st.session_state:  # Streamlit drops the state of widgets that the current page does not draw
        if str(key).startswith(("run_", "grow_", "adding_", "api_key", *page_state.FIELDS)):
            st.session_state[key] = st.session_state[key]
    summary = st.query_params.to_dict()
    went_back = (
        "workspace" not in summary and st.session_state.get("page") == name
    )  # to the history entry before this page set its URL
    folder = _choose_workspace(summary.get("workspace"))
    if folder is None:
        st.title(name)
        st.info(f"No workspace in {escape(str(HOME))} yet. A workspace holds a taxonomy and the data generated from it.")
        actions.messages()
        if access.refusal() is None:
            with st.container(width=420):
                _new_workspace()
            _archived()
        st.stop()
    try:
        ws = open_folder(folder)
        tree = tree_editing.tree(ws)
    except GlanError as error:
        st.title(name)
        show_error(error)
        st.stop()
    url_state.adopt_url(tree, summary)
    subject = curriculum_rows.subject(ws.db, url_state.subject()) if url_state.subject() else None
    if subject is None or subject.discipline_id != url_state.focus():
        st.session_state.subject = subject = None
    _note_unknown_workspace(summary.get("workspace"), name, folder)
    if not went_back:
        url_state.write_url()
    st.session_state.page = name
    st.session_state.default_teachers = default_teachers(ws)  # selected first by every form of a teacher
    newest = run_rows.latest_of_kind(ws.db, "generate")
    st.session_state.last_teacher = newest.params if newest else None
    with st.sidebar:
        search_box.draw(name)
    with st.sidebar, st.container(gap=None):
        _breadcrumb(tree, subject)
    add_discipline.sidebar_button(ws, tree)
    checklist.sidebar(ws)
    with st.sidebar:
        scroll_top.on_opening(name)
    actions.messages()
    if unknown := st.session_state.get("unknown_workspace"):
        st.warning(
            f"Workspace {escape(quoted(unknown[0]))} does not exist in {escape(str(HOME))}. {escape(quoted(folder.name))} is open instead.",
            icon=":material/link_off:",
        )
    return ws, tree


def _note_unknown_workspace(in_url: str | None, page: str, folder: Path) -> None:
    """Keep the name of a workspace that a link names but that does not exist, until another page or workspace is opened."""
    place = (page, folder.name)
    if in_url not in (None, folder.name, url_state.last_written().get("workspace")):
        st.session_state.unknown_workspace = (in_url, place)
    elif st.session_state.get("unknown_workspace", ("", place))[1] != place:
        st.session_state.unknown_workspace = None


def _archived() -> None:
    """Draw the archived workspaces with buttons that restore them, where there is no other."""
    for one in (one for one in workspaces.list_workspaces(HOME) if one.archived and not one.problem):
        st.button(
            f"Restore {escape(shorten(one.name, 40))}", icon=":material/unarchive:", key=f"restore_{one.name}",
            on_click=actions.restore, args=(HOME, one.name),
        )  # fmt: skip


def open_folder(folder: Path) -> Workspace:
    """Return the open workspace of a folder, which sessions share.

    Raises:
        GlanError: If it cannot be opened.
    """
    return _open(str(folder), folder.stat().st_mtime_ns, refused=access.refusal() is not None)


@st.cache_resource(
    max_entries=20, show_time=True,
    show_spinner="Opening the workspace. A workspace of an earlier release is migrated first; with millions of pairs, this takes minutes.",
)  # fmt: skip
def _open(folder: str, made_at: int, *, refused: bool) -> Workspace:
    """Open a workspace once for the sessions that have the same rights to it; it decides by itself whether it may be changed."""
    return Workspace.open(folder)


def _choose_workspace(in_url: str | None) -> Path | None:
    found = {folder.name: folder for folder in find_workspaces(HOME)}
    if not found:
        return None
    wanted = st.session_state.get("workspace")
    if in_url in found and in_url != url_state.last_written().get("workspace", wanted):  # typed, shared, or reached by Back
        wanted = in_url
        st.session_state.written = {}
    elif wanted is None:
        wanted = in_url
    names = list(found)
    with st.sidebar, st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = st.selectbox(
            "Workspace", names, index=names.index(wanted if wanted in found else first_name(names)), width="stretch"
        )
        if access.refusal() is None:
            with st.popover("New workspace", icon=":material/add:", help="New workspace", key="icon_new_workspace"):
                _new_workspace()
    if st.session_state.get("workspace") not in (None, name):
        st.session_state.update(dict.fromkeys(url_state.PICKS))
    st.session_state.workspace = name
    return found[name]


def _new_workspace() -> None:
    with st.form("new_workspace", border=False):
        name = st.text_input("Workspace name", placeholder="my-research")
        filled = st.checkbox("Add demo content")
        if st.form_submit_button("Create workspace", type="primary"):
            try:
                if not name.strip():
                    raise GlanError("Enter a workspace name.")
                created = workspaces.create(HOME, name, demo=filled)
            except GlanError as error:
                show_error(error)
            else:
                st.session_state.workspace = created.folder.name
                created.close()
                st.session_state.update(dict.fromkeys(url_state.PICKS))
                st.rerun()


def _breadcrumb(tree: nx.DiGraph, subject: Subject | None) -> None:
    """Draw the path of the focus down to the subject; each part selects it, the first clears the focus."""
    st.caption("Focus")
    picked = url_state.focus()
    nodes = hierarchy.path(tree, picked) if picked else []
    everything = "All knowledge" if picked else "**All knowledge**"
    st.button(
        everything, key="focus_all", icon=":material/public:", type="tertiary", on_click=url_state.set_focus, args=(None,)
    )
    parts = [(node.id, node.name, url_state.set_focus) for node in nodes]
    if subject:
        parts.append((subject.id, subject.name, url_state.set_subject))
    for depth, (id, name, act) in enumerate(parts, start=1):
        short = escape(shorten(name, 27))
        st.button(
            f"**{short}**" if depth == len(parts) else short, key=f"focus_{id}", type="tertiary",
            icon=":material/subdirectory_arrow_right:", on_click=act, args=(id,), help=escape(name) if len(name) > 27 else None,
        )  # fmt: skip


def title_line(name: str, tree: nx.DiGraph, sentence: str, ws: Workspace) -> None:
    """Draw the title line: page, focus, state in one sentence, and badges for demo and read-only."""
    picked = url_state.focus()
    of = f" · {escape(shorten(tree.nodes[picked]['node'].name, 60))}" if picked else ""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(f"{name}{of}", anchor=False, width="content")
        if ws.read_only:
            why = access.refusal() or "You can view this workspace but not change it: you have no write access to its folder."
            st.badge("read-only", color="orange", help=why)
        if ws.metadata("demo"):
            st.badge("demo", color="gray", help=DEMO)
    st.caption(sentence)
    tour.card(ws, name)


def main_and_detail(name: str | None = None):
    """Return two cells: two thirds of the width for the main element, one third for the selection.

    On a narrow screen the second goes below, at full width if `name` is given.
    """
    grid = st.grid(3, gap="medium", min_column_width=300)
    return grid.cell(column_span=2), _third(grid, name)


def list_and_detail(name: str):
    """Return two cells: one third of the width for a list, two thirds for the selection.

    On a narrow screen the second goes below.
    """
    grid = st.grid(3, gap="medium", min_column_width=300)
    return _third(grid, name), grid.cell(column_span=2)


def _third(grid, name: str | None):
    """Return a cell of one third; assets/studio.css finds it by its key."""
    return grid.cell().container(key=f"third_{name}") if name else grid.cell()


def two_halves():
    """Return two cells of equal width; on a narrow screen the second goes below."""
    grid = st.grid(2, gap="medium", min_column_width=390)
    return grid.cell(), grid.cell()


def figure_style() -> Style:
    """Return the figure style of the user's current theme."""
    return style(st.context.theme.type)
