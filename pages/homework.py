"""Homework page: search, read and review questions and answers."""

import pandas as pd
import streamlit as st

from glan_core.formatting import plural, shorten
from glan_core.ids import syllabus_id
from glan_core.taxonomy import coverage
from glan_core.workspace import curriculum_rows, homework_rows, pair_filter, taxonomy_rows
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.pair_filter import PairFilter
from pages.components.homework import filters, reading_view, review_actions
from pages.components.shared import empty_state, page_frame, plain_table, row_selection, url_state
from pages.components.shared.untrusted_text import escape

PAGE = 50

ws, tree = page_frame.open_page("Homework")
focus = url_state.focus()
standing = coverage.coverage_by_node(ws, tree)[focus or ""]
pairs, questions, rejected = (int(standing.counts[name]) for name in ("pairs", "questions", "rejected"))


def sentence() -> str:
    """Return the state of the focus in one sentence."""
    reviewed = f" · {plural(rejected, 'rejected pair')}" if rejected else ""
    state = f"{plural(pairs, 'pair')} · {plural(questions - pairs, 'question')} without an answer{reviewed}"
    if not url_state.subject():
        return state
    subject = curriculum_rows.subject(ws.db, url_state.subject())
    syllabus = curriculum_rows.syllabus(ws.db, syllabus_id(subject.id))
    asked = plural(syllabus.questions if syllabus else 0, "question")
    return f"{asked} from {escape(shorten(subject.name, 60))} · in the whole discipline: {state}"


def to_newest() -> None:
    """Show the newest rows and clear the selection."""
    for key in ("before", "after"):
        st.session_state.pop(key, None)
    url_state.select(pair=None)


def page_of(which: PairFilter) -> list[Pair]:
    """Return the rows to show."""
    before, after = st.session_state.get("before"), st.session_state.get("after")
    return homework_rows.pairs_page(ws.db, which, before=before, after=after, limit=PAGE)


def turn(rows: list[Pair], which: PairFilter) -> None:
    """Draw the buttons to newer and older rows."""
    newest, oldest = rows[0].question.seq, rows[-1].question.seq

    def newer() -> None:
        to_newest()
        st.session_state.after = newest

    def older() -> None:
        to_newest()
        st.session_state.before = oldest

    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        first = not pair_filter.matching(ws.db, which, after=newest, limit=1)
        last = not pair_filter.matching(ws.db, which, before=oldest, limit=1)
        st.button("Newer", icon=":material/chevron_left:", on_click=newer, disabled=first, type="tertiary")
        st.caption(f"{plural(len(rows), 'row')} shown, newest first", width="content")
        st.button(
            "Older", icon=":material/chevron_right:", icon_position="right", on_click=older, disabled=last, type="tertiary"
        )


def table(rows: list[Pair], at: int | None) -> None:
    """Draw the table of rows with the selected one."""
    key = f"rows_{rows[0].question.seq}"

    def choose(row: int | None) -> None:
        if row is not None:
            url_state.select(pair=rows[row].question.id)

    one = focus is not None and tree.nodes[focus]["node"].kind == "discipline"
    columns = {
        "review": st.column_config.TextColumn(
            "✓", width=30, help="Review: ✓ kept, ✗ rejected, ⊘ excluded by a check, ★ starred"
        ),
        "question": st.column_config.TextColumn("Question", width=304 if one else 210),
        "discipline": None if one else st.column_config.TextColumn("Discipline", width=94),
        "strategy": st.column_config.TextColumn("Strategy", width=62),
        "answer": st.column_config.NumberColumn(
            "Answer", format="localized", width=62, help="Length in characters; 0: no answer yet."
        ),
    }
    frame = pd.DataFrame(
        {
            "review": [_sign(row) for row in rows],
            "question": [row.question.text.replace("\n", " ")[:160] for row in rows],
            "discipline": [_name(row.question.discipline_id) for row in rows],
            "strategy": [row.question.strategy for row in rows],
            "answer": [0 if row.answer is None else len(row.answer) for row in rows],
        }
    )
    plain_table.draw(
        frame, **row_selection.clickable_rows(key, at, choose, len(rows)), hide_index=True, column_config=columns, alt="Pairs, newest first",
        height="content" if len(rows) <= 13 else 460,
    )  # fmt: skip


def _sign(row: Pair) -> str:
    """Return the status of a pair as one sign."""
    return review_actions.REVIEWED[row.review][3] if row.review else "⊘" if row.dropped else "★" if row.starred else ""


def _name(discipline_id: str) -> str:
    """Return the name of a discipline, including removed ones."""
    node = tree.nodes[discipline_id]["node"] if discipline_id in tree else taxonomy_rows.node(ws.db, discipline_id)
    return node.name if node else "deleted discipline"


def picked_of(rows: list[Pair]) -> tuple[Pair, int | None]:
    """Return the pair to show and its row: the selected one, even if it is not in the table, else the first."""
    wanted = url_state.selected("pair")
    at = next((number for number, row in enumerate(rows) if row.question.id == wanted), None)
    if at is not None:
        return rows[at], at
    elsewhere = homework_rows.pair(ws.db, wanted) if wanted else None
    return (elsewhere, None) if elsewhere else (rows[0], 0)


def stepper(rows: list[Pair], at: int | None):
    """Return the callback that selects the next or previous row, across pages."""

    def go_on(step: int) -> None:
        to = (-1 if at is None else at) + step
        if 0 <= to < len(rows):
            url_state.select(pair=rows[to].question.id)
        elif to >= len(rows):
            to_newest()
            st.session_state.before = rows[-1].question.seq
        elif st.session_state.get("before") or st.session_state.get("after"):
            to_newest()
            st.session_state.after = rows[0].question.seq

    return go_on


page_frame.title_line("Homework", tree, sentence(), ws)
if not questions:
    what = "under this part of the taxonomy" if focus else "in this workspace"
    st.info(f"No questions {what} yet. A run generates questions and answers.", icon=":material/quiz:")
    if st.button("Plan a run", type="primary", icon=":material/play_circle:"):
        url_state.open_page("pages/runs.py")
    if not focus:
        empty_state.still("homework")
    st.stop()
left, right = page_frame.two_halves()
with left:
    bar = st.container(horizontal=True, vertical_alignment="bottom")
    which = filters.panel(ws, tree, bar, to_newest)
    review_actions.undo_bar(ws)
rows = page_of(which)
if not rows and ("before" in st.session_state or "after" in st.session_state):
    to_newest()  # beyond the last row
    rows = page_of(which)
if rows:
    pair, at = picked_of(rows)
    with left:
        table(rows, at)
        turn(rows, which)
    with bar:
        review_actions.bulk_verdicts(ws, which, to_newest)
    with right:
        review_actions.review_bar(ws, pair, stepper(rows, at))
        with st.container(height=690, border=False, key="reading"):
            reading_view.panel(ws, tree, pair)
else:
    left.info("No questions match these filters.")
    left.button("Clear filters", on_click=lambda: (filters.clear(), to_newest(), url_state.select(concept=None)))
