"""The rings as SVG: the same sectors, colors, labels and places as in the chart that replaces them."""

import re
from math import hypot
from xml.etree import ElementTree

import pytest
from support.chart_items import chart_items, chart_labels

from glan_core.figures.coverage import coverage_frame, coverage_rings
from glan_core.figures.rings_svg import rings_svg
from glan_core.figures.style import DARK, LIGHT
from glan_core.records import Node
from glan_core.taxonomy import coverage, tree_editing
from glan_core.workspace import call_rows

HEIGHT = 620


def drawn(svg: str) -> tuple[ElementTree.Element, ElementTree.Element]:
    """Return the rings and the color bar."""
    rings, bar = ElementTree.fromstring(f"<all>{svg}</all>")
    return rings, bar


def option(ws, style=LIGHT) -> dict:
    tree = tree_editing.tree(ws)
    return coverage_rings(coverage_frame(tree, coverage.coverage_by_node(ws, tree)), "share", style, height=HEIGHT)


@pytest.mark.parametrize("style", [LIGHT, DARK], ids=["light", "dark"])
def test_every_part_of_the_chart_is_a_sector_with_its_color_and_label(ws, style):
    with ws.write() as db:
        call_rows.count(db, "mathematics", subjects=2, pairs=10)
    chart = option(ws, style)
    rings, bar = drawn(rings_svg(chart, HEIGHT))
    assert [one.get("fill") for one in rings.findall("path")] == [item["itemStyle"]["color"] for item in chart_items(chart)]
    assert {one.get("stroke") for one in rings.findall("path")} == {style.background}
    texts = ["\n".join(span.text for span in one) for one in rings.findall("text")]
    assert texts == [label for label in chart_labels(chart) if label is not None] and "All knowledge" in texts[0].replace(
        "\n", " "
    )
    labels = [one["label"] for one in chart_items(chart) if one["label"]["show"]]
    assert [(one.get("fill"), float(one.get("font-size"))) for one in rings.findall("text")] == [
        (label["color"], label["fontSize"]) for label in labels
    ]
    assert [stop.get("stop-color") for stop in bar.iter("stop")] == list(style.ramp)
    assert [one.text for one in bar.findall("text")] == ["0%", "100%"]


def around(*parts: dict) -> dict:
    """Return an option of a center of half the radius with these parts around it."""
    bar = {"style": {"fill": {"colorStops": []}}}
    text = {"style": {"x": 0, "y": 0, "fontSize": 11, "fill": "#000000", "text": ""}}
    levels = [{}, {"r0": "0%", "r": "50%"}, {"r0": "50%", "r": "100%"}]
    return {"series": [{"data": [item(children=list(parts))], "levels": levels}], "graphic": [{"children": [bar, text, text]}]}


def item(**values) -> dict:
    style = {"color": "#123456", "borderColor": "#FFFFFF", "borderWidth": 1}
    return {"itemStyle": style, "label": {"show": False}} | values


def paths(*sizes: int) -> list[str]:
    rings, _ = drawn(rings_svg(around(*(item(value=size) for size in sizes)), 200))
    return [one.get("d") for one in rings.findall("path")][1:]


def test_sectors_follow_one_another_clockwise_from_the_top():
    assert paths(1, 3) == [
        "M0.00 -100.00A100.00 100.00 0 0 1 100.00 -0.00L50.00 -0.00A50.00 50.00 0 0 0 0.00 -50.00Z",
        "M100.00 -0.00A100.00 100.00 0 1 1 -0.00 -100.00L-0.00 -50.00A50.00 50.00 0 1 0 50.00 -0.00Z",
    ], "a quarter, and three quarters by the long way around"


def test_a_part_alone_in_its_ring_is_a_whole_ring():
    (path,) = paths(1)
    assert path.count("A100.00") == path.count("A50.00") == 2 and path.count("M") == 2
    ends = [tuple(map(float, pair)) for pair in re.findall(r"(-?[\d.]+) (-?[\d.]+)(?=[AZ])", path)]
    assert {round(hypot(*end)) for end in ends} == {100, 50}


@pytest.mark.parametrize(
    ("sizes", "turn", "angles"),
    [
        ((1, 1, 1, 1), "tangential", [45, -45, 45, -45]), ((1, 1, 1, 1), "radial", [-45, 45, -45, 45]), ((1, 1, 1, 1), 0, [0, 0, 0, 0]),
        ((1, 1), "radial", [0, 0]), ((1, 1), "tangential", [-90, 90]), ((1, 2, 1), "radial", [-45, 90, 45]), ((1, 2, 1), "tangential", [45, 0, -45]),
    ],
)  # fmt: skip
def test_labels_are_turned_so_that_they_are_not_upside_down(sizes, turn, angles):
    label = {"show": True, "formatter": "Law", "fontSize": 12, "rotate": turn, "lineHeight": 14, "color": "#000000"}
    rings, _ = drawn(rings_svg(around(*(item(value=size, label=label) for size in sizes)), 200))
    turned = [float(re.search(r"rotate\((.+?)\)", one.get("transform"))[1]) for one in rings.findall("text")]
    assert turned == angles


def test_the_lines_of_a_label_are_around_the_middle_of_its_sector():
    label = {
        "show": True,
        "formatter": "Law and\npublic\nservice",
        "fontSize": 12,
        "rotate": "radial",
        "lineHeight": 14,
        "color": "#000000",
    }
    rings, _ = drawn(rings_svg(around(item(value=1, label=label), item(value=1)), 200))
    (text,) = rings.findall("text")
    assert text.get("transform").startswith("translate(75.00 -0.00)"), "three o'clock, in the middle of its ring"
    assert [(span.text, float(span.get("y"))) for span in text] == [("Law and", -14), ("public", 0), ("service", 14)]


def test_names_are_text(new_workspace):
    ws = new_workspace()
    name = '<script>alert(1)</script> & "quoted"'
    tree_editing.import_nodes(
        ws, [Node("x", name, "field", None, "Academic-Formal Science"), Node("y", name, "discipline", "x")], "test"
    )
    svg = rings_svg(option(ws), HEIGHT)
    rings, _ = drawn(svg)
    assert "<script" not in svg and any("<script" in "".join(one.itertext()) for one in rings.findall("text"))
