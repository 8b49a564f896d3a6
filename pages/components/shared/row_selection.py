"""Selection of table rows: a click anywhere on a row selects it, and the selection is in the URL."""

from collections.abc import Callable, Sequence

import streamlit as st


def select_rows(key: str, rows: Sequence[int]) -> None:
    """Set the selected rows of a table before it is drawn.

    The state is written only if it differs, because a write counts as a selection by the user.
    """
    selection = st.session_state.get(key, {}).get("selection", {})
    if list(selection.get("rows", [])) != list(rows) or selection.get("cells"):
        st.session_state[key] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}


def clickable_rows(key: str, at: int | None, choose: Callable[[int | None], None], count: int) -> dict:
    """Return the keyword arguments of `st.dataframe` for a table with at most one selected row.

    Args:
        key: Widget key; it must differ for tables with other rows, or a row would stay selected by its number.
        at: The selected row; None if the choice is shown elsewhere, so that no row stays selected.
        choose: Called with the clicked row, or with None if the selected row was deselected by its box.
        count: Number of rows.
    """
    select_rows(key, [] if at is None else [at])

    def clicked() -> None:
        selection = st.session_state[key].selection
        rows = list(selection.rows)
        if selection.cells and rows == ([] if at is None else [at]):  # a click on a cell leaves the rows as they were
            rows = [selection.cells[0][0]]
        if rows and rows[0] >= count:
            return
        choose(rows[0] if rows else None)

    return {"key": key, "on_select": clicked, "selection_mode": ("single-row", "single-cell")}


def single_row_selection(key: str, names: Sequence[str], picked: str, in_url: str) -> tuple[int, dict]:
    """Return the selected row of a table and the keyword arguments of `st.dataframe` that keep the selection.

    Args:
        key: Widget key; it must differ for tables with other rows.
        names: Names of the rows.
        picked: Key of the session state that stores the selected name; the first row is the default.
        in_url: URL parameter with the selected name.
    """
    name = st.session_state.get(picked) or st.query_params.get(in_url)
    at = names.index(name) if name in names else 0
    st.session_state[picked] = st.query_params[in_url] = names[at]

    def choose(row: int | None) -> None:
        if row is not None:
            st.session_state[picked] = names[row]

    return at, clickable_rows(key, at, choose, len(names))


def several_rows(key: str, count: int) -> tuple[list[int], dict]:
    """Return the selected rows of a table and its keyword arguments; a click on a row adds or removes it.

    Args:
        key: Widget key; it must differ for tables with other rows.
        count: Number of rows.
    """
    before = _rows(key)

    def clicked() -> None:
        selection = st.session_state[key].selection
        if selection.cells and list(selection.rows) == before:
            select_rows(key, sorted(set(before) ^ {selection.cells[0][0]}))

    return [row for row in before if row < count], {
        "key": key, "on_select": clicked, "selection_mode": ("multi-row", "single-cell"),
    }  # fmt: skip


def optional_row(key: str, count: int) -> tuple[int | None, dict]:
    """Return the selected row of a table, or None, and its keyword arguments; a click on it again deselects it.

    Args:
        key: Widget key; it must differ for tables with other rows.
        count: Number of rows.
    """
    at = next(iter(_rows(key)), None)

    def choose(row: int | None) -> None:
        select_rows(key, [] if row is None else [row])

    return at if at is not None and at < count else None, clickable_rows(key, at, choose, count)


def _rows(key: str) -> list[int]:
    return list(st.session_state.get(key, {}).get("selection", {}).get("rows", []))
