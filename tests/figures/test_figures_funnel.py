"""The funnel of the dataset: remaining and removed pairs of each step."""

from glan_core.figures.funnel import funnel_figure, funnel_frame
from glan_core.figures.style import LIGHT
from glan_core.taxonomy import coverage
from glan_core.workspace import call_rows


def test_every_step_leaves_what_the_one_before_left_less_what_it_takes_away(ws):
    with ws.write() as db:
        call_rows.count(
            db, "mathematics", questions=12, pairs=10, dropped_rejected=1, dropped_quality=2, dropped_contaminated=3
        )
    frame = funnel_frame(coverage.coverage_by_node(ws)["mathematics"])
    assert frame["left"].tolist() == [12, 10, 9, 7, 7, 4] and frame["out"].tolist() == [0, 2, 1, 2, 0, 3]
    assert frame["left"].iloc[-1] == coverage.coverage_by_node(ws)["mathematics"].kept
    left, out = funnel_figure(frame, LIGHT).data
    assert list(left.x) == frame["left"].tolist() and list(out.text) == [
        "", "−2 without answer", "−1 rejected", "−2 by filters", "", "−3 in a benchmark"
    ]  # fmt: skip


def test_a_funnel_of_nothing_is_drawn(ws):
    assert funnel_figure(funnel_frame(coverage.coverage_by_node(ws)["mathematics"]), LIGHT).data
