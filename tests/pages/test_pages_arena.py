"""Evaluate: blind votes in the arena, disputed verdicts, and filters, order and address of the questions of a match."""

import os

import pytest
from support.runs import execute_run
from support.studio_app import Studio, choose, copy_of, field

from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge import arena, match_statistics
from glan_core.evaluation.judge.arena import BAD, OTHER, OURS, TIE
from glan_core.evaluation.judge.disputes import dispute
from glan_core.taxonomy import tree_editing
from glan_core.workspace import Workspace, match_rows

pytest_plugins = ["support.studio_fixtures"]
JUDGED = {"test": "first", "ours": "scripted", "other": "reference", "answer_tokens": 30}


@pytest.fixture(scope="module")
def judged_made(demo_made, tmp_path_factory):
    """The demo workspace with a test of two disciplines, on which the scripted teacher was judged beside the references."""
    ws = Workspace.open(copy_of(demo_made, tmp_path_factory.mktemp("judged"), "demo"))
    assert execute_run(ws, {"name": "first", "questions": 5}, "glan-test").state == "finished"
    assert execute_run(ws, JUDGED, "judge-models").state == "finished"
    ws.close()
    return ws.folder


@pytest.fixture
def judged(home, judged_made):
    ws = Workspace.open(copy_of(judged_made, home, "demo"))
    yield ws
    ws.close()


@pytest.fixture
def match(judged):
    return match_rows.matches(judged.db)[0]


def view(name: str, **query: str) -> Studio:
    shown = Studio("evaluate", evaluate_view=name, **query)
    assert shown.fine, shown.app.exception
    return shown


def click(shown: Studio, key: str) -> Studio:
    next(button for button in shown.app.button if button.key == key).click().run()
    assert shown.fine, shown.app.exception
    return shown


def choices(ws: Workspace, match, who: str = "Ada") -> dict[str, str]:
    return {vote.item: vote.choice for vote in match_rows.votes(ws.db, match.id) if vote.who == who}


# ------------------------------------------------------------------------------------------------------------------ arena


def test_the_arena_of_nothing_leads_to_judging(demo_ws):
    shown = view("Arena")
    assert "No answers yet" in shown.said and "Judge two models" in shown.labels()


def sides(shown: Studio) -> list[str]:
    """Return the lines above the two answers."""
    return [one.value for one in shown.app.markdown if one.value.startswith(("**Left**", "**Right**"))]


def test_models_are_hidden_until_the_vote(judged, match):
    found = arena.pairings(judged, match)
    shown = view("Arena")
    assert sides(shown) == ["**Left**", "**Right**"] and f"0 of {len(found)} questions voted on by you" in shown.said
    assert shown.app.query_params["item"] == found[0].item.id
    badges = [one.value for one in shown.app.markdown if "badge[" in one.value]
    assert not any("scripted" in badge for badge in badges), "a badge would say which answer is whose"
    click(shown, "arena_vote_1")
    assert sides(shown) == ["**Left**", "**Right**"], "the next question is blind again"
    assert choices(judged, match) == {found[0].item.id: found[0].choice(0)}
    assert shown.app.query_params["item"] == found[1].item.id
    click(shown, f"arena_open_{found[0].item.id}")
    of = {OURS: title(match.ours), OTHER: title(match.other)}
    assert sides(shown) == [f"**Left** · {of[found[0].choice(0)]}", f"**Right** · {of[found[0].choice(1)]}"]


def test_every_button_is_a_vote_and_undo_takes_the_newest_back(judged, match):
    found = arena.pairings(judged, match)
    shown = view("Arena")
    assert next(button for button in shown.app.button if button.key == "arena_undo").disabled
    for key in ("1", "2", "3", "4"):
        click(shown, f"arena_vote_{key}")
    assert list(choices(judged, match).values()) == [found[0].choice(0), found[1].choice(1), TIE, BAD]
    click(shown, "arena_undo")
    assert list(choices(judged, match)) == [one.item.id for one in found[:3]]
    assert shown.app.query_params["item"] == found[3].item.id and sides(shown) == ["**Left**", "**Right**"]
    click(shown, "arena_vote_2")
    assert choices(judged, match)[found[3].item.id] == found[3].choice(1)
    assert shown.app.query_params["item"] == found[4].item.id


