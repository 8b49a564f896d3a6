"""What the address of a page says: workspace, focus and picked subject, so that a link opens the same view for a colleague."""

import networkx as nx
import streamlit as st

from glan_core import taxonomy_edit


def focus() -> str | None:
    """The id of the taxonomy node that is picked, or None for all."""
    return st.session_state.get("focus")


def set_focus(node_id: str | None) -> None:
    """Pick a node, or None for all; the URL follows. A subject that was picked is picked no longer."""
    st.session_state.focus = node_id
    st.session_state.subject = None
    write()


def subject() -> str | None:
    """The id of the subject that is picked below the focus, or None; it may be one that does not exist."""
    return st.session_state.get("subject")


def set_subject(subject_id: str | None, discipline_id: str | None = None) -> None:
    """Pick a subject, and with it the discipline that it belongs to, where that is given; the URL follows."""
    if discipline_id is not None:
        st.session_state.focus = discipline_id
    st.session_state.subject = subject_id
    write()


def written() -> dict[str, str]:
    """The address that this session wrote last."""
    return st.session_state.get("written", {})


def write() -> None:
    """Put workspace, focus and subject into the URL, in one step of the browser's history."""
    picked = {"focus": focus(), "subject": subject()}
    address = {"workspace": st.session_state.workspace} | {name: id for name, id in picked.items() if id}
    st.session_state.written = address
    for name in picked.keys() - address.keys():
        st.query_params.pop(name, None)
    st.query_params.update(address)


def take(tree: nx.DiGraph, said: dict[str, str]) -> None:
    """Follow a focus or subject in the URL that this session did not write there: typed, shared, or reached by Back. So was
    the absence of one."""
    for name in ("focus", "subject"):
        in_url = said.get(name)
        if (in_url or "workspace" in said) and in_url != written().get(name):
            st.session_state[name] = in_url
    if focus() not in tree:
        st.session_state.focus = None


def user() -> str:
    """Who is recorded with changes, reviews and votes made on pages."""
    return st.session_state.get("who") or taxonomy_edit.default_user()
