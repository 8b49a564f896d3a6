"""Benchmark score figures: bars, their order and published scores."""

import pandas as pd
import pytest
from support.benchmark_rows import put_scores

from glan_core.evaluation.benchmarks import score_frames
from glan_core.figures import benchmarks as pictures
from glan_core.figures.style import DARK, LIGHT
from glan_core.workspace import benchmark_score_rows

TITLES = {"base:student": "student before tuning", "tuned:student": "student"}


@pytest.fixture
def frame(ws):
    put_scores(ws)
    return score_frames.scores_frame(benchmark_score_rows.scores(ws.db))


def test_every_benchmark_is_a_row_and_every_model_a_bar(frame):
    rows = score_frames.whole_rows(frame)
    assert list(dict.fromkeys(rows["row"]))[:3] == ["GSM8K", "MATH", "HumanEval"]
    figure = pictures.scores_figure(rows, TITLES, LIGHT)
    base, tuned = figure.data
    assert [bar.name for bar in figure.data] == list(TITLES.values()) and len(tuned.y) == 12
    assert dict(zip(tuned.y, tuned.x))["GSM8K"] == pytest.approx(32) and dict(zip(base.y, base.x))["GSM8K"] == pytest.approx(20)
    first = rows[(rows["model"] == "tuned:student")].iloc[0]
    assert tuned.error_x.array[0] == pytest.approx(first["high"] - 32) and tuned.error_x.arrayminus[0] == pytest.approx(
        32 - first["low"]
    )
    assert tuple(figure.layout.xaxis.range) == (0, 100)


def test_the_newest_score_counts(ws):
    put_scores(ws)
    put_scores(ws, limit=7)
    frame = score_frames.scores_frame(benchmark_score_rows.scores(ws.db))
    assert not frame.duplicated(["model", "benchmark", "way", "part"]).any()


def test_parts_are_groups_tasks_or_readings(frame):
    assert list(dict.fromkeys(score_frames.part_rows(frame, "mmlu", "probability")["row"])) == [
        "STEM",
        "Humanities",
        "Social sciences",
        "Other",
    ]
    assert "All, by text after 'the answer is'" in set(score_frames.part_rows(frame, "mmlu", "generated")["row"])
    assert len(set(score_frames.part_rows(frame, "bbh", "generated")["row"])) == 27
    assert list(dict.fromkeys(score_frames.part_rows(frame, "ifeval", "generated")["row"]))[0] == "Prompts, strict"
    assert score_frames.part_rows(frame, "humaneval", "generated").empty


def test_what_was_published_is_grey_and_said_to_be(frame):
    published = pd.DataFrame(
        {"model": ["GLAN", "GPT-4", "x"], "benchmark": ["gsm8k", "mmlu", "unknown"], "score": [80.8, 86.4, 1.0]}
    )
    figure = pictures.scores_figure(score_frames.whole_rows(frame), TITLES, LIGHT, published)
    marks = figure.data[-1]
    assert list(marks.y) == ["GSM8K", "MMLU, from generated text"] and list(marks.x) == [80.8, 86.4]
    assert marks.marker.color == LIGHT.muted and "published" in marks.hovertemplate and marks.name.startswith("published")
    groups = pd.DataFrame({"model": ["GLAN"], "benchmark": ["mmlu"], "part": ["stem"], "score": [60.1]})
    figure = pictures.scores_figure(score_frames.part_rows(frame, "mmlu", "generated"), TITLES, LIGHT, groups)
    assert list(figure.data[-1].y) == ["STEM"] and list(figure.data[-1].x) == [60.1]


def test_a_base_is_the_pale_hue_of_its_model():
    for style in (LIGHT, DARK):
        colors = pictures.model_colors(["base:a", "tuned:a", "tuned:b"], style)
        assert len(set(colors.values())) == 3 and colors["base:a"] != colors["tuned:a"]
    assert (
        pictures.model_colors(["tuned:a"], LIGHT)["tuned:a"] == pictures.model_colors(["base:a", "tuned:a"], LIGHT)["tuned:a"]
    )


def test_names_of_models_are_no_markup(frame):
    figure = pictures.scores_figure(score_frames.whole_rows(frame), {"tuned:student": "<b>x</b>"}, LIGHT)
    assert "<b>" not in figure.data[0].name and "<b>x" not in figure.data[0].hovertemplate
