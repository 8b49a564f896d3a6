"""Snapshots view: list, details and creation of fixed versions of the dataset."""

import time
from datetime import date

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.dataset import snapshot_store
from glan_core.dataset.card import field_bars
from glan_core.dataset.glan_test_store import list_tests
from glan_core.dataset.manifest import Manifest
from glan_core.dataset.settings import RowSelection, SnapshotSettings
from glan_core.errors import GlanError
from glan_core.figures.coverage_bars import coverage_figure
from glan_core.formatting import ago, exact, number, plural, shorten
from glan_core.settings import read_settings
from glan_core.workspace import Workspace
from pages.components.dataset import row_choice, snapshot_comparison
from pages.components.shared import job_panel, page_frame, picture_table, plain_table, row_selection, settings_fields
from pages.components.shared.untrusted_text import escape, show_error

KINDS = ("snapshot", "export")
CHECKS = {
    "filter": "Quality filters", "judge": "Judge", "dedup": "Near-duplicates", "decontaminate": "Benchmarks",
}  # fmt: skip
PICKED = "picked_snapshot"
TAKEN = "snapshot_begun"  # set once a snapshot is started, to clear the name field
MOST_FIELDS = 16  # bars drawn


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the list of snapshots, the selected one, and the form for a new one."""
    busy = job_panel.show_progress(ws, *KINDS)
    if not busy:
        row_choice.last_result(ws, "snapshot")
    found = snapshot_store.list_snapshots(ws)
    left, right = page_frame.two_halves()
    with left:
        selection = _table(found) if found else None
        if not ws.read_only:
            _take(ws, tree, {one.name for one in found}, busy=busy)
    with right:
        if selection:
            _detail(ws, tree, selection)
        else:
            st.info(
                "No snapshots yet. A snapshot is a fixed version of the dataset with a name and a hash; later edits and checks do "
                "not change it." + (" This workspace is read-only." if ws.read_only else ""),
                icon=":material/photo_camera:",
            )  # fmt: skip
    if selection:
        snapshot_comparison.panel(ws, found, selection)


def _table(found: list[Manifest]) -> Manifest:
    """Draw the table of snapshots, newest first; returns the selected one."""
    names = [one.name for one in found]
    at, picking = row_selection.single_row_selection(
        f"snapshots_{len(found)}_{int(found[0].created_at)}", names, PICKED, "snapshot"
    )
    plain_table.draw(
        pd.DataFrame({
            "name": names, "pairs": [one.number for one in found], "train": [one.rows.get("train", 0) for one in found],
            "validation": [one.rows.get("validation", 0) for one in found], "split": [_split(one) for one in found],
            "made": [ago(one.created_at) for one in found], "hash": [short_hash(one) for one in found],
        }),
        **picking, hide_index=True, alt="Snapshots, newest first",
        height="content" if len(found) <= 8 else 320,
        column_config={
            "name": st.column_config.TextColumn("Snapshot", width=104),
            "pairs": st.column_config.NumberColumn("Pairs", format="localized", width=56),
            "train": st.column_config.NumberColumn("Training", format="localized", width=64),
            "validation": st.column_config.NumberColumn("Validation", format="localized", width=64),
            "split": st.column_config.TextColumn("Split by", width=66),
            "made": st.column_config.TextColumn("Created", width=72),
            "hash": st.column_config.TextColumn("Hash", width=68, help="First characters of the SHA-256 over all rows and the split."),
        },
    )  # fmt: skip
    return found[at]


def _split(manifest: Manifest) -> str:
    return "concepts" if manifest.split == "combination" else manifest.split


def short_hash(manifest: Manifest) -> str:
    """Return the first characters of a snapshot's hash."""
    return manifest.hash.removeprefix("sha256:")[:8]


def _take(ws: Workspace, tree: nx.DiGraph, existing_names: set[str], *, busy: bool) -> None:
    """Draw the form for a new snapshot, with the number of rows before the button."""
    with st.container(border=True):
        st.markdown("**Create snapshot**")
        if st.session_state.pop(TAKEN, None):
            st.session_state.run_snapshot_name = ""
        hint = _free_name(ws, existing_names)
        name = (
            st.text_input(key="run_snapshot_name", placeholder=hint, **settings_fields.text(SnapshotSettings, "name")).strip()
            or hint
        )
        choice = row_choice.fields(ws, tree, "snapshot", split=settings_fields.default(SnapshotSettings, "split"))
        count, left = row_choice.count(ws, tree, choice)
        also = (
            ", and pairs held out by GLAN-Tests" if list_tests(ws) else ""
        )  # their number is known only after reading all rows
        st.caption(f"Excluded: {row_choice.describe_excluded(left)}{also}.")
        trains = row_choice.show_held_out(ws, choice)
        if name in existing_names:
            st.caption(f":orange[Snapshot {escape(name)} already exists. Choose another name.]")
        label = f"Create snapshot ({'up to ' if list_tests(ws) else ''}{plural(count, 'pair')})"
        # Not a callback: it would not see the field that this click deselects.
        if st.button(
            label,
            type="primary",
            icon=":material/photo_camera:",
            key="freeze",
            disabled=busy or not count or not trains or name in existing_names,
        ):
            _begin(ws, name, choice)


def _begin(ws: Workspace, name: str, choice: RowSelection) -> None:
    """Start the job that creates a snapshot."""
    try:
        settings = read_settings(SnapshotSettings, {**choice.model_dump(mode="json"), "name": name})
    except GlanError as error:
        show_error(error)
        return
    job_panel.start_jobs(ws, settings, title=f"Snapshot {name}")
    st.session_state.update({PICKED: name, TAKEN: True})
    st.rerun()


