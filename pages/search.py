"""Search page: disciplines, subjects, key concepts and pairs that match the query of the sidebar."""

from collections.abc import Callable, Sequence

import streamlit as st

from glan_core.formatting import shorten
from glan_core.taxonomy import hierarchy
from glan_core.workspace import search_rows
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.search_rows import FoundConcept, FoundNode, FoundSubject
from pages.components.shared import page_frame, search_box, url_state
from pages.components.shared.untrusted_text import escape

MOST = 8  # results per group
LONGEST = 150  # characters of a question
BEFORE = 40  # characters before a match

ws, tree = page_frame.open_page(search_box.PAGE)
query = search_box.query()


def results(title: str, icon: str, found: Sequence, draw: Callable, *, everything: Callable[[], None] | None = None) -> None:
    """Draw a group of results.

    Args:
        title: Title of the group.
        icon: Icon of its results.
        found: At most `MOST` + 1 results.
        draw: Called with each result; returns its label, a caption and what opens it.
        everything: Opens all results; drawn where there are more.
    """
    more = len(found) > MOST
    st.header(f"{title} :gray[{f'{MOST}+' if more else len(found) or 'none'}]", anchor=False)
    with st.container(gap=None, key=f"found_{title.lower().replace(' ', '_')}"):
        for number, one in enumerate(found[:MOST]):
            label, note, choose, page = draw(one)
            with st.container(
                horizontal=title != "Pairs", vertical_alignment="center", gap="small" if title != "Pairs" else None
            ):
                if st.button(label, icon=icon, type="tertiary", key=f"found_{title}_{number}_{one_id(one)}"):
                    choose()
                    url_state.open_page(page)
                if note:
                    st.caption(escape(note), width="stretch")
    if more and everything:
        if st.button("Show all", icon=":material/arrow_forward:", key=f"all_{title}"):
            everything()
    elif more:
        st.caption("There are more. Add a word to narrow the search.")


def one_id(one) -> str:
    """Return the id of a result."""
    return one.question.id if isinstance(one, Pair) else one.id


def node(one: FoundNode) -> tuple:
    """Return how a node of the taxonomy is shown."""
    above = " › ".join(part.name for part in hierarchy.path(tree, one.id)[:-1]) if one.id in tree else ""
    kind = "" if one.kind == "discipline" else f"{one.kind}{' · ' if above else ''}"
    return escape(shorten(one.name, 80)), f"{kind}{above}", lambda: url_state.set_focus(one.id), "pages/taxonomy.py"


def subject(one: FoundSubject) -> tuple:
    """Return how a subject is shown."""
    open_it = lambda: url_state.set_subject(one.id, one.discipline_id)  # noqa: E731
    return escape(shorten(one.name, 80)), one.discipline, open_it, "pages/syllabi.py"


def concept(one: FoundConcept) -> tuple:
    """Return how a key concept is shown: it opens its questions, or its syllabus if it has none."""

    def choose() -> None:
        url_state.select(focus=one.discipline_id, subject=one.subject_id, concept=one.id if one.asked else None)

    return escape(shorten(one.name, 80)), one.subject, choose, f"pages/{'homework' if one.asked else 'syllabi'}.py"


def pair(one: Pair) -> tuple:
    """Return how a question is shown."""
    id = one.question.discipline_id
    name = tree.nodes[id]["node"].name if id in tree else "removed discipline"
    note = name
    text = excerpt(one.question.text)
    if text is None:
        text = shorten(" ".join(one.question.text.split()), LONGEST)
        note = f"{name} · answer: {inside}" if (inside := excerpt(one.answer or "")) else name

    def choose() -> None:
        url_state.select(focus=id if id in tree else None, pair=one.question.id)

    return escape(text), note, choose, "pages/homework.py"


def excerpt(text: str) -> str | None:
    """Return the part of a text around the first word of the query; None if the text does not contain it."""
    line = " ".join(text.split())
    at = line.casefold().find(query.split()[0].casefold())
    if at < 0:
        return None
    start = 0 if at < LONGEST - 40 else line.rfind(" ", 0, at - BEFORE) + 1
    return ("…" if start else "") + shorten(line[start:], LONGEST)


def all_pairs() -> None:
    """Open Homework with the words as filter."""
    url_state.set_focus(None)
    st.session_state.words = query
    st.switch_page("pages/homework.py", query_params={"words": query})


def all_subjects() -> None:
    """Open Syllabi with the words as search."""
    url_state.set_focus(None)
    st.session_state.subject_words = query
    st.switch_page("pages/syllabi.py", query_params={"subject_words": query})


if not query.strip():
    page_frame.title_line(search_box.PAGE, tree, "Type into the search box of the sidebar.", ws)
    st.info(
        "Search finds disciplines, subjects and key concepts by their names, and pairs by their words or their ID.",
        icon=":material/search:",
    )
    st.stop()
page_frame.title_line(search_box.PAGE, tree, f"Results for “{escape(shorten(query, 100))}” in the whole workspace", ws)
groups = {
    "Disciplines": (search_rows.nodes, ":material/account_tree:", node, None),
    "Subjects": (search_rows.subjects, ":material/menu_book:", subject, all_subjects),
    "Key concepts": (search_rows.concepts, ":material/lightbulb:", concept, None),
    "Pairs": (search_rows.pairs, ":material/quiz:", pair, all_pairs),
}
found = {title: find(ws.db, query, MOST + 1) for title, (find, *_) in groups.items()}
if not any(found.values()):
    st.info(
        "No matches. Names and pairs must contain every word of the search; pairs are indexed when the run that generates them ends.",
        icon=":material/search_off:",
    )
    st.stop()
left, right = page_frame.two_halves()
for title, (_, icon, draw, everything) in groups.items():
    with right if title == "Pairs" else left:
        if found[title] or title == "Pairs":
            results(title, icon, found[title], draw, everything=everything)
