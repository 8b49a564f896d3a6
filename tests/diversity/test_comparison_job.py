"""Tests for the comparison job: shared embedder, map and metrics, and coverage of both datasets."""

import numpy as np
import pytest
from support.diversity_rows import BREAD, Steps, add_pairs, add_topics, compare

from glan_core.diversity.comparison_job import compare_datasets
from glan_core.diversity.comparison_store import (
    OURS,
    THEIRS,
    list_comparisons,
    read_comparison,
    read_points,
    read_rows,
    remove_comparison,
)
from glan_core.diversity.settings import ComparisonSettings
from glan_core.errors import GlanError

pytest_plugins = ["support.comparison_fixtures"]


def test_what_one_covers_and_the_other_does_not(ours, bakery):
    said, found = compare(ours, bakery)
    assert said.startswith("Compared 36 questions with 60 of bakery:") and "not what they mean" in said
    assert (found.form, found.number, found.rows, found.own) == ("Alpaca", 60, 60, 36)
    assert found.only_theirs.value == 50 and found.disciplines == {"music": 30, "": 30}
    assert found.only_ours.value > 50  # the other dataset has neither mathematics nor earth science
    assert "bread" in found.gaps[0].terms and sum(gap.rows for gap in found.gaps) == 30
    assert set(found.far_theirs) <= set(range(30, 60))
    assert [row.question for row in read_rows(ours, "bakery", [59, 30])] == [BREAD[29], BREAD[0]]
    assert read_rows(ours, "bakery", [0])[0].answer == "About 0."
    assert set(found.scopes[OURS]) == set(found.scopes[THEIRS])


def test_their_rows_lie_on_our_map_by_their_nearest_rows(ours, bakery):
    _, found = compare(ours, bakery)
    points = read_points(ours, "bakery")
    assert points.xy.shape == (60, 2) and np.isfinite(points.xy).all()
    assert (points.discipline[30:] == -1).all() and (points.cluster[30:] == -1).all()
    assert {points.disciplines[code] for code in points.discipline[:30]} == {"music"}
    assert (points.similarity[:30] >= found.similarity).all() and points.nearest.min() >= 1


def test_a_set_compared_with_itself_covers_all_of_it(ours, tmp_path, new_workspace):
    copy = new_workspace("twin")
    add_topics(copy, 12)
    _, found = compare(ours, copy.folder)
    assert (found.name, found.form) == ("twin", "workspace")
    assert found.only_ours.value == found.only_theirs.value == 0 and found.gaps == ()
    assert found.scopes[OURS] == found.scopes[THEIRS]
    assert found.disciplines == {"mathematics": 12, "music": 12, "earth-science": 12}


def test_a_large_set_is_sampled_the_same_every_time(ours, bakery):
    _, first = compare(ours, bakery, max_rows=20)
    taken = [row.question for row in read_rows(ours, "bakery", list(range(20)))]
    remove_comparison(ours, "bakery")
    assert list_comparisons(ours) == [] and read_comparison(ours, "bakery") is None
    _, second = compare(ours, bakery, max_rows=20)
    assert (first.number, first.rows) == (60, 20) and second.scopes == first.scopes
    assert [row.question for row in read_rows(ours, "bakery", list(range(20)))] == taken


def test_a_stopped_comparison_does_not_count_and_goes_on(ours, bakery):
    with pytest.raises(KeyboardInterrupt):
        compare_datasets(ours, ComparisonSettings(path=str(bakery), embedder="words"), Steps(stop_at=20))
    assert list_comparisons(ours) == []
    with pytest.raises(GlanError, match="not finished"):
        read_points(ours, "bakery")
    assert compare(ours, bakery)[1].rows == 60


def test_what_cannot_be_compared_is_said(ours, tmp_path, new_workspace):
    with pytest.raises(GlanError, match="does not exist"):
        compare(ours, tmp_path / "nothing.jsonl")
    with pytest.raises(GlanError, match="has no kept questions"):
        compare(ours, new_workspace("empty").folder)
    for name in ("~nobody-at-all/rows.jsonl", "x" * 5000):
        with pytest.raises(GlanError, match="is not a valid path"):
            compare(ours, name)
    other = new_workspace("new")
    add_pairs(other, [("music", "What?", "So.")])
    with pytest.raises(GlanError, match="has no questions"):
        compare(new_workspace("blank"), other.folder)
