"""Fine-tuning figures draw the logged values."""

import numpy as np
import pytest
from support.model_rows import CURVE

from glan_core.figures.style import DARK, LIGHT
from glan_core.figures.training import compare_figure, learning_rate_figure, loss_figure, steps_frame
from glan_core.workspace.training_rows import Step

THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


def test_the_losses_are_those_that_were_logged_and_the_smoothed_one_follows_the_training_loss():
    frame = steps_frame(CURVE)
    assert frame["loss"].tolist() == [step.loss for step in CURVE]
    each, smooth, held = loss_figure(frame, LIGHT).data
    assert list(each.x) == list(range(1, 9)) and list(each.y) == [step.loss for step in CURVE]
    assert list(held.x) == [4, 8] and list(held.y) == [1.5, 0.75]
    assert smooth.name == "training" and held.name == "validation"


def test_smoothing_takes_the_noise_out_and_keeps_the_level():
    noisy = [Step(n, 0, n, n, 2.0 + (-1) ** n) for n in range(1, 501)]
    smooth = steps_frame(noisy)["smooth"]
    assert smooth.iloc[50:].std() < 0.4 and smooth.iloc[50:].mean() == pytest.approx(2.0, abs=0.05)
    assert steps_frame([Step(1, 0, 1, 1, 5.0), Step(2, 0, 2, 2, None, 3.0)])["smooth"].tolist() == [5.0, 5.0], (
        "no loss, no change"
    )


def test_each_curve_is_named_where_it_ends():
    figure = loss_figure(steps_frame(CURVE), DARK)
    names = {note.text: (note.x, note.font.color) for note in figure.layout.annotations}
    assert names["validation"] == (8, DARK.hues[1]) and names["training"] == (8, DARK.as_text(DARK.accent))
    ends = [note.y for note in figure.layout.annotations]
    assert len(set(ends)) == 2


def test_names_of_curves_that_end_close_together_do_not_cover_each_other():
    close = [Step(n, 0, n, n, 4.0 / n, 4.02 / n if n == 8 else None) for n in range(1, 9)]
    shifts = {note.text: note.yshift or 0 for note in loss_figure(steps_frame(close), LIGHT).layout.annotations}
    assert abs(shifts["validation"] - shifts["training"]) >= 14, "pixels, a line of text"


@THEMES
def test_the_pace_shows_learning_rate_and_gradient(theme):
    rate, gradient = learning_rate_figure(steps_frame(CURVE), theme).data
    assert list(rate.y) == [step.lr for step in CURVE] and set(gradient.y) == {0.5} and gradient.yaxis == "y2"


@THEMES
@pytest.mark.parametrize("steps", [[], CURVE[:1], [Step(4, 1, 10, 1.0, None, 2.0)]], ids=["none", "one", "evaluation only"])
def test_few_rows_make_a_small_picture(steps, theme):
    frame = steps_frame(steps)
    figure = loss_figure(frame, theme)
    assert sum(len(trace.x) for trace in figure.data) <= 3 and len(figure.layout.annotations) <= 1
    assert len(learning_rate_figure(frame, theme).data) == 2
    compare_figure({"a": frame}, "tokens", theme)


@pytest.mark.parametrize(("against", "last"), [("step", 8), ("tokens", 8000), ("seconds", 16.0)])
def test_runs_are_drawn_over_what_is_asked_each_in_a_colour_of_its_own(against, last):
    frames = {"slow": steps_frame(CURVE), "fast": steps_frame(CURVE[:4])}
    figure = compare_figure(frames, against, LIGHT)
    held = {trace.name: trace for trace in figure.data if "markers" in trace.mode}
    assert set(held) == {"slow", "fast"} and held["slow"].x[-1] == last and len(held["fast"].x) == 1
    assert held["slow"].line.color != held["fast"].line.color and figure.layout.showlegend
    assert not np.isnan(np.concatenate([trace.y for trace in held.values()])).any()


def test_a_run_without_held_out_losses_is_named_by_its_training_loss():
    bare = [Step(n, 0, n, n, 1.0 / n) for n in range(1, 4)]
    figure = compare_figure({"bare": steps_frame(bare), "whole": steps_frame(CURVE)}, "step", LIGHT)
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == ["bare, training", "whole"]
