"""Shared parts of the check views: state of a check, paged lists of tagged rows, and row actions."""

from collections.abc import Callable, Mapping, Sequence

import networkx as nx
import streamlit as st

from glan_core.dataset.text_spans import Span
from glan_core.formatting import ago, exact, number, plural
from glan_core.workspace import Workspace, homework_rows, tag_rows
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.tag_rows import Tag
from pages.components.shared import highlighted_text, pair_tags, url_state
from pages.components.shared.untrusted_text import badge_label, show_error

PAGE = 10  # rows per page
SHOWN = {None: "All", False: "Excluded", True: "Overruled"}


def status_line(ws: Workspace, check: str, about: str, note: str = "") -> Mapping | None:
    """Show when a check last ran and how many questions are newer; before its first run, show `about`.

    Args:
        ws: The open workspace.
        check: Name of the check.
        about: Description for the empty state.
        note: Addition to the number of checked pairs.

    Returns:
        The stored fact of the last run, or None.
    """
    if error := st.session_state.pop("deed_error", None):
        show_error(error)
    fact = ws.metadata(f"check:{check}")
    if not fact:
        st.info(about, icon=":material/rule:")
        return None
    since = homework_rows.last_seq(ws.db) - fact["up_to"]
    on = f" on {plural(fact['rows'], 'pair')}{note}" if "rows" in fact else ""
    summary = f"Last run {ago(fact['at'])}{on}. " + (
        f"About {plural(since, 'question')} added since." if since > 0 else "Nothing added since."
    )
    focus = " Covers the whole workspace, not only the focus." if url_state.focus() else ""
    st.caption(summary + focus, help=exact(fact["at"]))
    return fact


def initial_value(key: str, value: object) -> str:
    """Set the initial value of a widget and return its key."""
    st.session_state.setdefault(key, value)
    return key


def paged_rows(
    key: str, scope: object, fetch: Callable[[int | None, int], Sequence], seq_of: Callable[[object], int]
) -> tuple[list, Callable[[], None]]:
    """Return one page of a list read backwards from a `seq`, and a function that draws its paging buttons.

    Args:
        key: Prefix of the widget keys.
        scope: Identity of the list; a new scope starts at the first page.
        fetch: `fetch(before, limit)` returns rows.
        seq_of: Returns the `seq` of a row.
    """
    known, befores = st.session_state.get(key, (None, ()))
    if known != scope:
        befores = ()
    found = list(fetch(befores[-1] if befores else None, PAGE + 1))
    if befores and not found:  # the rows of this page were deleted
        befores, found = (), list(fetch(None, PAGE + 1))
    st.session_state[key] = (scope, befores)
    shown = found[:PAGE]

    def turn(to: tuple[int, ...]) -> None:
        st.session_state[key] = (scope, to)

    def buttons() -> None:
        if not befores and len(found) <= PAGE:
            return
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.button(
                "Newer", icon=":material/arrow_back:", key=f"{key}_newer", disabled=not befores, on_click=turn,
                args=(befores[:-1],),
            )  # fmt: skip
            first = len(befores) * PAGE + 1
            st.caption(f"{number(first)} to {number(first + len(shown) - 1)}", width="content")
            st.button(
                "Older", icon=":material/arrow_forward:", key=f"{key}_older", disabled=len(found) <= PAGE, on_click=turn,
                args=((*befores, seq_of(shown[-1]) if shown else 0),),
            )  # fmt: skip

    return shown, buttons


def tagged_rows(
    ws: Workspace, key: str, kind: str, name: str, *, overruled: bool | None
) -> tuple[list[Tag], Callable[[], None]]:
    """Return one page of tags of a kind and name, as `paged_rows`."""
    return paged_rows(
        key, (kind, name, overruled),
        lambda before, limit: tag_rows.tags_page(ws.db, kind, name, before=before, overruled=overruled, limit=limit),
        lambda tag: tag.seq,
    )  # fmt: skip


def overruled_filter(key: str, tagged: int, overruled: int) -> bool | None:
    """Draw the filter by overruled state if any tag is overruled; None means all."""
    if not overruled:
        return None
    counts = {None: tagged, False: tagged - overruled, True: overruled}
    return st.selectbox(
        "Rows", list(SHOWN), format_func=lambda choice: f"{SHOWN[choice]} · {number(counts[choice])}", key=key, width=190,
        label_visibility="collapsed",
    )  # fmt: skip


def pair_of(ws: Workspace, seq: int) -> Pair | None:
    """Return the pair of a tag, or None if it is deleted."""
    ids = homework_rows.ids_by_seq(ws.db, [seq])
    return homework_rows.pair(ws.db, ids[seq]) if seq in ids else None


def labeled_text(label: str, words: str, spans: Sequence[Span] = (), most: int = 1200) -> None:
    """Show a text with highlighted spans under a label."""
    st.caption(label)
    highlighted_text.show(words, spans, most)


def tag_actions(ws: Workspace, tree: nx.DiGraph, tag: Tag, pair: Pair, summary: str = "") -> None:
    """Show the finding of a tag with the buttons that open its pair and overrule it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if tag.overruled_by:
            st.badge(f"included anyway by {badge_label(tag.overruled_by)}", color="gray", icon=":material/check:")
        if summary:
            st.caption(summary, width="stretch")
        open_button(tree, pair, f"{tag.kind}_{tag.name}")
        pair_tags.overrule_button(ws, tag)


def open_button(tree: nx.DiGraph, pair: Pair, key: str, label: str = "Open") -> None:
    """Draw the button that opens a pair on the Homework page."""
    if st.button(label, icon=":material/quiz:", type="tertiary", key=f"open_{key}_{pair.question.id}"):
        discipline = pair.question.discipline_id
        url_state.select(focus=discipline if discipline in tree else None, pair=pair.question.id)
        url_state.open_page("pages/homework.py")
