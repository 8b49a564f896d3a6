"""URL parameters: text that means something is read back, and any other text means nothing."""

from itertools import product

import numpy as np
import streamlit as st
from hypothesis import given
from hypothesis import strategies as some
from support.outside_strategies import texts

from glan_core.diversity.map_area import BOX, CLUSTER, LASSO, MOST_CORNERS, Area, parse_area
from glan_core.workspace.search_rows import MOST_LENGTH, MOST_WORDS, query_words
from pages.components.shared import url_state

NUMBERS = some.floats(-1e6, 1e6)
KINDS, DIMS, EMBEDDERS = (BOX, LASSO, CLUSTER, ""), ("2", "3", "9" * 5000, "x"), ("words", "", "\u202e")
CORNERS = ("1,2;3,4", "1,2;3,4;5,6", "7", "nan,1;2,3", "9" * 400, "9" * 5000, "٣", "1e999,1;2,3", "-1", "1,2,3;4,5,6", "\ud800")


@given(texts())
def test_a_text_is_an_area_or_none(text):
    is_area_or_none(text)


def test_every_damaged_area_is_none():
    for parts in product(KINDS, DIMS, EMBEDDERS, CORNERS):
        is_area_or_none("~".join(parts))


def is_area_or_none(text: str) -> None:
    area = parse_area(text)
    assert area is None or (np.isfinite([*area.xs, *area.ys]).all() and len(area.xs) <= MOST_CORNERS)
    assert area is None or parse_area(area.to_text()) is not None


@given(some.integers(2, 9).flatmap(lambda n: some.tuples(*[some.lists(NUMBERS, min_size=n, max_size=n)] * 2)))
def test_an_area_is_read_back(corners):
    xs, ys = (tuple(float(f"{value:.4g}") for value in side) for side in corners)
    area = Area(LASSO if len(xs) > 2 else BOX, "words", 2, xs, ys)
    assert parse_area(area.to_text()) == area


@given(texts() | some.sampled_from(("7", "0", "-1", "٣", "1e3", "9" * 16, "9" * 5000, "²")))
def test_an_id_in_the_url_is_a_number_of_the_database_or_none(text):
    st.query_params.clear()
    try:
        st.query_params["run"] = text
    except UnicodeEncodeError:
        return  # no address has a lone surrogate
    number = url_state.number_in_url("run")
    assert number is None or ((0 <= number < 2**63 and str(number) == text.lstrip("0")) or number == 0)


@given(texts())
def test_a_search_has_few_words(text):
    words = query_words(text)
    assert len(words) <= MOST_WORDS and sum(map(len, words)) <= MOST_LENGTH and " ".join(words).encode() is not None
