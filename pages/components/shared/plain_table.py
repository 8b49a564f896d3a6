"""Tables whose cells show text of models and users as one clean line."""

from typing import Any

import pandas as pd
import streamlit as st

from glan_core.untrusted import clean_line


def draw(data: Any, **options: Any) -> Any:
    """Draw a table as `st.dataframe` does; texts in its cells become clean lines.

    Args:
        data: A frame; of one with styles, the cells must be clean.
        options: As of `st.dataframe`.
    """
    return st.dataframe(plain_frame(data) if isinstance(data, pd.DataFrame) else data, **options)


def plain_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with clean lines in place of the texts in its cells, also of those in lists."""
    texts = [name for name in frame.columns if frame[name].dtype == object or isinstance(frame[name].dtype, pd.StringDtype)]
    return frame.assign(**{name: frame[name].map(_plain) for name in texts}) if texts else frame


def _plain(cell: object) -> object:
    if isinstance(cell, str):
        return clean_line(cell)
    return [_plain(each) for each in cell] if isinstance(cell, list) else cell
