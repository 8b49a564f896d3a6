"""Run figures draw the values of the samples."""

import pytest

from glan_core.figures.runs import cost_curve, request_curve, samples_frame, stored_curve
from glan_core.figures.style import DARK, LIGHT, count_axis
from glan_core.workspace.run_rows import Sample

THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


def sample(at: float, done: int = 0, throttled: int = 0, faults: int = 0, usd: float = 0.0) -> Sample:
    return Sample(at, done, done + throttled + faults, throttled, faults, 3, 8, 10 * done, 20 * done, usd)


SAMPLES = [sample(100 + n, 5 * n, (0, 2, 2, 7, 7)[n], (1, 1, 1, 1, 3)[n], 0.5 * n) for n in range(5)]


def test_time_counts_from_the_first_sample_and_totals_become_what_each_interval_brought():
    frame = samples_frame(SAMPLES)
    assert frame["seconds"].to_list() == [0, 1, 2, 3, 4] and frame["done"].to_list() == [0, 5, 10, 15, 20]
    assert frame["refused"].to_list() == [0, 2, 0, 5, 0] and frame["faults"].to_list() == [1, 0, 0, 0, 2]
    assert frame["usd"].iloc[-1] == 2.0 and not frame["paused"].any()


def test_time_stands_still_in_a_pause_but_not_between_samples_that_are_far_apart_throughout():
    frame = samples_frame([sample(at, n) for n, at in enumerate((0, 1, 2, 9000, 9001))])
    assert frame["seconds"].to_list() == [0, 1, 2, 3, 4] and frame["paused"].to_list() == [False, False, False, True, False]
    thinned = samples_frame([sample(60.0 * n, n) for n in range(5)])
    assert thinned["seconds"].iloc[-1] == 240 and not thinned["paused"].any()


@pytest.mark.parametrize("count", [0, 1, 2])
@THEMES
def test_few_samples_make_a_small_picture(count, theme):
    frame = samples_frame(SAMPLES[:count])
    for figure in (stored_curve(frame, theme), request_curve(frame, theme), cost_curve(frame, None, theme)):
        assert len(figure.data[0].x) == count


@pytest.mark.parametrize(("step", "unit", "last"), [(1, "seconds", 4), (120, "minutes", 8), (7200, "hours", 8)])
def test_the_time_axis_has_a_unit_that_suits_the_run(step, unit, last):
    figure = stored_curve(samples_frame([sample(step * n, n) for n in range(5)]), LIGHT)
    assert figure.layout.xaxis.title.text == f"{unit} active" and figure.data[0].x[-1] == last


@THEMES
def test_the_curves_have_the_values_and_the_colours_of_their_theme(theme):
    frame = samples_frame(SAMPLES)
    stored, pace = stored_curve(frame, theme), request_curve(frame, theme)
    assert list(stored.data[0].y) == [0, 5, 10, 15, 20] and stored.data[0].line.color == theme.accent
    allowed, in_flight, refused, faults = pace.data
    assert list(allowed.y) == [8] * 5 and list(in_flight.y) == [3] * 5
    assert list(refused.y) == [0, 2, 0, 5, 0] and list(faults.y) == [1, 0, 0, 0, 2]
    assert faults.marker.color == theme.failure != refused.marker.color
    assert refused.yaxis == faults.yaxis == "y2" and pace.layout.yaxis2.range[1] > 5


@THEMES
def test_money_is_drawn_under_its_budget(theme):
    frame = samples_frame(SAMPLES)
    free = cost_curve(frame, None, theme)
    assert list(free.data[0].y) == [0, 0.5, 1, 1.5, 2] and not free.layout.shapes
    bounded = cost_curve(frame, 10.0, theme)
    assert bounded.layout.shapes[0].y0 == 10.0 and bounded.layout.yaxis.range[1] > 10
    assert bounded.layout.annotations[0].text == "budget $10.00"


@THEMES
def test_a_pause_is_marked_where_it_was(theme):
    frame = samples_frame([sample(at, n) for n, at in enumerate((0, 1, 2, 9000, 9001))])
    [line] = stored_curve(frame, theme).layout.shapes
    assert line.x0 == 3


@pytest.mark.parametrize(
    ("most", "expected"), [(0, ",d"), (1, ",d"), (4, ",d"), (9_999, ",d"), (10_000, "~s"), (2_000_000, "~s")]
)
def test_an_axis_of_counts_has_whole_numbers(most, expected):
    """A run with one call had '500m' calls on its axis."""
    axis = count_axis(most)
    assert axis["tickformat"] == expected and axis.get("dtick") == (1 if most <= 4 else None)
