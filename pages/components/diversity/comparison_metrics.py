"""Metrics of two datasets side by side, their coverage of the taxonomy, and a table of all comparisons."""

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.diversity.comparison_queries import (
    covered_disciplines,
    format_value,
    kept_rows_by_discipline,
    metric_table,
    taxonomy_table,
)
from glan_core.diversity.comparison_store import THEIRS, Comparison
from glan_core.diversity.map_store import read_map
from glan_core.diversity.metric_store import METRICS
from glan_core.figures import comparison as pictures
from glan_core.formatting import ago, number, plural, shorten
from glan_core.workspace import Workspace
from pages.components.shared import page_frame, picture_table, plain_table, url_state
from pages.components.shared.untrusted_text import escape


def metrics_panel(one: Comparison) -> None:
    """Draw the metrics of both datasets with their difference."""
    st.header("Metrics", anchor=False)
    rows = metric_table(one)
    verdict = {"ours": "this workspace", "theirs": shorten(one.name, 24), "": "–"}
    plain_table.draw(
        pd.DataFrame({
            "measure": [METRICS[name].label for name in rows["measure"]], "ours": rows["ours"], "theirs": rows["theirs"],
            "difference": rows["difference"], "more": [verdict[more] for more in rows["more"]],
            "about": [METRICS[name].tooltip for name in rows["measure"]],
        }),
        hide_index=True, height="content", alt="Metrics of both datasets",
        column_config={
            "measure": st.column_config.TextColumn("Metric", width=150, pinned=True),
            "ours": st.column_config.TextColumn("This workspace", width=160, alignment="right"),
            "theirs": st.column_config.TextColumn(shorten(one.name, 24), width=160, alignment="right"),
            "difference": st.column_config.TextColumn("Difference", width=90, alignment="right", help="Other dataset minus this workspace."),
            "more": st.column_config.TextColumn("More diverse", width=110,
                                                help="According to this metric, if the confidence intervals do not overlap."),
            "about": st.column_config.TextColumn("Description", width=560),
        },
    )  # fmt: skip
    sampled = next((value.n for value in one.scopes[THEIRS].values() if value.low is not None), None)
    if sampled:
        st.caption(f"Sampled metrics use {number(sampled)} questions of each dataset; intervals are 95% resampling intervals.")


def taxonomy_coverage(ws: Workspace, tree: nx.DiGraph, one: Comparison) -> None:
    """Draw the taxonomy coverage of both datasets; the other one's questions count for the discipline of their nearest neighbor."""
    shown = read_map(ws, one.embedder, one.dims)
    if shown is None:
        return
    ours, focus = kept_rows_by_discipline(shown), url_state.focus()
    frame = taxonomy_table(tree, ours, one.disciplines, focus)
    st.header(
        "Taxonomy coverage", anchor=False,
        help=f"A question of {escape(one.name)} counts for the discipline of its nearest question in this workspace if their similarity "
        f"is at least {one.similarity:.2f}.",
    )  # fmt: skip
    elsewhere = one.disciplines.get("", 0)
    left, right = page_frame.main_and_detail()
    with left:
        if frame.empty:
            st.caption("Neither dataset has questions here.")
        else:
            st.plotly_chart(
                pictures.spread_figure(frame, shorten(one.name, 30), page_frame.figure_style(), focus), width="stretch",
                config={"displayModeBar": False}, key="compare_spread",
                alt=f"Share of the questions of both datasets in {plural(len(frame), 'part')} of the taxonomy",
            )  # fmt: skip
            if len(frame) > pictures.MAX_ROWS:
                st.caption(f"Showing the {pictures.MAX_ROWS} disciplines with most of its questions, of {number(len(frame))}.")
            picture_table.button(
                "spread", "Taxonomy coverage of both datasets", lambda: frame,
                {"name": "Part", "our_rows": "Questions here", "ours": "Share here", "their_rows": "Questions there", "theirs": "Share there"},
                {"ours": "%.1f %%", "theirs": "%.1f %%"},
            )  # fmt: skip
    with right:
        here, there = st.columns(2)
        here.metric("Disciplines here", number(covered_disciplines(tree, ours)))
        there.metric(
            "Disciplines there",
            number(covered_disciplines(tree, one.disciplines)),
            help="Disciplines with at least one of its questions.",
        )
        if elsewhere:
            st.caption(
                f"{plural(elsewhere, 'question')} of it ({elsewhere / one.rows:.0%}) {'has' if elsewhere == 1 else 'have'} no neighbor "
                "above this similarity and count for no discipline."
            )  # fmt: skip
        absent = frame[frame["their_rows"] == 0]["name"].tolist()
        if absent:
            st.caption(f"No questions of it in: {escape(shorten(', '.join(absent), 400))}.")
        st.caption("Focus a field to see its disciplines.")


def comparison_table(found: list[Comparison]) -> None:
    """Draw a table of all comparisons with one embedder, newest first."""
    st.header("All comparisons", anchor=False)
    by_words = "Wording only" if found and found[0].by_words else "Only"
    plain_table.draw(
        pd.DataFrame({
            "name": [one.name for one in found], "form": [one.form for one in found], "rows": [one.rows for one in found],
            "theirs": [one.only_theirs.value for one in found], "ours": [one.only_ours.value for one in found],
            "vendi": [_theirs(one, "vendi_1000") for one in found], "near": [_theirs(one, "near_share") for one in found],
            "made": [ago(one.made_at) for one in found],
        }),
        hide_index=True, height="content" if len(found) <= 8 else 320, alt="All comparisons, newest first",
        column_config={
            "name": st.column_config.TextColumn("Dataset", width=180), "form": st.column_config.TextColumn("Format", width=150),
            "rows": st.column_config.NumberColumn("Questions", format="localized", width=90),
            "theirs": st.column_config.NumberColumn(f"{by_words} there", format="%.1f %%", width=90),
            "ours": st.column_config.NumberColumn(f"{by_words} here", format="%.1f %%", width=90),
            "vendi": st.column_config.TextColumn(METRICS["vendi_1000"].label, width=160, alignment="right"),
            "near": st.column_config.TextColumn(METRICS["near_share"].label, width=160, alignment="right"),
            "made": st.column_config.TextColumn("Created", width=100),
        },
    )  # fmt: skip


def _theirs(one: Comparison, measure: str) -> str:
    value = one.scopes[THEIRS].get(measure)
    return format_value(value, measure) if value else "–"
