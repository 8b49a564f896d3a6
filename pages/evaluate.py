"""Evaluate: what models learned, by discipline, beside their bases and beside the paper."""

import streamlit as st

from pages.components import evaluate_benchmarks, studio

VIEWS = {"Benchmarks": evaluate_benchmarks.panel}

ws, tree = studio.open_page("Evaluate")
studio.title("Evaluate", tree, "Nothing was evaluated yet.", ws)
if VIEWS:
    view = st.segmented_control(
        "View",
        list(VIEWS),
        default=next(iter(VIEWS)),
        key="evaluate_view",
        required=True,
        bind="query-params",
        label_visibility="collapsed",
    )
    VIEWS[view](ws, tree)
