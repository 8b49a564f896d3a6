"""Questions view: each question of a match with both answers, the reference and both verdicts."""

from functools import partial

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.dataset.glan_test_store import GlanTestItem
from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge.match_setup import NOTHING, OTHER, OURS, VERDICT, verdict_work
from glan_core.evaluation.settings import REFERENCE
from glan_core.formatting import number, plural, shorten, signed
from glan_core.taxonomy import hierarchy
from glan_core.untrusted import clean
from glan_core.workspace import Workspace, match_rows
from glan_core.workspace.match_rows import Match, Verdict
from pages.components.evaluate import match_view, verdict_dispute
from pages.components.shared import page_frame, plain_table, row_selection, unseen_heading, url_state
from pages.components.shared.untrusted_text import escape, model_markdown, scripted_badge, show_error

SHOWN = {
    "all": "All", "won": "Won", "tied": "Tied", "lost": "Lost", "apart": "Orders disagree", "disputed": "Disputed", "missing": "Not judged",
}  # fmt: skip
PAGE = 200
WHICH = "which"  # URL parameter
LINES = 62  # pixels of a row: the question takes up to three lines
ORDERS = {
    "low": ("Lowest difference", ["difference"], True), "high": ("Highest difference", ["difference"], False),
    "discipline": ("Discipline", ["field", "name", "difference"], True), "level": ("Level", ["level", "difference"], True),
    "strategy": ("Strategy", ["strategy", "difference"], True),
}  # fmt: skip
ANY = "Any"
FILTERS = {"name": "Discipline", "level": "Level", "strategy": "Strategy", "skill": "Skill"}


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the questions of the match and the selected one."""
    match = match_view.choose(ws)
    if match is None:
        match_view.empty_state(
            "No verdicts yet. The questions of a match are listed here with both answers and both verdicts.", "quiz"
        )
        return
    seen = match_view.statistics_of(ws, match)
    if seen is None:
        return
    if seen.frame["disputed"].any():
        match_view.headline(ws, seen)
    frame = _filtered(tree, seen)
    if frame.empty:
        st.info("No questions match this filter.", icon=":material/filter_alt_off:")
        return
    left, right = page_frame.list_and_detail("items")
    with left:
        id = _table(frame)
    with right:
        _reading(ws, match, id)


def _filtered(tree: nx.DiGraph, seen: match_view.MatchStatistics) -> pd.DataFrame:
    frame, focus = seen.frame, url_state.focus()
    if focus:
        frame = frame[frame["discipline"].isin(hierarchy.disciplines_under(tree, focus))]
    order, frame = _narrowed(frame)
    judged = frame["difference"].notna()
    masks = {
        "all": judged | True, "won": frame["difference"] > 0, "tied": frame["difference"] == 0, "lost": frame["difference"] < 0,
        "apart": judged & ~frame["agree"], "disputed": frame["disputed"], "missing": ~judged,
    }  # fmt: skip
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    there = [name for name in SHOWN if counts[name] or name == "all"]
    linked = st.session_state.get("evaluate_shown") or st.query_params.get(WHICH)
    st.session_state.evaluate_shown = linked if linked in there else "all"
    which = st.segmented_control(
        "Which", there, format_func=lambda name: f"{SHOWN[name]} · {number(counts[name])}", key="evaluate_shown", required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    st.query_params[WHICH] = which  # not bound, because the labels have counts
    _, columns, ascending = ORDERS[order]
    return frame[masks[which]].sort_values(columns, ascending=ascending, na_position="last", ignore_index=True)


def _narrowed(frame: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Draw order and filters; returns the order and the questions that the filters leave."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        order = st.selectbox(
            "Sort by",
            list(ORDERS),
            format_func=lambda key: ORDERS[key][0],
            key="evaluate_order",
            width=180,
            bind="query-params",
        )
        every = frame  # a filter keeps its options while another one narrows the questions
        for column, label in FILTERS.items():
            values = sorted({value for value in every[column] if value})
            if len(values) < 2:
                continue
            words = match_view.STRATEGIES if column == "strategy" else {}
            if st.session_state.get(key := f"evaluate_of_{column}") not in [ANY, *values]:
                st.session_state[key] = ANY
            chosen = st.selectbox(
                label, [ANY, *values], key=key, width=180, format_func=lambda value, words=words: words.get(value, shorten(value, 40)),
                bind="query-params",
            )  # fmt: skip
            if chosen != ANY:
                frame = frame[frame[column] == chosen]
    return order, frame


def _table(frame: pd.DataFrame) -> str:
    """Draw the questions, lowest difference first; returns the selected id."""
    shown = frame.head(PAGE)
    ids = shown["item"].tolist()
    at, picking = row_selection.single_row_selection(f"evaluate_items_{ids[0]}_{len(ids)}", ids, "evaluate_item", "question")
    plain_table.draw(
        pd.DataFrame({
            "question": [shorten(" ".join(text.split()), 96) for text in shown["question"]], "difference": shown["difference"],
            "name": shown["name"],
        }).style.format({"difference": partial(signed, digits=1)}),
        **picking, hide_index=True, placeholder="–", height=620 if len(ids) > 9 else "content",
        alt="Questions of the match", row_height=LINES,
        column_config={
            "question": st.column_config.TextColumn("Question", width=250),
            "difference": st.column_config.NumberColumn("Diff.", width=50, help="A minus B, mean of both orders; empty: not judged."),
            "name": st.column_config.TextColumn("Discipline", width=80),
        },
    )  # fmt: skip
    if len(frame) > PAGE:
        st.caption(
            f"Showing the first {number(PAGE)} of {plural(len(frame), 'question')}; use a filter above or the focus to narrow."
        )
    return ids[at]


def _reading(ws: Workspace, match: Match, id: str) -> None:
    try:
        item = match_view.item(ws, match, id)
    except GlanError as error:
        show_error(error)
        return
    place = " › ".join(escape(shorten(name, 40)) for name in (*item.taxonomy, item.subject) if name) or escape(item.skill)
    st.caption(" · ".join(part for part in (place, escape(item.level)) if part))
    unseen_heading.draw("Question")
    with st.container(border=True, key="question"):
        st.markdown(model_markdown(item.question))
    unseen_heading.draw("Answers")
    with st.grid(2, gap="small", min_column_width=300):
        for stage, spec, key in ((OURS, match.ours, match.ours_key), (OTHER, match.other, match.other_key)):
            with st.container(border=True):
                _answer(ws, match, item, stage, spec, key)
    if item.reference and REFERENCE not in (match.ours, match.other):
        with st.expander("Reference answer"):
            st.markdown(model_markdown(item.reference))
    _verdicts(ws, match, item)
    verdict_dispute.panel(ws, match, item.id)


def _answer(ws: Workspace, match: Match, item: GlanTestItem, stage: str, spec: str, key: str) -> None:
    st.markdown(f"**{escape(title(spec))}**")
    if key == REFERENCE:
        st.markdown(model_markdown(item.reference))
        return
    answer = match_rows.answer(ws.db, match.test, key, item.id)
    if answer is None:
        st.caption("No answer yet.")
        return
    scripted_badge(answer.teacher)
    st.markdown(model_markdown(answer.text) if answer.text.strip() else f"*{NOTHING}*")


def _verdicts(ws: Workspace, match: Match, item: GlanTestItem) -> None:
    """Draw the verdict for each order, or why there is none."""
    found = {verdict.swapped: verdict for verdict in match_rows.verdicts(ws.db, match.id, [item.id])}
    for swapped, settings in ((False, "A shown first"), (True, "B shown first")):
        with st.container(border=True, gap="xsmall"):
            if verdict := found.get(swapped):
                _verdict(verdict, settings)
            else:
                work = verdict_work(match.id, item.id, swapped=swapped)
                failed = match_rows.failed(ws.db, VERDICT, [work]).get(work)
                st.markdown(f"**{settings}** · no verdict")
                st.caption(f"{escape(failed[1])}" if failed else "Not judged yet.")
                if failed and failed[2]:
                    st.code(clean(failed[2][:2000]), language=None, wrap_lines=True)


def _verdict(verdict: Verdict, settings: str) -> None:
    summary = (
        f"**{settings}** · A {verdict.ours:g}, B {verdict.other:g} · {match_view.format_signed(verdict.ours - verdict.other)}"
    )
    if verdict.aspects:
        summary += "  \n" + " · ".join(f"{name} {a:g} / {b:g}" for name, (a, b) in verdict.aspects.items())
    st.markdown(summary.replace("+", r"\+"))
    if verdict.comment:
        st.caption(escape(shorten(verdict.comment, 600)))
