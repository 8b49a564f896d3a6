"""Metric figures: dots with intervals, histograms, novelty curves."""

import pytest

from glan_core.diversity.metric_store import METRICS, Histogram, MetricReport, MetricValue
from glan_core.diversity.saturation import saturation_frame
from glan_core.figures import metrics as pictures
from glan_core.figures.style import DARK, LIGHT
from glan_core.taxonomy import tree_editing

FALLING = [(10 * n, 0.9 / n) for n in range(1, 9)]
STEADY = [(10 * n, 0.7) for n in range(1, 9)]


@pytest.fixture
def tree(ws):
    return tree_editing.tree(ws)


@pytest.fixture
def measured():
    scopes = {
        "": {"novelsum": MetricValue(0.5, 0.4, 0.6, 1000)},
        "formal-sciences": {"novelsum": MetricValue(0.3, 0.2, 0.5, 80)}, "natural-sciences": {"novelsum": MetricValue(0.6, n=40)},
        "mathematics": {"novelsum": MetricValue(0.3, n=80)},
    }  # fmt: skip
    return MetricReport(
        "words", "By words.", 384, "kept", 120, 1000, 0, 64, 1.0, 120, scopes,
        {"mathematics": FALLING, "earth-science": STEADY, "music": [(5, 0.5)]},
    )  # fmt: skip


def test_a_measure_is_shown_for_the_fields_or_for_the_disciplines_in_focus(measured, tree):
    fields = pictures.metric_frame(measured, tree, "novelsum")
    assert fields["id"].tolist() == ["natural-sciences", "formal-sciences"]
    for focus in ("formal-sciences", "mathematics"):  # a discipline is shown with its siblings
        assert pictures.metric_frame(measured, tree, "novelsum", focus)["id"].tolist() == ["mathematics"]
    assert pictures.metric_frame(measured, tree, "vendi").empty


@pytest.mark.parametrize("style", [LIGHT, DARK])
def test_intervals_reach_from_low_to_high_and_what_is_exact_has_none(measured, tree, style):
    frame = pictures.metric_frame(measured, tree, "novelsum")
    [dots] = pictures.metric_figure(frame, METRICS["novelsum"], 0.5, style, "formal-sciences").data
    assert list(dots.x) == [0.6, 0.3]
    assert dots.error_x.array[1] == pytest.approx(0.2) and dots.error_x.arrayminus[1] == pytest.approx(0.1)
    assert dots.error_x.array[0] == dots.error_x.arrayminus[0] == 0
    assert list(dots.marker.line.width) == [0, 2]


def test_least_new_ground_comes_first_and_is_said_in_words(measured, tree):
    frame = saturation_frame(measured, tree)
    assert frame["id"].tolist() == ["mathematics", "earth-science", "music"]
    assert frame["verdict"].tolist() == ["little new ground", "new ground", "too few to tell"]
    assert frame["questions"].tolist() == [80, 80, 5]
    assert saturation_frame(measured, tree, "music")["id"].tolist() == ["music"]


def test_curves_and_histograms_draw_their_numbers(measured):
    names = {"mathematics": "Mathematics", "music": "Music"}
    one, other = pictures.curves_figure({id: measured.curves[id] for id in names}, names, LIGHT).data
    assert list(one.x) == [n for n, _ in FALLING] and list(other.y) == [0.5]
    [bars] = pictures.histogram_figure(Histogram((3, 4), (0.0, 0.5, 1.0)), "similarity", LIGHT, mark=0.9).data
    assert list(bars.x) == [0.25, 0.75] and list(bars.y) == [3, 4]
    [bars] = pictures.histogram_figure(Histogram((3, 4), names=("basic", "hard")), "level", LIGHT).data
    assert list(bars.x) == ["basic", "hard"]
