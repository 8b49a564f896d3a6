"""The values of a picture as a table, for users who read by ear or work by keyboard."""

from collections.abc import Callable, Mapping

import pandas as pd
import streamlit as st

from pages.components.shared import plain_table

TALL = 11  # rows, from which on the table scrolls


def button(
    key: str, title: str, rows: Callable[[], pd.DataFrame], columns: Mapping[str, str], formats: Mapping[str, str] | None = None
) -> None:
    """Draw a button that opens the table; the rows are read only once it is open.

    Args:
        key: Key of the picture.
        title: Title of the table.
        rows: Returns the values.
        columns: Titles of the columns to show, by name; names that the rows lack are left out.
        formats: Format by name as in `st.column_config.NumberColumn`; whole numbers have separators without one.
    """
    opened = st.popover(
        "Data", icon=":material/table:", type="tertiary", key=f"data_{key}", on_change="rerun", help=f"{title} as a table"
    )
    if not opened.open:
        return
    with opened:
        frame = rows()
        frame = frame[[name for name in columns if name in frame]]
        st.markdown(f"**{title}**")
        if frame.empty:
            st.caption("No values.")
            return
        formats = {name: "localized" for name in frame if pd.api.types.is_integer_dtype(frame[name])} | dict(formats or {})
        plain_table.draw(
            frame, hide_index=True, placeholder="–", alt=title, width="content", height="content" if len(frame) <= TALL else 400,
            column_config={
                name: st.column_config.NumberColumn(columns[name], format=formats[name]) if name in formats else columns[name]
                for name in frame
            },
        )  # fmt: skip
