"""Addresses that nobody of ours wrote: every page draws itself, whatever its parameters say."""

import pytest
from support.studio_app import PAGES, Studio

pytest_plugins = ["support.studio_fixtures"]

PARAMETERS = (
    "focus", "subject", "concept", "pair", "q", "area", "match", "item", "which", "run", "chat", "models", "connection", "selected_workspace",
    "comparison", "words", "subject_words", "map_words", "dims", "colour", "embedder", "view", "measure", "discipline", "strategy", "review",
    "dataset_view", "diversity_view", "evaluate_view", "runs_view", "train_view", "workspaces_view", "export_source", "picked_snapshot",
)  # fmt: skip
VALUES = ("9" * 5000, "-1", "\u202e<b>../../x", "cluster~2~words~" + "9" * 400)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_takes_any_parameter(demo_ws, page):
    shown = Studio()
    for value in VALUES:
        shown.go(page, **dict.fromkeys(PARAMETERS, value))
        assert shown.fine, f"{value[:30]!r}: {shown.app.exception[0].stack_trace}"
