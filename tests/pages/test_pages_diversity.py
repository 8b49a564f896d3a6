"""The Diversity page: what it says before there is a map, what the map shows, and what can be done to what is encircled."""

import numpy as np
import pytest
from support.studio_app import Studio, draw_map

from glan_core.diversity.map_area import Area
from glan_core.diversity.map_store import read_map
from glan_core.homework import review
from glan_core.taxonomy import tree_editing
from glan_core.workspace import homework_rows, pair_filter, run_rows, tag_rows
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.tag_rows import Tag
from pages.components.diversity import question_map

pytest_plugins = ["support.studio_fixtures"]


def at(shown: Studio, kind: str, xs=(), ys=()) -> Studio:
    """The page with something selected on the map, as a selection in the chart leaves it."""
    corners = (xs,) if isinstance(xs, int) else xs
    shown.app.session_state["map_area"] = Area(kind, "words", 2, tuple(map(float, corners)), tuple(map(float, ys))).to_text()
    shown.app.run()
    return shown


def test_without_questions_it_says_what_will_be_here(starter_ws):
    shown = Studio("diversity")
    assert shown.fine and "No questions yet" in shown.said
    assert "Plan a run" in shown.labels()


def test_without_a_map_one_button_draws_it_and_says_on_how_much(demo_ws, monkeypatch):
    from glan_core.runs import launcher

    launched = []
    monkeypatch.setattr(launcher, "launch", lambda ws, run_id, environment=None: launched.append(run_id))
    shown = Studio("diversity")
    assert "96 questions · no map yet" in shown.said and "Create map · 96 questions" in shown.labels()
    shown.app.selectbox(key="run_embedder_kind").select("words").run()
    shown.press("Create map")
    kinds = [(run.kind, run.params["embedder"]) for run in reversed(run_rows.runs(demo_ws.db, 2))]
    assert kinds == [("map", "words"), ("measure", "words")] and len(launched) == 2
    assert shown.fine and "Diversity map: starting" in shown.said and "Create map · 96 questions" not in shown.labels()


def test_an_embedder_without_a_name_cannot_be_asked_for(demo_ws):
    shown = Studio("diversity")
    shown.app.selectbox(key="run_embedder_kind").select("st").run()
    assert "Enter the model to continue." in shown.said and "Create map · 96 questions" not in shown.labels()


def test_the_map_says_who_made_it_and_lists_its_clusters(demo_ws):
    draw_map(demo_ws)
    shown = Studio("diversity")
    assert shown.fine and "96 questions mapped" in shown.said and "Made from words alone." in shown.said
    assert shown.table("terms")["terms"].tolist() == ["rings, tides", "chords"]
    assert not [label for label in shown.labels() if label.endswith(" new")]


@pytest.mark.long
@pytest.mark.parametrize("colour", ["Field", "Discipline", "Cluster", "Level", "Strategy", "Teacher of the answer",
                                    "In the dataset or not", "Novelty", "Length of the answer",
                                    "Order of asking"])  # fmt: skip
def test_every_colour_is_drawn_with_and_without_a_focus(demo_ws, colour):
    draw_map(demo_ws)
    shown = Studio("diversity", colour=colour)
    assert shown.fine and shown.app.selectbox(key="colour").value
    shown.go("diversity", colour=colour, focus="mathematics")
    assert shown.fine and "Diversity · Mathematics" in shown.said


def test_questions_that_came_since_can_be_added(demo_ws):
    draw_map(demo_ws, most=90)
    shown = Studio("diversity")
    assert "6 added since" in shown.said and "Add 6 new" in shown.labels()


def test_three_dimensions_are_offered_and_shown_where_they_are_drawn(demo_ws):
    draw_map(demo_ws)
    shown = Studio("diversity")
    assert "Create 3-D map" in shown.labels()
    draw_map(demo_ws, dims=3)
    shown = Studio("diversity", dims="3-D")
    assert (
        shown.fine
        and "Create 3-D map" not in shown.labels()
        and "Drag to rotate the map" in shown.said
        and "lasso" not in shown.said
    )


