"""Comparison of two workspaces: counts, pairs by field, cost by stage, settings of the latest generation runs."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from glan_core.errors import GlanError
from glan_core.figures.paired_bars import PairedBar, paired_bars_figure, paired_bars_frame
from glan_core.formatting import number, plural
from glan_core.operations import workspace_comparison
from glan_core.operations.workspace_comparison import WorkspaceComparison
from glan_core.workspace import Workspace, workspace_facts
from pages.components.shared import page_frame, picture_table, plain_table
from pages.components.shared.untrusted_text import escape, show_error

MOST_FIELDS = 14  # pairs of bars drawn


def panel(opened: Workspace, folders: Sequence[Path]) -> None:
    """Draw the choice of two workspaces and their comparison."""
    names = [folder.name for folder in folders]
    if len(names) < 2:
        st.info(
            "A comparison needs two workspaces. Create another one, or duplicate this one to try other settings.",
            icon=":material/compare_arrows:",
        )
        return
    first, second = _choice(opened.folder.name, names)
    if first == second:
        st.info("Choose two different workspaces.")
        return
    places = {folder.name: folder for folder in folders}
    try:
        found = _compared(
            *(value for name in (first, second) for value in (str(places[name]), workspace_facts.changed_at(places[name])))
        )
    except GlanError as error:
        show_error(error)
        return
    left, right = page_frame.two_halves()
    with left:
        st.markdown("**Pairs by field**")
        _fields(found)
        st.markdown("**Calls and cost by stage**")
        _costs(found)
    with right:
        st.markdown("**Counts**")
        _counts(found)
        st.markdown("**Settings that differ**")
        _settings(found)


def _choice(current: str, names: Sequence[str]) -> tuple[str, str]:
    """Draw the two selection boxes."""
    state = st.session_state
    state.setdefault("compare_first", current)
    if state.compare_first not in names:
        state.compare_first = current
    if state.get("compare_other") not in names or state.compare_other == state.compare_first:
        state.compare_other = next(name for name in names if name != state.compare_first)
    with st.container(horizontal=True, gap="small"):
        first = st.selectbox("First workspace", names, key="compare_first", width=280)
        second = st.selectbox("Second workspace", names, key="compare_other", width=280)
    return first, second


@st.cache_data(max_entries=10, show_spinner="Comparing …")
def _compared(first: str, _changed: float, second: str, _also: float) -> WorkspaceComparison:
    one, other = Workspace.open(first), Workspace.open(second)
    try:
        return workspace_comparison.compare(one, other)
    finally:
        one.close()
        other.close()


def _fields(found: WorkspaceComparison) -> None:
    rows = [row for row in found.fields if any(row.pairs)]
    if not rows:
        st.caption("Neither workspace has pairs yet.")
        return
    bars = [PairedBar(row.field, row.group, row.pairs) for row in rows[:MOST_FIELDS]]
    st.caption(f"Upper, lighter bar: {escape(found.names[0])}. Lower bar: {escape(found.names[1])}.")
    st.plotly_chart(
        paired_bars_figure(bars, found.names, page_frame.figure_style()), width="stretch", config={"displayModeBar": False},
        key="workspace_fields", alt=f"Pairs of {plural(len(bars), 'field')} in both workspaces",
    )  # fmt: skip
    if more := len(found.fields) - len(bars):
        st.caption(f"and {plural(more, 'field')} with fewer or no pairs")
    picture_table.button(
        "fields", "Pairs by field", lambda: paired_bars_frame([PairedBar(row.field, row.group, row.pairs) for row in rows]),
        {"label": "Field", "group": "Group", "first": found.names[0], "second": found.names[1]},
    )  # fmt: skip


def _counts(found: WorkspaceComparison) -> None:
    rows = [(label, *values, workspace_comparison.change(values)) for label, values in found.counts.items()]
    _table(rows, found.names, "Count", "Counts of the workspaces", last="Change")


def _costs(found: WorkspaceComparison) -> None:
    if not found.stages:
        st.caption("No calls to teachers yet.")
        return
    rows = [
        (row.stage.capitalize(), *(f"{number(calls)} · {cost}" if calls else "–" for calls, cost in zip(row.calls, row.cost, strict=True)))
        for row in found.stages
    ]  # fmt: skip
    _table(rows, found.names, "Stage", "Calls and cost by stage")


def _settings(found: WorkspaceComparison) -> None:
    if found.settings is None:
        st.caption("Both workspaces need a generation run.")
        return
    said = f"Latest generation runs: {escape(found.runs[0])}, and {escape(found.runs[1])}."
    if not found.settings:
        st.caption(f"{said} Their settings are the same.")
        return
    st.caption(said)
    _table([(label, *values) for label, values in found.settings.items()], found.names, "Setting", "Settings that differ")


def _table(rows: Sequence[tuple], names: tuple[str, str], what: str, alt: str, *, last: str = "") -> None:
    """Draw a table with a row per figure and a column per workspace."""
    columns = ["label", "first", "second", *(["last"] if last else [])]
    frame = pd.DataFrame(rows, columns=columns)
    if not last:
        frame = frame.astype(str)
    kind = st.column_config.NumberColumn if last else st.column_config.TextColumn
    looks = {"format": "localized"} if last else {"alignment": "right"}
    plain_table.draw(
        frame, hide_index=True, height="content", alt=alt,
        column_config={
            "label": st.column_config.TextColumn(what, width=195, pinned=True),
            "first": kind(names[0], **looks), "second": kind(names[1], **looks),
            "last": st.column_config.TextColumn(last, alignment="right", width=80),
        },
    )  # fmt: skip
