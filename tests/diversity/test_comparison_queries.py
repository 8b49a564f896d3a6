"""Tests for comparison queries and figures."""

import json
from dataclasses import replace

import numpy as np
import pytest
from support.diversity_rows import add_topics, compare

from glan_core.diversity.comparison_queries import (
    SIDES,
    comparison_points,
    covered_disciplines,
    kept_rows_by_discipline,
    metric_table,
    taxonomy_table,
)
from glan_core.diversity.comparison_sources import comparison_sources, store_dataset
from glan_core.diversity.comparison_store import OURS, THEIRS, read_points
from glan_core.diversity.map_store import read_map
from glan_core.diversity.metric_store import MetricValue
from glan_core.errors import GlanError
from glan_core.figures import comparison as pictures
from glan_core.figures.comparison import ONLY_HERE, ONLY_THERE, SHARED_HERE, SHARED_THERE
from glan_core.figures.diversity_map import Coloring, map_figure
from glan_core.figures.style import DARK, LIGHT
from glan_core.taxonomy import tree_editing
from glan_core.workspace import homework_rows

pytest_plugins = ["support.comparison_fixtures"]


@pytest.fixture
def compared(ours, bakery):
    return compare(ours, bakery)[1]


def test_every_row_is_of_one_set_and_told_whether_the_other_has_it(ours, compared):
    rows = comparison_points(read_map(ours, "words", 2), read_points(ours, "bakery"), compared.similarity)
    assert len(rows) == 96 and set(rows["name"]) <= set(SIDES)
    theirs = rows[rows["seq"] < 0]
    assert sorted(-1 - theirs["seq"]) == list(range(60))
    only = set(-1 - theirs[theirs["name"] == ONLY_THERE]["seq"])
    assert only == set(range(30, 60))  # the rows about bread
    here = rows[rows["seq"] > 0]
    assert (here["name"] == ONLY_HERE).mean() == pytest.approx(compared.only_ours.value / 100)
    questions = homework_rows.question_texts(ours.db, here[here["name"] == SHARED_HERE]["seq"].tolist())
    assert questions and all("fit together" in text for text in questions.values())


def test_a_row_that_left_the_map_is_not_drawn(ours, compared):
    shown = read_map(ours, "words", 2)
    fewer = replace(shown, seqs=shown.seqs[1:], xy=shown.xy[1:])
    assert len(comparison_points(fewer, read_points(ours, "bakery"), compared.similarity)) == 95


def test_a_set_is_called_more_diverse_only_where_the_ranges_do_not_meet(compared):
    def more(ours: MetricValue, theirs: MetricValue, measure: str) -> str:
        rows = metric_table(replace(compared, scopes={OURS: {measure: ours}, THEIRS: {measure: theirs}}))
        return rows["more"].item()

    assert more(MetricValue(0.5), MetricValue(0.6), "mean_distance") == "theirs"
    assert more(MetricValue(0.5), MetricValue(0.6), "nearest_similarity") == "ours"  # lower is more diverse
    assert more(MetricValue(0.5, 0.4, 0.57), MetricValue(0.6, 0.55, 0.7), "mean_distance") == ""
    assert more(MetricValue(10), MetricValue(20), "question_length") == ""
    rows = metric_table(
        replace(compared, scopes={OURS: {"near_share": MetricValue(10)}, THEIRS: {"near_share": MetricValue(12.5, 12, 13)}})
    )
    assert rows.iloc[0].tolist() == ["near_share", "10.0%", "12.5% (12.0% to 13.0%)", "+2.5%", "ours"]


def test_both_sets_spread_over_fields_and_over_disciplines_in_focus(ours, compared):
    tree = tree_editing.tree(ours)
    here = kept_rows_by_discipline(read_map(ours, "words", 2))
    assert here == {"mathematics": 12, "music": 12, "earth-science": 12} and covered_disciplines(tree, here) == 3
    fields = taxonomy_table(tree, here, compared.disciplines)
    assert fields["name"].tolist()[0] == "Arts" and fields["theirs"].tolist() == [
        50.0,
        0.0,
        0.0,
    ]  # the other rows have no neighbor
    assert fields["ours"].sum() == pytest.approx(100)
    beside = taxonomy_table(tree, here, compared.disciplines, "music")
    assert beside["id"].tolist() == ["music"] and beside["their_rows"].tolist() == [30]
    assert covered_disciplines(tree, compared.disciplines) == 1


