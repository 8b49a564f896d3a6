"""Cells of tables: downloaded as CSV and opened in a spreadsheet, no text of a model is computed as a formula."""

import pandas as pd
import pytest

from pages.components.shared.plain_table import plain_frame
from pages.components.shared.untrusted_text import JOINER


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("https://hostile.invalid","open")', "=1", "=A1", " \t=1+1", "\n=1", "\x1b[1m=1", "+SUM(1)", "-2+3+cmd|' /C calc'!A0",
        "@SUM(1+1)", "＝1+1", "＠SUM(1)", "＋cmd|x", "－cmd|x",
    ],
)  # fmt: skip
def test_a_formula_is_a_text(text):
    frame = plain_frame(pd.DataFrame({"text": [text], "list": [[text]]}, index=[text]))
    for cell in (frame["text"].iloc[0], frame["list"].iloc[0][0], frame.index[0]):
        assert cell.startswith(JOINER) and cell.removeprefix(JOINER) == cell[1:]


def test_a_formula_after_a_semicolon_is_a_text():
    """Spreadsheets of many languages separate columns of a CSV file by semicolons."""
    (cell,) = plain_frame(pd.DataFrame({"text": ["a; =1;=2;x"]}))["text"]
    assert cell == f"a; {JOINER}=1;{JOINER}=2;x"


@pytest.mark.parametrize(
    "text", ["-5", "+5.2 %", "−3.1", "- an item of a list", "@my-endpoint", "a = b", "x; y", "2 + 2 = 4", "–", "", "@a, @b"]
)
def test_other_texts_stay_as_they_are(text):
    (cell,) = plain_frame(pd.DataFrame({"text": [text]}))["text"]
    assert cell == text
