"""Ranking of models by Bradley-Terry from verdicts and votes, and the agreement of judges and people."""

import pandas as pd
import streamlit as st

from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.model_ranking import FEWEST, Comparison, agreement, comparisons, rank_models
from glan_core.formatting import number, percent, plural
from glan_core.workspace import Workspace, chat_rows, match_rows
from pages.components.shared import plain_table
from pages.components.shared.untrusted_text import escape

SOURCES = {"all": "Judges and people", "verdicts": "Judges", "votes": "People"}


def panel(ws: Workspace, state: tuple) -> None:
    """Draw the ranking if there are comparisons of more than two models, or votes.

    Args:
        ws: Workspace.
        state: What the verdicts depend on; the votes are added.
    """
    votes = (
        tuple((vote.turn_id, vote.version, vote.choice, vote.best, vote.at) for vote in chat_rows.preferences(ws.db)),
        tuple(match_rows.votes(ws.db)),
    )
    found = _comparisons(ws, str(ws.folder), (state, votes))
    there = {one.source for one in found}
    if len({one.first for one in found} | {one.second for one in found}) < 3 and "votes" not in there:
        return
    st.header(
        "Ranking", anchor=False, help="Bradley-Terry ratings on the Elo scale from pairwise comparisons: 400 points are ten wins per loss. "
        "A tie is half a win. Unlike the table above, it uses all matches.",
    )  # fmt: skip
    chosen = "all"
    if len(there) > 1:
        chosen = st.segmented_control(
            "Comparisons by", list(SOURCES), format_func=SOURCES.get, default="all", key="ranking_source", required=True,
            label_visibility="collapsed", bind="query-params",
        )  # fmt: skip
    rows = rank_models([one for one in found if chosen in ("all", one.source)])
    plain_table.draw(
        pd.DataFrame({
            "rank": [row.rank for row in rows], "model": [title(row.model) for row in rows], "rating": [round(row.rating) for row in rows],
            "interval": ["too few" if row.low is None or row.high is None else f"{number(row.low)} to {number(row.high)}" for row in rows],
            "number": [row.number for row in rows],
        }),
        hide_index=True, height="content" if len(rows) <= 12 else 457, width=680, alt="Models by rating, best first",
        column_config={
            "rank": st.column_config.NumberColumn("Rank", width=50, help="Models whose intervals overlap share a rank."),
            "model": st.column_config.TextColumn("Model", width=220),
            "rating": st.column_config.NumberColumn("Rating", format="localized", width=70),
            "interval": st.column_config.TextColumn("95% interval", width=110, alignment="right", help="Bootstrap over comparisons (200 resamples)."),
            "number": st.column_config.NumberColumn(
                "Comparisons", format="localized", width=95, help=f"Judged questions and votes; at least {FEWEST} for an interval."
            ),
        },
    )  # fmt: skip
    used = [one for one in found if chosen in ("all", one.source)]
    if left := {model for one in used for model in (one.first, one.second)} - {row.model for row in rows}:
        st.caption(f"Not ranked, because not compared with these: {escape(', '.join(sorted(map(title, left))))}.")
    _agreement(found)


def _agreement(found: list[Comparison]) -> None:
    """Draw how far judges and people prefer the same models."""
    result = agreement(found)
    if not result.pairs:
        return
    said = (
        f"Judges and people prefer the same model in {result.same} of {plural(len(result.pairs), 'pair')} that both compared: "
    )
    parts = [
        f"{title(first)} vs {title(second)} {percent(judges)} by judges (n {number(n)}), {percent(people)} by people (n {number(m)})"
        for first, second, judges, people, n, m in result.pairs[:4]
    ]
    st.caption(escape(f"{said}{'; '.join(parts)}."), help="Share of the comparisons won by the first model; ties count half.")


@st.cache_data(max_entries=10, show_spinner=False)
def _comparisons(_ws: Workspace, folder: str, state: tuple) -> list[Comparison]:
    return comparisons(_ws)
