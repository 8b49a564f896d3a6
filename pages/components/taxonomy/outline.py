"""The taxonomy as an indented, searchable table that works by keyboard and without color."""

from collections.abc import Mapping

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.records import Node
from glan_core.taxonomy import hierarchy
from glan_core.taxonomy.coverage import Coverage
from pages.components.shared import plain_table, row_selection, url_state

MOST = 500  # rows shown at once


def panel(tree: nx.DiGraph, standings: Mapping[str, Coverage]) -> None:
    """Draw the table; selecting a row focuses and expands it, deselecting moves the focus to its parent."""
    focus = url_state.focus()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = st.text_input("Search", placeholder="name or description", key="taxonomy_search", icon=":material/search:")
        whole = st.toggle("Expand all", key="unfold", bind="query-params")
    found = visible(tree, focus, search, whole=whole)
    nodes = found[:MOST]
    if not nodes:
        st.info("No nodes match this search.", icon=":material/search_off:")
        return
    above = {node.id for node in hierarchy.path(tree, focus)} if focus else set()

    def pick(row: int | None) -> None:
        url_state.set_focus(tree.nodes[focus]["node"].parent_id if row is None else nodes[row].id)

    key = f"outline_{focus}_{search}_{whole}"  # other rows need another key, or a row would stay selected by its number
    at = next((number for number, node in enumerate(nodes) if node.id == focus), None)
    plain_table.draw(
        _frame(tree, standings, nodes, above, whole=whole or bool(search.strip())),
        **row_selection.clickable_rows(key, at, pick, len(nodes)), hide_index=True, alt="Taxonomy as an outline",
        height="content" if len(nodes) <= 17 else 640,
        column_config={
            "name": st.column_config.TextColumn("Field, sub-field, discipline", width=318),
            "disciplines": st.column_config.TextColumn("Disciplines", width=80, alignment="right"),
            "share": st.column_config.ProgressColumn("Target", format="%.0f%%", min_value=0, max_value=100, width=100),
            "pairs": st.column_config.NumberColumn("Pairs", format="localized", width=60),
        },
    )  # fmt: skip
    if len(found) > MOST:
        st.caption(f"Showing the first {MOST} of {len(found):,}; use the search to narrow.")


def visible(tree: nx.DiGraph, focus: str | None, search: str, *, whole: bool) -> list[Node]:
    """Return the nodes to show: search results with their ancestors, or the top level and the expanded path."""
    nodes = list(hierarchy.walk(tree))
    if search.strip():
        wanted = search.casefold().split()
        found = [n for n in nodes if all(w in f"{n.name} {n.description}".casefold() for w in wanted)]
        shown = {above.id for n in found for above in hierarchy.path(tree, n.id)}
        return [n for n in nodes if n.id in shown]
    unfolded = {None, *(n.id for n in hierarchy.path(tree, focus))} if focus else {None}
    return [n for n in nodes if whole or n.parent_id in unfolded]


def _frame(
    tree: nx.DiGraph, standings: Mapping[str, Coverage], nodes: list[Node], above: set[str], *, whole: bool
) -> pd.DataFrame:
    def name(node: Node) -> str:
        sign = "" if node.kind == "discipline" else "▾ " if whole or node.id in above else "▸ "
        return "\u2003" * (len(hierarchy.path(tree, node.id)) - 1) + sign + node.name

    there = [standings[node.id] for node in nodes]
    return pd.DataFrame(
        {
            "name": [name(node) for node in nodes],
            "disciplines": [f"{s.disciplines:,}" if n.kind != "discipline" else "" for s, n in zip(there, nodes, strict=True)],
            "share": [None if s.share is None else 100 * s.share for s in there],
            "pairs": [int(s.counts["pairs"]) for s in there],
        }
    )