def test_a_vote_is_changed_and_the_next_open_question_follows(judged, match):
    found = arena.pairings(judged, match)
    shown = view("Arena")
    for key in ("1", "3"):
        click(shown, f"arena_vote_{key}")
    click(shown, f"arena_open_{found[0].item.id}")
    click(shown, "arena_vote_4")
    assert choices(judged, match) == {found[0].item.id: BAD, found[1].item.id: TIE}
    assert shown.app.query_params["item"] == found[2].item.id
    click(click(shown, f"arena_open_{found[1].item.id}"), "arena_next")
    assert shown.app.query_params["item"] == found[2].item.id and len(choices(judged, match)) == 2


def test_a_link_opens_its_question_and_all_votes_end_with_a_sentence(judged, match):
    found = arena.pairings(judged, match)
    shown = view("Arena", item=found[3].item.id)
    assert found[3].item.question.split()[0] in shown.said and shown.app.query_params["item"] == found[3].item.id
    for pairing in found[:-1]:
        arena.vote(judged, match, pairing.item.id, TIE, "Ada")
    shown = view("Arena")
    click(shown, "arena_vote_3")
    assert "You have voted on all questions." in shown.said and "item" not in shown.app.query_params
    assert f"{len(found)} of {len(found)} questions voted on by you" in shown.said and f"ties {len(found)}" in shown.said
    click(shown, "arena_undo")
    assert sides(shown) == ["**Left**", "**Right**"]


def test_two_people_vote_for_themselves_and_are_counted_together(judged, match, monkeypatch):
    first = arena.pairings(judged, match)[0].item.id
    click(view("Arena"), "arena_vote_3")
    monkeypatch.setattr(tree_editing, "default_user", lambda: "Bob")
    shown = Studio("evaluate", evaluate_view="Arena")
    assert "0 of" in shown.said and sides(shown) == ["**Left**", "**Right**"]
    shown.app.query_params["item"] = first
    shown.app.run()
    assert sides(shown) == ["**Left**", "**Right**"], "what Ada preferred is hidden from Bob"
    click(shown, "arena_vote_4")
    assert choices(judged, match) == {first: TIE} and choices(judged, match, "Bob") == {first: BAD}
    assert "**2 votes**" in shown.said and "ties 1, both bad 1" in shown.said and "Judge and people agree on" in shown.said
    click(shown, "arena_undo")
    assert choices(judged, match) == {first: TIE} and choices(judged, match, "Bob") == {}


def test_cut_answers_are_said_to_be(judged):
    assert "An answer was cut off at its token limit." in view("Arena").said


def test_votes_rank_models_on_the_leaderboard(judged, match):
    for pairing in arena.pairings(judged, match):
        arena.vote(judged, match, pairing.item.id, OURS, "Ada")
    shown = view("Leaderboard")
    assert shown.table("rating")["model"].tolist()[0] in ("Scripted teacher", "Reference answers")
    next(group for group in shown.app.get("button_group") if group.key == "ranking_source").set_value("votes").run()
    assert shown.fine and shown.table("rating")["model"].tolist() == ["Scripted teacher", "Reference answers"]


def test_a_reader_sees_votes_and_cannot_vote(judged, match, monkeypatch):
    arena.vote(judged, match, arena.pairings(judged, match)[0].item.id, TIE, "Bob")
    judged.close()
    monkeypatch.setattr(os, "access", lambda *where: False)
    shown = view("Arena")
    assert "**1 vote**" in shown.said and not [one for one in shown.app.button if (one.key or "").startswith("arena_vote")]


# --------------------------------------------------------------------------------------------------------------- disputes


