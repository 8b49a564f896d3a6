"""Funnel view: rows left after each step, and why and where the others are excluded."""

from collections.abc import Mapping

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.dataset.quality_filter_job import RULES
from glan_core.figures.funnel import EXCLUDED, funnel_figure, funnel_frame
from glan_core.formatting import ago, number, plural
from glan_core.taxonomy import coverage, hierarchy
from glan_core.workspace import Workspace, homework_rows, tag_rows
from pages.components.shared import page_frame, picture_table, plain_table, row_selection, url_state

CHECKS = {"filter": "Filters", "judge": "Judge", "dedup": "Duplicates", "decontaminate": "Benchmarks"}
NAMES = {
    "exact": "exact duplicate", "near": "near duplicate", "meaning": "semantic duplicate", "judge": "low judge score",
    **{rule.name: rule.label for rule in RULES.values()},
}  # fmt: skip


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the funnel, the reasons and the disciplines."""
    standings = coverage.coverage_by_node(ws, tree)
    standing = standings[url_state.focus() or ""]
    left, right = page_frame.main_and_detail()
    with left:
        frame = funnel_frame(standing)
        st.plotly_chart(
            funnel_figure(frame, page_frame.figure_style()), width="stretch", config={"displayModeBar": False}, key="funnel_figure",
            alt=f"{number(frame['left'].iloc[-1])} of {plural(int(frame['left'].iloc[0]), 'question')} pass all steps",
        )  # fmt: skip
        picture_table.button("funnel", "Rows by step", lambda: frame, {"words": "Step", "left": "Remaining", "out": "Removed"})
        _disciplines(tree, standings)
    with right:
        _checks(ws)
        _reasons(ws, standing)


def _checks(ws: Workspace) -> None:
    """Draw which checks have run and how many questions are newer."""
    st.markdown("**Checks**")
    newest = homework_rows.last_seq(ws.db)
    with st.container(gap="xsmall"):
        for check, view in CHECKS.items():
            fact = ws.metadata(f"check:{check}")
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.button(
                    view, type="tertiary", key=f"to_{check}", on_click=st.session_state.update, kwargs={"dataset_view": view},
                    icon=":material/check_circle:" if fact else ":material/radio_button_unchecked:",
                )  # fmt: skip
                st.caption(_told(fact, newest), width="content")


def _told(fact: Mapping | None, newest: int) -> str:
    if not fact:
        return "not run yet"
    since = newest - fact.get("up_to", newest)
    return f"{ago(fact.get('at'))}" + (f", about {number(since)} added since" if since > 0 else "")


def _reasons(ws: Workspace, standing: coverage.Coverage) -> None:
    """Draw the reasons for exclusion, for the whole workspace."""
    counts = tag_rows.tag_counts(ws.db)
    out = int(sum(standing.counts[f"dropped_{reason}"] for reason in tag_rows.REASONS))
    st.markdown(f"**{plural(out, 'pair')} excluded**")
    if rejected := int(standing.counts["dropped_rejected"]):
        st.caption(f"{number(rejected)} of them rejected in review.")
    if not counts:
        st.caption("No check has found anything.")
        return
    rows = sorted(counts.items(), key=lambda item: (-tag_rows.REASONS.index(item[0][0]), item[1][0]), reverse=True)
    plain_table.draw(
        pd.DataFrame({
            "why": [EXCLUDED[kind].capitalize() for (kind, _), _ in rows],
            "what": [NAMES.get(name, name) for (_, name), _ in rows],
            "tagged": [tagged for _, (tagged, _) in rows], "overruled": [overruled or None for _, (_, overruled) in rows],
        }),
        hide_index=True, placeholder="–", height="content" if len(rows) <= 10 else 387, alt="Findings of the checks",
        column_config={
            "why": st.column_config.TextColumn("Reason", width=88),
            "what": st.column_config.TextColumn("Finding", width=120),
            "tagged": st.column_config.NumberColumn("Pairs", format="localized", width=55),
            "overruled": st.column_config.NumberColumn("Overruled", format="localized", width=55, help="Included anyway by a reviewer."),
        },
    )  # fmt: skip
    st.caption("Whole workspace. A pair with several findings counts once in the funnel, for the first reason.")


def _disciplines(tree: nx.DiGraph, standings: Mapping[str, coverage.Coverage]) -> None:
    """Draw the kept share by discipline, lowest first."""
    ids = [id for id in hierarchy.disciplines_under(tree, url_state.focus()) if standings[id].counts["pairs"]]
    if not ids:
        st.caption("No discipline in focus has pairs.")
        return
    ids.sort(key=lambda id: (standings[id].kept_share, -standings[id].counts["pairs"]))
    some = [standings[id] for id in ids]
    frame = {
        "discipline": [tree.nodes[id]["node"].name for id in ids],
        "pairs": [int(one.counts["pairs"]) for one in some],
        **{reason: [int(one.counts[f"dropped_{reason}"]) or None for one in some] for reason in tag_rows.REASONS},
        "kept": [one.kept for one in some], "share": [100 * (one.kept_share or 0) for one in some],
    }  # fmt: skip
    counted = {name: st.column_config.NumberColumn(words, format="localized", width=width) for name, words, width in (
        ("pairs", "Pairs", 52), ("rejected", "Rejected", 70), ("quality", "Filtered", 66), ("duplicate", "Duplicates", 82),
        ("contaminated", "Benchmark", 88), ("kept", "Kept", 50))}  # fmt: skip

    def choose(row: int | None) -> None:
        if row is not None:
            url_state.set_focus(ids[row])

    plain_table.draw(
        pd.DataFrame(frame), hide_index=True, placeholder="–", height="content" if len(ids) <= 8 else 320,
        **row_selection.clickable_rows("funnel_disciplines", None, choose, len(ids)), alt="Kept pairs by discipline",
        column_config={
            "discipline": st.column_config.TextColumn("Discipline", width=126), **counted,
            "share": st.column_config.ProgressColumn("Kept", format="%.0f%%", min_value=0, max_value=100, width=80),
        },
    )  # fmt: skip
