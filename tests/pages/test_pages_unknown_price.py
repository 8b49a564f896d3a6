"""Pages show 'price unknown', never $0.00, for calls of a model without a known price."""

import time

from support.studio_app import Studio, add_run

from glan_core.taxonomy import coverage
from glan_core.workspace import call_rows
from glan_core.workspace.call_rows import Call

pytest_plugins = ["support.studio_fixtures"]


def add_calls(ws, run_id: int, *costs: float | None) -> None:
    with ws.write() as db:
        for number, cost in enumerate(costs):
            call_rows.add_calls(db, [Call(f"w{number}", run_id, "question", "physics", "openai:gpt-5-pro", "p", "s", 1.0, 1.0, 10, 100,
                                        50, False, cost, 900, 1, "stored", None, time.time())])  # fmt: skip


def test_overview_and_runs_show_an_unknown_price(demo_ws):
    run_id = add_run(demo_ws, "finished", "A run of an unlisted model")
    add_calls(demo_ws, run_id, None, None)
    shown = Studio(focus="physics")
    assert shown.fine
    assert {metric.label: metric.value for metric in shown.app.metric}["Cost"] == "price unknown"
    assert list(shown.table("spent")["spent"])[0] == "$1.25 + price unknown"
    runs = Studio("runs", runs_view="History")
    assert "$1.25 + price unknown" in runs.said
    assert coverage.coverage_by_node(demo_ws)["physics"].cost == "price unknown"


def test_a_sum_with_unpriced_calls_says_so(demo_ws):
    run_id = add_run(demo_ws, "finished", "A run of two models")
    add_calls(demo_ws, run_id, 0.25, None)
    assert {metric.label: metric.value for metric in Studio(focus="physics").app.metric}["Cost"] == "$0.25 + price unknown"
