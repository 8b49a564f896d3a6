"""Tables whose cells show text of models and users as one clean line.

Streamlit lets people download every table as CSV, and spreadsheets compute cells that look like formulas, which can send other cells
to a foreign host or start programs. So an invisible character comes before such a cell.

Source: OWASP, CSV injection.
"""

import re
from typing import Any

import pandas as pd
import streamlit as st

from glan_core.untrusted import clean_line
from pages.components.shared.untrusted_text import JOINER

# At the beginning, or after what separates cells in many languages. Other signs than '=' need more to be a formula than to be a text.
_FORMULA = re.compile(r"(?:^|(?<=;)|(?<=; ))(?=[=＝]|[-+@＋－＠][^;]*[(|!])")


def draw(data: Any, **options: Any) -> Any:
    """Draw a table as `st.dataframe` does; texts in its cells become clean lines.

    Args:
        data: A frame; of one with styles, the cells must be clean.
        options: As of `st.dataframe`.
    """
    return st.dataframe(plain_frame(data) if isinstance(data, pd.DataFrame) else data, **options)


def plain_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with clean lines in place of the texts in its cells and its index, also of those in lists."""
    texts = [name for name in frame.columns if _has_text(frame[name].dtype)]
    frame = frame.assign(**{name: frame[name].map(_plain) for name in texts}) if texts else frame
    return frame.set_axis(frame.index.map(_plain)) if _has_text(frame.index.dtype) else frame


def _has_text(dtype: object) -> bool:
    return pd.api.types.is_object_dtype(dtype) or isinstance(dtype, pd.StringDtype)


def _plain(cell: object) -> object:
    if isinstance(cell, str):
        return _FORMULA.sub(JOINER, clean_line(cell))
    return [_plain(each) for each in cell] if isinstance(cell, list) else cell