def test_a_verdict_is_marked_as_wrong_and_the_score_is_read_without_it(judged, match):
    shown = view("Questions")
    item = shown.app.query_params["question"]
    assert "Without" not in shown.said and "Disputed" not in shown.said
    field(shown, f"dispute_reason_{item}").set_value("The <b>unit</b> is wrong.")
    click(shown, f"dispute_now_{item}")
    [one] = match_rows.disputes(judged.db, match.id).values()
    assert (one.item, one.reason, one.who) == (item, "The <b>unit</b> is wrong.", "Ada")
    assert "Disputed by Ada" in shown.said and "Without 1 disputed question:" in shown.said
    assert not any("<b>" in one.value for one in shown.app.markdown)
    frame = match_statistics.item_frame(judged, match)
    left = match_statistics.undisputed_outcome(frame)
    assert (
        f"{left.difference:+.2f} points (95% interval {left.low:+.2f} to {left.high:+.2f}) on {left.judged} questions"
        in shown.said
    )
    assert shown.app.query_params["question"] == item, "the question stays selected"
    assert "Without 1 disputed question:" in view("Results").said
    click(shown, f"undispute_{item}")
    assert not match_rows.disputes(judged.db, match.id) and "Disputed" not in shown.said and "Without" not in shown.said


def test_a_reason_that_is_too_long_is_an_error(judged, match):
    shown = view("Questions")
    item = shown.app.query_params["question"]
    field(shown, f"dispute_reason_{item}").set_value("x" * 501)
    click(shown, f"dispute_now_{item}")
    assert "longer than 500 characters" in shown.said and not match_rows.disputes(judged.db, match.id)


def test_disputed_questions_can_be_listed(judged, match):
    frame = match_statistics.item_frame(judged, match)
    dispute(judged, match.id, frame["item"][2], "", "Bob")
    shown = view("Questions")
    next(group for group in shown.app.get("button_group") if group.key == "evaluate_shown").set_value("disputed").run()
    assert len(shown.table("question")) == 1 and shown.app.query_params["question"] == frame["item"][2]
    assert "Disputed by Bob" in shown.said and "no reason given" in shown.said


# -------------------------------------------------------------------------------------------------------------- questions


@pytest.fixture
def frame(judged, match):
    return match_statistics.item_frame(judged, match)


def test_questions_are_sorted_by_every_order(judged, frame):
    shown = view("Questions")
    assert shown.table("question")["difference"].is_monotonic_increasing
    assert choose(shown, evaluate_order="high").table("question")["difference"].is_monotonic_decreasing
    choose(shown, evaluate_order="discipline")
    names = shown.table("question")["name"].tolist()
    assert names == [row["name"] for _, row in frame.sort_values(["field", "name"]).iterrows()]
    for order in ("level", "strategy"):
        assert len(choose(shown, evaluate_order=order).table("question")) == len(frame) and shown.fine


def test_questions_are_filtered_and_the_counts_follow(judged, frame):
    shown = view("Questions")
    some = frame["name"].iloc[0]
    choose(shown, evaluate_of_name=some)
    assert set(shown.table("question")["name"]) == {some} and len(shown.table("question")) == (frame["name"] == some).sum()
    assert f"All · {(frame['name'] == some).sum()}" in [
        option for group in shown.app.get("button_group") if group.key == "evaluate_shown" for option in group.options
    ]
    strategy = frame["strategy"].iloc[0]
    choose(shown, evaluate_of_strategy=strategy)
    wanted = (frame["name"] == some) & (frame["strategy"] == strategy)
    assert shown.fine and len(shown.table("question")) == wanted.sum() > 0
    other = next(name for name in frame["name"] if name != some)
    assert set(choose(shown, evaluate_of_name=other, evaluate_of_strategy="Any").table("question")["name"]) == {other}


def test_a_link_opens_the_filtered_questions(judged, frame):
    name = frame["name"].iloc[-1]
    shown = view("Questions", evaluate_order="Highest difference", evaluate_of_name=name)
    assert set(shown.table("question")["name"]) == {name} and shown.table("question")["difference"].is_monotonic_decreasing
    item = frame[frame["name"] == name]["item"].iloc[1]
    assert view("Questions", evaluate_of_name=name, question=item).app.query_params["question"] == item
    assert len(view("Questions", evaluate_of_name="Nothing of the kind").table("question")) == len(frame)


def test_filters_without_a_match_say_so(judged, frame):
    shown = view("Questions", focus="dance")
    assert "No questions match this filter." in shown.said
