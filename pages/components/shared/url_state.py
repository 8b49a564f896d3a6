"""Workspace and selection in the URL, so that a link opens the same view."""

import networkx as nx
import streamlit as st

from glan_core.taxonomy import tree_editing

MOST_DIGITS = 15  # of an id
PICKS = ("focus", "subject", "concept", "pair")  # from general to specific; selecting one clears those after it


def focus() -> str | None:
    """Return the id of the selected taxonomy node, or None for all."""
    return selected("focus")


def set_focus(node_id: str | None) -> None:
    """Select a taxonomy node, or None for all."""
    select(focus=node_id)


def subject() -> str | None:
    """Return the id of the subject selected below the focus, or None."""
    return selected("subject")


def number_in_url(name: str) -> int | None:
    """Return the id that a URL parameter gives, or None if it is not a number that the database can store."""
    text = st.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None


def set_subject(subject_id: str | None, discipline_id: str | None = None) -> None:
    """Select a subject and, if given, its discipline."""
    select(subject=subject_id, **({} if discipline_id is None else {"focus": discipline_id}))


def selected(name: str) -> str | None:
    """Return the selected id for one of `PICKS`."""
    return st.session_state.get(name)


def select(**ids: str | None) -> None:
    """Select ids by the names in `PICKS` and update the URL; later names that are not given are cleared."""
    first = min(PICKS.index(name) for name in ids)
    for name in PICKS[first:]:
        st.session_state[name] = ids.get(name)
    write_url()


def open_page(page: str) -> None:
    """Open another page by its file, without the filters in this page's URL."""
    st.switch_page(page, query_params={})


def last_written() -> dict[str, str]:
    """Return the URL parameters this session last wrote."""
    return st.session_state.get("written", {})


def write_url() -> None:
    """Write workspace and selection to the URL as one entry of the browser history."""
    address = {"workspace": st.session_state.workspace} | {name: selected(name) for name in PICKS if selected(name)}
    st.session_state.written = address
    for name in PICKS:
        if name not in address:
            st.query_params.pop(name, None)
    st.query_params.update(address)


def adopt_url(tree: nx.DiGraph, summary: dict[str, str]) -> None:
    """Adopt URL parameters that this session did not write (typed, shared, or reached by Back); unknown ids are dropped."""
    for name in PICKS:
        in_url = summary.get(name)
        if (in_url or "workspace" in summary) and in_url != last_written().get(name):
            st.session_state[name] = in_url
    if focus() not in tree:
        st.session_state.focus = None


def user() -> str:
    """Return the name recorded with changes, reviews and votes."""
    return tree_editing.default_user()