def test_what_is_encircled_is_listed_rejected_starred_and_brought_back(demo_ws):
    draw_map(demo_ws)
    shown = at(Studio("diversity"), "cluster", 1)
    assert "5 questions" in shown.said and len(shown.table("question")) == 5
    shown.press("Reject 5")
    assert pair_filter.count_matching(demo_ws.db, PairFilter(review="reject")) == 5 and "Rejected 5 questions." in shown.said
    shown.press("Undo")
    assert pair_filter.count_matching(demo_ws.db, PairFilter(review="reject")) == 0
    shown.press("Star 5")
    assert pair_filter.count_matching(demo_ws.db, PairFilter(starred=True)) == 5
    shown.press("Clear")
    assert "2 clusters" in shown.said


def test_a_box_around_nothing_says_so(demo_ws):
    draw_map(demo_ws)
    shown = at(Studio("diversity"), "box", (100.0, 101.0), (100.0, 101.0))
    assert shown.fine and "No questions in this area." in shown.said and "Reject 0" not in shown.labels()


def test_a_part_of_the_map_can_be_looked_at_closer_and_left_again(demo_ws):
    draw_map(demo_ws)
    shown = at(Studio("diversity"), "lasso", (-1.0, 1.0, 1.0, -1.0), (-1.0, -1.0, 1.0, 1.0))
    shown.press("Zoom to selection")
    assert "Zoomed in." in shown.said
    shown.press("Reset zoom")
    assert "Zoomed in." not in shown.said and shown.fine


def test_a_picked_question_is_read_beside_the_map_with_what_checks_found(demo_ws):
    seqs = draw_map(demo_ws)
    first, other = homework_rows.pair_ids(demo_ws.db, [int(seq) for seq in seqs[:2]])
    with demo_ws.write() as db:
        tag_rows.put_tags(db, [Tag(int(seqs[0]), "duplicate", "near", other, 0.81)], None)
    shown = Studio("diversity", pair=first)
    assert "Excluded: near duplicate of" in shown.said and "0.81" in shown.said
    shown.press("Include anyway")
    assert "Included anyway by Ada" in shown.said and homework_rows.pair(demo_ws.db, first).dropped is None
    shown.press("Exclude again")
    assert homework_rows.pair(demo_ws.db, first).dropped == "duplicate"
    shown.press("Clusters")
    assert "2 clusters" in shown.said


def test_a_discipline_that_left_the_taxonomy_keeps_its_points(demo_ws):
    draw_map(demo_ws)
    tree_editing.remove(demo_ws, "music", "Ada")
    for colour in ("Field", "Discipline"):
        assert Studio("diversity", colour=colour).fine


def test_texts_of_models_cannot_script_the_map(demo_ws):
    seqs = draw_map(demo_ws)
    [id] = homework_rows.pair_ids(demo_ws.db, [int(seqs[0])])
    review.edit(demo_ws, id, "Ada", question="<b onclick=alert(1)>x</b> <a href='javascript:alert(1)'>y</a>", answer=None)
    [text] = question_map._hover(demo_ws, tree_editing.tree(demo_ws), read_map(demo_ws, "words", 2), np.array([0]))
    assert "<a" not in text and "<b o" not in text and "&lt;b" in text
    assert Studio("diversity").fine


def test_a_job_that_failed_says_why_and_can_go_on(demo_ws):
    draw_map(demo_ws)
    with demo_ws.write() as db:
        id = run_rows.add_run(db, "map", "Map", {"embedder": "words"})
        run_rows.update_run(db, id, state="failed", message="No space is left on the disk.")
    shown = Studio("diversity")
    assert "No space is left on the disk." in shown.said and "Continue" in shown.labels()


def test_the_selection_on_the_map_filters_homework_and_exports_until_it_is_cleared(demo_ws):
    draw_map(demo_ws)
    shown = at(Studio("diversity"), "cluster", 1)
    number = int((np.asarray(read_map(demo_ws, "words", 2).cluster) == 1).sum())
    assert "filters Homework, snapshots and exports" in shown.said
    area = "cluster~2~words~1"
    homework = Studio("homework", area=area)
    assert f"Map area · {number} questions" in homework.labels() and len(homework.table("question")) == min(50, number)
    assert Studio("dataset", dataset_view="Export", area=area).said.count(f"Map area · {number} questions") >= 1
    homework.press(f"Map area · {number} questions")
    assert f"Map area · {number} questions" not in homework.labels() and homework.fine
    for wrong in ("nonsense", "cluster~2~other-model~1"):
        assert Studio("homework", area=wrong).fine


def test_words_are_searched_on_the_map(demo_ws):
    draw_map(demo_ws)
    shown = Studio("diversity", map_words="music")
    assert shown.fine and "on the map match" in shown.said
