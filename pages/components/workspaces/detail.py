"""Facts and actions of the selected workspace.

Keys of actions have its name: a click that arrives after another row was selected must not act on that one.
"""

from pathlib import Path

import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.formatting import ago, exact, number, plural, size
from glan_core.operations import duplicate_job, workspaces
from glan_core.operations.workspaces import WorkspaceFacts
from glan_core.workspace import Workspace
from pages.components.shared import job_panel, page_frame
from pages.components.shared.untrusted_text import escape, show_error
from pages.components.workspaces import actions, audit_log, demo_reset, removals


def panel(home: Path, one: WorkspaceFacts, opened: Workspace) -> None:
    """Draw facts and actions of a workspace; `opened` is the one that the studio shows."""
    is_open = not one.archived and one.folder == opened.folder
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header(escape(one.name), anchor=False, width="content")
        for label, shown in (("open", is_open), ("demo", one.demo), ("archived", one.archived)):
            if shown:
                st.badge(label, color="blue" if label == "open" else "gray")
    if one.problem:
        st.error(escape(one.problem))
    facts = {
        "Name": one.title, "Pairs": "–" if one.pairs is None else number(one.pairs), "Size": size(one.bytes),
        "Changed": f"{ago(one.changed_at)} ({exact(one.changed_at)})" if one.changed_at else "–",
        "Live runs": number(one.live) if one.live else "none", "Folder": str(one.folder),
    }  # fmt: skip
    with st.container(gap="xsmall"):
        for label, words in facts.items():
            st.markdown(f":gray[{label}] {escape(words)}")
    if one.archived:
        _restore(home, one)
    elif not one.problem:
        try:
            ws = opened if is_open else page_frame.open_folder(one.folder)
        except GlanError as error:
            show_error(error)
            return
        _actions(home, one, ws, is_open=is_open)


def _actions(home: Path, one: WorkspaceFacts, ws: Workspace, *, is_open: bool) -> None:
    busy = job_panel.show_progress(ws, "duplicate")
    blocked = ws.read_only or bool(one.live)
    with st.container(horizontal=True, gap="small"):
        if not is_open:
            st.button(
                "Open", icon=":material/folder_open:", key="open_workspace", on_click=actions.open_workspace, args=(one.name,)
            )
            st.button(
                "Compare", icon=":material/compare_arrows:", key="compare_workspace", on_click=st.session_state.update,
                kwargs={"workspaces_view": "Compare", "compare_other": one.name},
                help="Compares it with the open workspace.",
            )  # fmt: skip
        _rename(home, one, disabled=blocked)
        _duplicate(one, ws, disabled=ws.read_only or busy)
        _archive(home, one, disabled=blocked)
        if one.demo:
            demo_reset.popover(home, one.name, "detail", disabled=blocked)
    if ws.read_only:
        st.caption("This workspace is read-only: you cannot rename, copy or archive it.")
    elif one.live:
        st.caption(f"{plural(one.live, 'live run')}: it can be copied, and renamed or archived once no run is live.")
    removals.panel(ws)
    audit_log.panel(ws)


def _rename(home: Path, one: WorkspaceFacts, *, disabled: bool) -> None:
    with st.popover("Rename", icon=":material/edit:", key=f"rename_workspace_{one.name}", disabled=disabled):
        new = st.text_input("New name", one.title, key=f"new_name_{one.name}", help="The folder is named after it.")
        st.button(
            "Rename", key=f"rename_workspace_now_{one.name}", disabled=disabled or not new.strip() or new.strip() == one.title,
            on_click=actions.rename, args=(home, one.name, new),
        )  # fmt: skip


def _duplicate(one: WorkspaceFacts, ws: Workspace, *, disabled: bool) -> None:
    with st.popover("Duplicate", icon=":material/content_copy:", key=f"duplicate_workspace_{one.name}", disabled=disabled):
        st.caption("Copies taxonomy, pairs, runs, snapshots and models. Runs that are live now are paused in the copy.")
        name = st.text_input("Name of the copy", f"{one.title} copy", key=f"copy_name_{one.name}")
        if st.button(
            f"Duplicate ({size(one.bytes)})", key=f"duplicate_workspace_now_{one.name}", disabled=disabled or not name.strip(),
            icon=":material/content_copy:",
        ):  # fmt: skip
            _start(ws, name)


def _start(ws: Workspace, name: str) -> None:
    try:
        duplicate_job.check_duplicate(ws, name)
        runs.start(ws, "duplicate", f"Copy to {name.strip()}", duplicate_job.DuplicateSettings(name=name))
    except GlanError as error:
        show_error(error)
    else:
        st.session_state[actions.PICKED] = ws.folder.name
        st.rerun()


def _archive(home: Path, one: WorkspaceFacts, *, disabled: bool) -> None:
    with st.popover("Archive", icon=":material/archive:", key=f"archive_workspace_{one.name}", disabled=disabled):
        st.markdown(
            f"Move **{escape(one.name)}** to the archive? It is no longer offered in the sidebar, keeps its {size(one.bytes)} on "
            "the disk, and can be restored here."
        )
        count = "" if one.pairs is None else f" ({plural(one.pairs, 'pair')})"
        st.button(
            f"Archive{count}", icon=":material/archive:", key=f"archive_workspace_now_{one.name}", on_click=actions.archive,
            args=(home, one.name), disabled=disabled,
        )  # fmt: skip


def _restore(home: Path, one: WorkspaceFacts) -> None:
    taken = (home / one.name).exists()
    name = ""
    if taken:
        st.caption(f"A workspace named {escape(one.name)} exists. Restore this one under another name.")
        name = st.text_input("Name", f"{one.name} restored", key=f"restore_name_{one.name}")
    st.button(
        "Restore", icon=":material/unarchive:", key=f"restore_workspace_{one.name}", on_click=actions.restore, args=(home, one.name, name),
        disabled=bool(one.problem) or (taken and not name.strip()),
        help=f"Moves it out of {workspaces.ARCHIVE}, whole.",
    )  # fmt: skip