def seen(color: str, by: np.ndarray) -> np.ndarray:
    """Simulate dichromatic vision of a color in linear RGB (Vienot, Brettel, Mollon, 1999)."""
    channels = np.array([int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return by @ linear


PROTAN = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
DEUTAN = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])


@pytest.mark.parametrize("style", [LIGHT, DARK])
@pytest.mark.parametrize("eye", [np.eye(3), PROTAN, DEUTAN])
def test_the_two_sets_are_told_apart_by_every_eye_in_both_themes(style, eye):
    colors = pictures.side_colors(style)
    assert list(colors) == list(SIDES)
    for here, there, least in ((ONLY_HERE, ONLY_THERE, 0.25), (SHARED_HERE, SHARED_THERE, 0.08)):
        assert np.abs(seen(colors[here], eye) - seen(colors[there], eye)).max() > least
    assert pictures.SYMBOLS[SHARED_HERE] != pictures.SYMBOLS[SHARED_THERE]  # distinguishable by shape as well


def test_the_map_of_both_has_a_trace_a_side_in_its_colour_and_shape(ours, compared):
    rows = comparison_points(read_map(ours, "words", 2), read_points(ours, "bakery"), compared.similarity).assign(text="")
    drawn, colors, symbols = pictures.legend_labels(rows, pictures.side_colors(LIGHT), "<b>bakery</b>")
    figure = map_figure(drawn, LIGHT, window=(-100, 100, -100, 100), coloring=Coloring(colors, symbols))
    traces = {trace.name: trace for trace in figure.data}
    assert list(traces)[-2:] == [
        "only here",
        "only in &lt;b&gt;bakery&lt;/b&gt;",
    ]  # points of one dataset only are drawn on top
    assert sum(len(trace.x) for trace in figure.data) == 96
    assert (
        traces["&lt;b&gt;bakery&lt;/b&gt;, with a neighbor here"].marker.line.width > 0
    )  # open markers consist of their outline
    assert {trace.marker.symbol for name, trace in traces.items() if "here" in name and "bakery" not in name} == {"circle"}


def test_the_spread_has_two_bars_a_field(ours, compared):
    tree = tree_editing.tree(ours)
    frame = taxonomy_table(tree, kept_rows_by_discipline(read_map(ours, "words", 2)), compared.disciplines)
    theirs, here = pictures.spread_figure(frame, "bakery", DARK, "arts").data
    assert list(theirs.x) == [50, 0, 0] and theirs.name == "bakery" and here.name == "here"
    assert theirs.marker.color != here.marker.color


def test_what_can_be_compared_with_is_listed_and_given_files_are_kept(ours, bakery, new_workspace):
    other = new_workspace("another")
    add_topics(other, 1)
    with bakery.open("rb") as file:
        kept, skipped = store_dataset(ours, "My bakery.jsonl", file)
    assert skipped == ""
    assert kept == ours.folder / "datasets" / "My-bakery.jsonl"
    said = {one.path: one.said for one in comparison_sources(ours, other.folder.parent)}
    assert said[str(kept)] == "My-bakery.jsonl · uploaded file" and said[str(other.folder)] == "another · workspace"
    assert str(ours.folder) not in said
    numbers = bakery.parent / "numbers.jsonl"
    numbers.write_text(json.dumps({"n": 1}))
    with numbers.open("rb") as file, pytest.raises(GlanError, match=r"numbers\.jsonl cannot be used"):
        store_dataset(ours, "numbers.jsonl", file)
    assert [path.name for path in (ours.folder / "datasets").iterdir()] == ["My-bakery.jsonl"]
