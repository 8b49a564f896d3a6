"""Comparison of the selected snapshot with another one."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from glan_core.dataset import snapshot_comparison
from glan_core.dataset.manifest import Manifest
from glan_core.dataset.snapshot_comparison import SharedRows, SnapshotComparison
from glan_core.errors import GlanError
from glan_core.figures.paired_bars import PairedBar, paired_bars_figure, paired_bars_frame
from glan_core.formatting import number, percent, plural
from glan_core.workspace import Workspace
from pages.components.shared import page_frame, picture_table, plain_table
from pages.components.shared.untrusted_text import escape, show_error

MOST_BARS = 12  # disciplines drawn


def panel(ws: Workspace, found: Sequence[Manifest], selected: Manifest) -> None:
    """Draw the choice of the other snapshot, and the comparison."""
    others = {one.name: one for one in found if one.name != selected.name}
    if not others:
        return
    if st.session_state.get("compare_snapshot") not in others:
        st.session_state.compare_snapshot = None
    name = st.selectbox(
        f"Compare {escape(selected.name)} with", list(others), None, key="compare_snapshot", placeholder="another snapshot",
        width=300, help=f"Reads all rows of both ({number(selected.number)} of this one).",
    )  # fmt: skip
    if name is None:
        return
    try:
        compared = _compared(str(ws.folder), selected.name, name, selected.hash, others[name].hash)
    except GlanError as error:
        show_error(error)
        return
    _show(compared, {entry.name: entry.group for one in (selected, others[name]) for entry in one.disciplines.values()})


@st.cache_data(max_entries=10, show_spinner="Reading the rows of both snapshots …")
def _compared(folder: str, first: str, second: str, *_hashes: str) -> SnapshotComparison:
    ws = Workspace.open(folder)
    try:
        return snapshot_comparison.compare_snapshots(ws, first, second)
    finally:
        ws.close()


def _show(found: SnapshotComparison, groups: dict[str, str]) -> None:
    left, right = page_frame.two_halves()
    with left:
        _shared(found.shared, found.names)
        st.markdown("**Rows by discipline**")
        differ = [row for row in found.disciplines if row.rows[0] != row.rows[1]]
        bars = [PairedBar(row.name, groups.get(row.name, ""), row.rows) for row in (differ or found.disciplines)[:MOST_BARS]]
        st.caption(
            f"Upper, lighter bar: {escape(found.names[0])}. Lower bar: {escape(found.names[1])}. "
            + ("Largest differences first." if differ else "The counts of all disciplines are equal.")
        )
        st.plotly_chart(
            paired_bars_figure(bars, found.names, page_frame.figure_style()), width="stretch", config={"displayModeBar": False},
            key="snapshot_disciplines", alt=f"Rows of {plural(len(bars), 'discipline')} in both snapshots",
        )  # fmt: skip
        if len(differ) > len(bars):
            st.caption(f"and {plural(len(differ) - len(bars), 'more discipline')} with different counts")
        picture_table.button(
            "snapshots_rows", "Rows by discipline",
            lambda: paired_bars_frame([PairedBar(row.name, groups.get(row.name, ""), row.rows) for row in found.disciplines]),
            {"label": "Discipline", "group": "Group", "first": found.names[0], "second": found.names[1]},
        )  # fmt: skip
    with right:
        st.markdown("**Rows**")
        _table(
            [(label, *map(number, values)) for label, values in found.rows.items()],
            found.names,
            "Rows",
            "Rows of the snapshots",
        )
        st.markdown("**Settings that differ**")
        if found.settings:
            _table(
                [(label, *values) for label, values in found.settings.items()], found.names, "Setting", "Settings that differ"
            )
        else:
            st.caption("Split, seed, filters, teachers and checks are the same.")


def _shared(shared: SharedRows, names: tuple[str, str]) -> None:
    """Draw which rows both snapshots have."""
    first, second = (escape(name) for name in names)
    with st.container(horizontal=True, gap="medium"):
        st.metric("Rows in both", number(shared.both), help="Rows with the same question, by its ID.")
        st.metric("Overlap", percent(shared.overlap), help="Rows in both as a share of all rows of either (Jaccard index).")
        st.metric(f"Only in {first}", number(shared.only[0]))
        st.metric(f"Only in {second}", number(shared.only[1]))
    if shared.changed:
        st.caption(f"{plural(shared.changed, 'row')} in both with another question or answer text.")
    for count, train, test in ((shared.leaked[0], first, second), (shared.leaked[1], second, first)):
        if count:
            st.caption(
                f":orange[:material/warning:] {plural(count, 'training row')} of {train} in the validation split of {test}: a model "
                f"trained on {train} has seen them."
            )


def _table(rows: Sequence[tuple[str, ...]], names: tuple[str, str], what: str, alt: str) -> None:
    plain_table.draw(
        pd.DataFrame(rows, columns=["label", "first", "second"]), hide_index=True, height="content", alt=alt,
        column_config={
            "label": st.column_config.TextColumn(what, width=150, pinned=True),
            "first": st.column_config.TextColumn(names[0], alignment="right"),
            "second": st.column_config.TextColumn(names[1], alignment="right"),
        },
    )  # fmt: skip
