"""The Dataset page: from what was generated to what is kept, and why the rest is left out."""

from support.studio_app import Studio

from glan_core.homework import review
from glan_core.workspace import homework_rows, tag_rows
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.tag_rows import Tag
from glan_core.workspace.workspace import set_metadata

pytest_plugins = ["support.studio_fixtures"]


def tag(ws, *tags: Tag) -> None:
    with ws.write() as db:
        tag_rows.put_tags(db, tags, None)


def test_without_pairs_it_says_what_will_be_here(starter_ws):
    shown = Studio("dataset")
    assert shown.fine and "No answered questions yet" in shown.said and "Plan a run" in shown.labels()


def test_the_funnel_leads_from_all_pairs_to_those_that_are_kept(demo_ws):
    pairs = homework_rows.pairs_page(demo_ws.db, PairFilter(disciplines=("mathematics",)), limit=4)
    review.review(demo_ws, pairs[0].question.id, "reject", "Ada")
    tag(
        demo_ws, Tag(pairs[1].question.seq, "duplicate", "near", pairs[2].question.id, 0.8),
        Tag(pairs[1].question.seq, "contaminated", "gsm8k", "7", 0.9), Tag(pairs[2].question.seq, "quality", "judge"),
    )  # fmt: skip
    shown = Studio("dataset")
    assert "96 pairs · 93 kept (97%)" in shown.said and "3 pairs excluded" in shown.said
    found = shown.table("what")
    assert found["what"].tolist() == ["low judge score", "near duplicate", "gsm8k"]
    assert found["tagged"].tolist() == [1, 1, 1]
    table = shown.table("duplicate").set_index("discipline")
    assert table.index[0] == "Mathematics" and table.loc["Mathematics", "kept"] == 45
    assert table.loc["Mathematics", ["rejected", "quality", "duplicate"]].tolist() == [1, 1, 1]
    shown.go("dataset", focus="music")
    assert "16 pairs · 16 kept (100%)" in shown.said and shown.table("duplicate")["discipline"].tolist() == ["Music"]


def test_the_checks_say_when_they_were_run_and_what_came_since(demo_ws):
    with demo_ws.write() as db:
        set_metadata(db, "check:dedup", {"at": 1.0, "up_to": homework_rows.last_seq(db) - 5})
    shown = Studio("dataset")
    assert "about 5 added since" in shown.said and shown.said.count("not run yet") == 3
    shown.press("Filters")
    assert shown.app.session_state["dataset_view"] == "Filters" and shown.fine


def test_a_reading_on_homework_tells_why_a_pair_is_left_out_and_filters_find_it(demo_ws):
    [pair] = homework_rows.pairs_page(demo_ws.db, PairFilter(), limit=1)
    tag(demo_ws, Tag(pair.question.seq, "contaminated", "gsm8k", "12", 0.66, {"where": "question"}))
    shown = Studio("homework", dropped="Excluded as contaminated")
    assert len(shown.table("question")) == 1 and "matches a question of gsm8k, 66% of it" in shown.said
    shown.press("Include anyway")
    assert homework_rows.pair(demo_ws.db, pair.question.id).dropped is None
    assert "No questions match these filters." in shown.said


def test_counts_of_a_focus_without_pairs_are_told(demo_ws):
    shown = Studio("dataset", focus="law")
    assert shown.fine and "No discipline in focus has pairs." in shown.said