def _free_name(ws: Workspace, existing_names: set[str]) -> str:
    """Return an unused snapshot name with today's date."""
    name = f"{ws.folder.name[:40]}-{date.today().isoformat()}"
    return (
        name
        if name not in existing_names
        else next(f"{name}-{n}" for n in range(2, len(existing_names) + 3) if f"{name}-{n}" not in existing_names)
    )


def _detail(ws: Workspace, tree: nx.DiGraph, one: Manifest) -> None:
    """Draw the details of a snapshot and its actions."""
    st.markdown(f"**{escape(one.name)}**")
    st.caption(f"{plural(one.number, 'pair')}: {row_choice.describe_split(one.rows)}. Created {exact(one.created_at)}.")
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Export", icon=":material/download:", key="export_this", on_click=st.session_state.update,
            kwargs={"dataset_view": "Export", "export_source": one.name},
        )  # fmt: skip
        if st.button(
            "Verify",
            icon=":material/verified:",
            help=f"Reads all {number(one.number)} rows and compares their hash with the stored one.",
        ):
            _verify(ws, one)
        if not ws.read_only:
            with st.popover("Remove", icon=":material/delete:", key="remove_snapshot"):
                st.markdown(
                    f"Remove **{escape(one.name)}**? Models trained on it can no longer be traced to their rows. It can be restored on the "
                    "Workspaces page."
                )
                st.button(
                    f"Remove {plural(one.number, 'pair')}", icon=":material/delete:", key=f"remove_it_{one.name}", on_click=_remove,
                    args=(ws, one.name),
                )  # fmt: skip
    if summary := st.session_state.get(f"verified_{one.hash}"):
        whole, at = summary
        if whole:
            st.success(f"The rows match the hash. Verified {ago(at)}.", icon=":material/verified:")
        else:
            st.error("The rows do not match the hash: the files were modified. Remove this snapshot and create a new one.")
    bars = field_bars(one)
    st.plotly_chart(
        coverage_figure(bars[:MOST_FIELDS], page_frame.figure_style()), width="stretch", config={"displayModeBar": False},
        key="snapshot_coverage", alt=f"Pairs of {plural(len(bars), 'field')}",
    )  # fmt: skip
    if len(bars) > MOST_FIELDS:
        st.caption(f"and {plural(len(bars) - MOST_FIELDS, 'more field')}")
    picture_table.button(
        "snapshot_fields", "Pairs by field", lambda: pd.DataFrame(bars), {"field": "Field", "group": "Group", "rows": "Pairs"}
    )
    with st.container(gap="xsmall"):
        for label, words in _facts(tree, one):
            st.markdown(f":gray[{label}] {words}")
        st.caption(f"`{one.hash}`")


def _facts(tree: nx.DiGraph, one: Manifest) -> list[tuple[str, str]]:
    """Return the facts of a snapshot as labels with Markdown."""
    covered = one.coverage
    facts = [
        ("Split", f"{row_choice.SPLITS[one.split].lower()}" + (
            f", {one.validation_share:.0%} requested, seed {one.seed}. {snapshot_store.split_warning(one)}" if one.split != "none" else "")),
        ("Excluded", row_choice.describe_excluded(one.left_out)),
    ]  # fmt: skip
    if one.include:
        facts.append(("Included anyway", ", ".join(row_choice.TAKE_IN[why].lower() for why in one.include)))
    if ids := one.asked.get("disciplines"):
        names = [tree.nodes[id]["node"].name if id in tree else id for id in ids]
        facts.append(
            ("Disciplines", escape(shorten(", ".join(names), 160)) + (f" ({number(len(names))})" if len(names) > 3 else ""))
        )
    facts += [(f"{what.capitalize()}s by", _teachers(names)) for what, names in one.teachers.items()]
    facts += [(words, _check(one, name)) for name, words in CHECKS.items() if name != "judge" or one.checks.get(name)]
    reach = f"{number(covered.disciplines_with_rows)} of {plural(covered.disciplines, 'discipline')}"
    concepts = (
        f", {number(covered.concepts_asked)} of {number(covered.concepts)} key concepts covered by questions in the workspace"
    )
    facts.append(("Coverage", reach + (concepts if covered.concepts else "")))
    return facts


def _teachers(names: dict[str, int]) -> str:
    return ", ".join(f"{escape(shorten(name, 60))} ({number(count)})" for name, count in list(names.items())[:6])


def _check(one: Manifest, name: str) -> str:
    """Return when a check ran and how many rows of the snapshot are newer."""
    check = one.checks.get(name)
    if not check or check.get("splits") == []:
        return ":orange[not run]"
    late = check.get("rows_after", 0)
    return f"run {exact(check.get('at'))[:10]}" + (f", {plural(late, 'row')} added since" if late and name != "judge" else "")


def _verify(ws: Workspace, one: Manifest) -> None:
    try:
        with st.spinner(f"Reading {number(one.number)} rows …"):
            st.session_state[f"verified_{one.hash}"] = (snapshot_store.verify_snapshot(ws, one.name), time.time())
    except GlanError as error:
        show_error(error)


def _remove(ws: Workspace, name: str) -> None:
    job_panel.run_action(snapshot_store.remove_snapshot, ws, name)
    if st.session_state.get("export_source") == name:
        st.session_state.export_source = ""
