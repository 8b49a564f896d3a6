"""What the address of a page says: the workspace and what is picked in it, so that a link opens the same view for a colleague."""

import networkx as nx
import streamlit as st

from glan_core.taxonomy import tree_editing

PICKS = ("focus", "subject", "concept", "pair")  # from the whole to one row; picking one forgets those after it


def focus() -> str | None:
    """The id of the taxonomy node that is picked, or None for all."""
    return picked("focus")


def set_focus(node_id: str | None) -> None:
    """Pick a node, or None for all."""
    pick(focus=node_id)


def subject() -> str | None:
    """The id of the subject that is picked below the focus, or None."""
    return picked("subject")


def set_subject(subject_id: str | None, discipline_id: str | None = None) -> None:
    """Pick a subject, and with it the discipline that it belongs to, where that is given."""
    pick(subject=subject_id, **({} if discipline_id is None else {"focus": discipline_id}))


def picked(name: str) -> str | None:
    """The id of what is picked, by one of `PICKS`."""
    return st.session_state.get(name)


def pick(**ids: str | None) -> None:
    """Pick things by `PICKS`; what comes after the first of them is picked no longer, unless it is given. The URL follows."""
    first = min(PICKS.index(name) for name in ids)
    for name in PICKS[first:]:
        st.session_state[name] = ids.get(name)
    write()


def go(page: str) -> None:
    """Open another page (its file); the filters of this one are no part of its address, and Streamlit refuses to carry
    them along."""
    st.switch_page(page, query_params={})


def written() -> dict[str, str]:
    """The address that this session wrote last."""
    return st.session_state.get("written", {})


def write() -> None:
    """Put the workspace and what is picked into the URL, in one step of the browser's history."""
    address = {"workspace": st.session_state.workspace} | {name: picked(name) for name in PICKS if picked(name)}
    st.session_state.written = address
    for name in PICKS:
        if name not in address:
            st.query_params.pop(name, None)
    st.query_params.update(address)


def take(tree: nx.DiGraph, said: dict[str, str]) -> None:
    """Follow what the URL says and this session did not write there: it was typed, shared, or reached by Back. So was what
    is no longer there."""
    for name in PICKS:
        in_url = said.get(name)
        if (in_url or "workspace" in said) and in_url != written().get(name):
            st.session_state[name] = in_url
    if focus() not in tree:
        st.session_state.focus = None


def user() -> str:
    """Who is recorded with changes, reviews and votes made on pages."""
    return st.session_state.get("who") or tree_editing.default_user()
