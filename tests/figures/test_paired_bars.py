"""Paired bars: order, labels, the lighter first bar, and rows that one side does not have."""

from glan_core.figures.paired_bars import PairedBar, paired_bars_figure
from glan_core.figures.style import DARK, LIGHT


def test_each_row_has_two_labeled_bars_of_the_hue_of_its_group():
    group = next(iter(LIGHT.groups))
    bars = [PairedBar("Mathematics", group, (1204, 0)), PairedBar("Crafts", "", (None, 3))]
    for style in (LIGHT, DARK):
        figure = paired_bars_figure(bars, ("before", "after"), style)
        first, second = figure.data
        assert (first.name, second.name) == ("before", "after") and list(first.y) == ["Mathematics", "Crafts"]
        assert list(first.text) == ["1,204", "–"] and list(second.text) == ["0", "3"] and list(first.x) == [1204, 0]
        assert second.marker.color[0] == style.groups[group] and first.marker.color[0] != second.marker.color[0]


def test_no_rows_give_an_empty_figure():
    assert list(paired_bars_figure([], ("a", "b"), LIGHT).data[0].x) == []
