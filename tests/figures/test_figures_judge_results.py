"""Figures of judge results show the values of their data."""

import networkx as nx
import pandas as pd
import pytest
from support.chart_items import chart_items

from glan_core.evaluation import published_results, scaling_job
from glan_core.evaluation.scaling_job import Point
from glan_core.figures.judge_results import (
    aspect_figure,
    difference_bars,
    difference_frame,
    difference_rings,
    judged_parts,
    scale_of,
    trained_against_difference,
)
from glan_core.figures.rings import LEVELS
from glan_core.figures.scaling import loss_figure, score_figure
from glan_core.figures.style import DARK, LIGHT
from glan_core.figures.tree_parts import ALL, drawn_ids
from glan_core.records import Node
from glan_core.taxonomy.hierarchy import tree_of

NODES = [
    Node("arts", "Arts", "field", None, "Academic-Humanities"), Node("music", "Music", "discipline", "arts"),
    Node("dance", "Dance", "discipline", "arts"), Node("formal", "Formal", "field", None, "Academic-Formal Science"),
    Node("maths", "Maths <b>", "discipline", "formal"), Node("logic", "Logic", "discipline", "formal"),
]  # fmt: skip


def outcomes(**by) -> pd.DataFrame:
    rows = [{"discipline": id, "judged": n, "difference": d, "low": low, "high": high, "wins": 1, "ties": 0, "losses": 0}
            for id, (n, d, low, high) in by.items()]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def tree() -> nx.DiGraph:
    return tree_of(NODES)


@pytest.fixture
def found() -> pd.DataFrame:
    return outcomes(
        music=(30, 2.0, 1.0, 3.0), dance=(10, -2.0, -3.0, -1.0), maths=(5, 0.0, None, None), gone=(9, 1.0, None, None)
    )


def test_a_field_shows_the_mean_over_the_questions_below_it(tree, found):
    frame = difference_frame(tree, found).set_index("id")
    assert frame.loc["arts", "value"] == pytest.approx((30 * 2 - 10 * 2) / 40) and frame.loc["arts", "judged"] == 40
    assert frame.loc[ALL, "value"] == pytest.approx(40 / 45) and pd.isna(frame.loc["logic", "value"])
    assert frame.loc["logic", "hover"] == ["not tested"]


@pytest.mark.parametrize("style", [LIGHT, DARK])
def test_more_is_blue_less_is_orange_and_what_was_not_tested_is_not_drawn(tree, found, style):
    frame = judged_parts(difference_frame(tree, found))
    items = chart_items(difference_rings(frame, style))
    colors = {id: item["itemStyle"]["color"] for id, item in zip(drawn_ids(frame, ALL, LEVELS)[1:], items, strict=True)}
    assert (colors["music"], colors["dance"]) == (style.differences[-1], style.differences[0])
    assert colors["maths"] == style.differences[4] and "logic" not in colors


def test_small_differences_do_not_look_large():
    assert (
        scale_of(pd.Series([0.1, -0.2])) == 1.0
        and scale_of(pd.Series([0.1, -3.0])) == 3.0
        and scale_of(pd.Series([float("nan")])) == 1.0
    )


def test_bars_have_whiskers_only_where_there_is_an_interval(found):
    figure = difference_bars(found, "discipline", LIGHT, {"maths": "Maths <b>"})
    bar = figure.data[0]
    assert list(bar.y) == ["music", "dance", "maths", "gone"] and list(bar.error_x.array) == [1.0, 1.0, None, None]
    assert "Maths &lt;b&gt;" in figure.layout.yaxis.ticktext


def test_published_differences_stand_as_grey_marks_beside(found):
    paper = published_results.glan_test_by_discipline()[list(published_results.OTHERS.values())]
    figure = difference_bars(outcomes(music=(30, 2.0, 1.0, 3.0)), "discipline", LIGHT, None, paper)
    assert len(figure.data) == 5 and all(trace.marker.color == LIGHT.muted for trace in figure.data[1:])
    assert list(figure.data[1].y) == ["music"]


def test_dots_of_training_rows_and_aspects(found):
    points = pd.DataFrame(
        {"name": ["A", "B"], "group": ["Academic-Humanities", ""], "rows": [0, 40], "difference": [1.0, 2.0], "judged": [5, 9]}
    )
    trace = trained_against_difference(points, LIGHT).data[0]
    assert list(trace.x) == [0, 40] and trace.marker.color[1] == LIGHT.muted
    assert trained_against_difference(points[:0], LIGHT).data[0].x is not None
    figure = aspect_figure({"Accuracy": (7.0, 3.0)}, "<ours>", "other", LIGHT)
    assert [trace.name for trace in figure.data if trace.name] == ["other", "&lt;ours&gt;"]


def test_scaling_curves_pass_through_their_points():
    found = [Point(n, f"m{n}", loss, score, low, None if low is None else score + 1, 5)
             for n, loss, score, low in ((10, 5.0, -3.0, -4.0), (100, 4.0, -2.0, None), (1000, 3.0, -1.0, -2.0))]  # fmt: skip
    curve = scaling_job.loss_curve(found)
    line, dots = loss_figure(found, curve, LIGHT).data
    assert line.y[0] == pytest.approx(5.0) and line.y[-1] == pytest.approx(3.0) and list(dots.x) == [10, 100, 1000]
    figure = score_figure(found, scaling_job.score_curve(found), DARK)
    assert list(figure.data[1].error_y.arrayminus) == [1.0, None, 1.0] and figure.layout.yaxis.range[0] <= -4
    assert len(loss_figure([], None, LIGHT).data) == 1


def test_the_legend_of_published_results_is_below_the_bars():
    """At half the width of a screen, four names would wrap over the first bars."""
    table = pd.DataFrame([{"group": f"g{n}", "judged": 5, "difference": n / 10, "low": None, "high": None, "wins": 1, "ties": 1,
                           "losses": 3} for n in range(4)])  # fmt: skip
    paper = pd.DataFrame({name: [0.1] * 4 for name in ("one", "two", "three", "four")}, index=table["group"])
    figure = difference_bars(table, "group", LIGHT, published=paper)
    legend = figure.layout.legend
    assert (legend.yref, legend.yanchor, legend.y, legend.orientation) == ("container", "bottom", 0, "v")
    without = difference_bars(table, "group", LIGHT)
    plot = lambda one: one.layout.height - one.layout.margin.b - one.layout.margin.t  # noqa: E731
    assert plot(figure) == plot(without) and figure.layout.margin.b - without.layout.margin.b >= 19 * 4


def test_rings_show_only_what_was_tested():
    frame = pd.DataFrame([
        {"id": ALL, "parent": "", "name": "All knowledge", "judged": 3, "value": 1.0, "hover": []},
        {"id": "a", "parent": ALL, "name": "A", "judged": 3, "value": 1.0, "hover": []},
        {"id": "b", "parent": ALL, "name": "B", "judged": 0, "value": None, "hover": []},
    ])  # fmt: skip
    assert drawn_ids(judged_parts(frame), ALL, LEVELS) == [ALL, ALL, "a"]
    assert len(list(chart_items(difference_rings(judged_parts(frame), LIGHT)))) == 2


def test_a_short_title_keeps_what_tells_the_base_from_the_tuned_model():
    from glan_core.formatting import shorten_title

    assert shorten_title("smollm2-135m-lora-mathematics (base)", 24) == "smollm2-135m-lor… (base)"
    assert shorten_title("a (base)", 24) == "a (base)" and shorten_title("a" * 30, 10) == "a" * 9 + "…"
    assert shorten_title("x (a long remark in brackets)", 12) == "x (a long r…"
