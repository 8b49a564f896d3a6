"""Two sets in numbers: their measures side by side, how they spread over the taxonomy, and all comparisons in one table."""

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.diversity.comparison_queries import measure_rows, our_disciplines, reach, said, taxonomy_rows
from glan_core.diversity.comparison_store import THEIRS, Comparison
from glan_core.diversity.map_store import read_map
from glan_core.diversity.metric_store import MEASURES
from glan_core.figures import comparison as pictures
from glan_core.formatting import ago, number, plural, shorten
from glan_core.workspace import Workspace
from pages.components.shared import page_frame, url_state
from pages.components.shared.untrusted_text import plain


def measures(one: Comparison) -> None:
    """Both sets' measures with the difference and what it says."""
    st.subheader("Measures side by side", anchor=False)
    rows = measure_rows(one)
    verdict = {"ours": "here", "theirs": shorten(one.name, 24), "": "–"}
    st.dataframe(
        pd.DataFrame({
            "measure": [MEASURES[name].label for name in rows["measure"]], "ours": rows["ours"], "theirs": rows["theirs"],
            "difference": rows["difference"], "more": [verdict[more] for more in rows["more"]],
            "about": [MEASURES[name].tooltip for name in rows["measure"]],
        }),
        hide_index=True, height="content", alt="Measures of both sets",
        column_config={
            "measure": st.column_config.TextColumn("Measure", width=150, pinned=True),
            "ours": st.column_config.TextColumn("Here", width=160, alignment="right"),
            "theirs": st.column_config.TextColumn(shorten(one.name, 24), width=160, alignment="right"),
            "difference": st.column_config.TextColumn("Difference", width=90, alignment="right", help="Theirs less ours."),
            "more": st.column_config.TextColumn("More diverse", width=110,
                                                help="By this measure, where the ranges of both do not overlap."),
            "about": st.column_config.TextColumn("What it says", width=560),
        },
    )  # fmt: skip
    sampled = next((value.n for value in one.scopes[THEIRS].values() if value.low is not None), None)
    if sampled:
        st.caption(f"Sampled measures look at {number(sampled)} questions of each set; ranges hold 95 in 100 resamples.")


def spread(ws: Workspace, tree: nx.DiGraph, one: Comparison) -> None:
    """The taxonomy coverage of both sets, theirs by the disciplines of their nearest questions here."""
    shown = read_map(ws, one.embedder, one.dims)
    if shown is None:
        return
    ours, focus = our_disciplines(shown), url_state.focus()
    frame = taxonomy_rows(tree, ours, one.disciplines, focus)
    st.subheader(
        "Over the taxonomy", anchor=False,
        help=f"Each question of {plain(one.name)} counts for the discipline of the question here that it is nearest to, where that "
        f"is at a similarity of {one.similarity:.2f} or more.",
    )  # fmt: skip
    elsewhere = one.disciplines.get("", 0)
    left, right = page_frame.picture_and_detail()
    with left:
        if frame.empty:
            st.caption("Neither set has questions here.")
        else:
            st.plotly_chart(
                pictures.spread_figure(frame, shorten(one.name, 30), page_frame.figure_style(), focus), width="stretch",
                config={"displayModeBar": False}, key="compare_spread",
            )  # fmt: skip
            if len(frame) > pictures.MOST_ROWS:
                st.caption(f"The {pictures.MOST_ROWS} with most of its questions, of {number(len(frame))}.")
    with right:
        here, there = st.columns(2)
        here.metric("Disciplines here", number(reach(tree, ours)))
        there.metric("Disciplines there", number(reach(tree, one.disciplines)), help="With at least one of its questions near.")
        if elsewhere:
            st.caption(
                f"{plural(elsewhere, 'question')} of it ({elsewhere / one.rows:.0%}) {'is' if elsewhere == 1 else 'are'} near none "
                "of the questions here that its disciplines are told by, and count for no discipline."
            )  # fmt: skip
        absent = frame[frame["their_rows"] == 0]["name"].tolist()
        if absent:
            st.caption(f"None of it in: {plain(shorten(', '.join(absent), 400))}.")
        st.caption("Focus on a field to see its disciplines.")


def overview(found: list[Comparison]) -> None:
    """All comparisons by one embedder, newest first."""
    st.subheader("All comparisons", anchor=False)
    st.dataframe(
        pd.DataFrame({
            "name": [one.name for one in found], "form": [one.form for one in found], "rows": [one.rows for one in found],
            "theirs": [one.only_theirs.value for one in found], "ours": [one.only_ours.value for one in found],
            "vendi": [_theirs(one, "vendi_1000") for one in found], "near": [_theirs(one, "near_share") for one in found],
            "made": [ago(one.made_at) for one in found],
        }),
        hide_index=True, height="content" if len(found) <= 8 else 320, alt="All comparisons, newest first",
        column_config={
            "name": st.column_config.TextColumn("Set", width=180), "form": st.column_config.TextColumn("Form", width=150),
            "rows": st.column_config.NumberColumn("Questions", format="localized", width=90),
            "theirs": st.column_config.NumberColumn("Only there", format="%.1f %%", width=90),
            "ours": st.column_config.NumberColumn("Only here", format="%.1f %%", width=90),
            "vendi": st.column_config.TextColumn(MEASURES["vendi_1000"].label, width=160, alignment="right"),
            "near": st.column_config.TextColumn(MEASURES["near_share"].label, width=160, alignment="right"),
            "made": st.column_config.TextColumn("Made", width=100),
        },
    )  # fmt: skip


def _theirs(one: Comparison, measure: str) -> str:
    value = one.scopes[THEIRS].get(measure)
    return said(value, measure) if value else "–"
