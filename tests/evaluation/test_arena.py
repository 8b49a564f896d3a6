"""Arena: blind order, votes with undo and change, agreement with the judge, and disputed verdicts."""

import pytest
from support.runs import execute_run

from glan_core.errors import GlanError
from glan_core.evaluation import model_ranking
from glan_core.evaluation.judge import arena, match_statistics
from glan_core.evaluation.judge.arena import BAD, OTHER, OURS, TIE
from glan_core.evaluation.judge.disputes import dispute, withdraw
from glan_core.evaluation.judge.match_statistics import item_frame, outcome, undisputed_outcome
from glan_core.evaluation.judge.result_card import card_rows, result_card
from glan_core.workspace import match_rows


@pytest.fixture
def match(ws, settings):
    """A match of truncated scripted answers against the references, judged by the scripted judge."""
    execute_run(ws, settings("mathematics", "music", questions_per_syllabus=25))
    assert execute_run(ws, {"name": "first", "questions": 5}, "glan-test").state == "finished"
    values = {"test": "first", "ours": "scripted", "other": "reference", "answer_tokens": 20}
    assert execute_run(ws, values, "judge-models").state == "finished"
    return match_rows.matches(ws.db)[0]


def test_sides_are_mixed_and_a_vote_for_a_side_counts_for_its_model(ws, match):
    found = arena.pairings(ws, match)
    assert len(found) == 10 and {pairing.swapped for pairing in found} == {False, True} and found == arena.pairings(ws, match)
    for pairing in found:
        assert pairing.cut and pairing.ours != pairing.other
        assert pairing.shown[0] == (pairing.ours if pairing.choice(0) == OURS else pairing.other)
        assert pairing.shown[1] == (pairing.ours if pairing.choice(1) == OURS else pairing.other)


def test_votes_are_changed_and_undone_and_each_person_has_their_own(ws, match):
    found = arena.pairings(ws, match)
    first, second = (pairing.item.id for pairing in found[:2])
    for item, choice, who in ((first, OURS, "ada"), (second, TIE, "ada"), (first, BAD, "bob"), (first, OTHER, "ada")):
        arena.vote(ws, match, item, choice, who)
    assert {(vote.item, vote.choice) for vote in match_rows.votes(ws.db, match.id) if vote.who == "ada"} == {
        (first, OTHER),
        (second, TIE),
    }
    assert arena.next_pairing(found, {first, second}) == found[2]
    assert arena.undo(ws, match, "ada") == first, "the vote that was changed is the newest"
    assert arena.undo(ws, match, "ada") == second and arena.undo(ws, match, "ada") is None
    assert [vote.who for vote in match_rows.votes(ws.db)] == ["bob"]
    with pytest.raises(GlanError, match="invalid"):
        arena.vote(ws, match, first, "left", "ada")


def test_votes_are_counted_compared_with_the_judge_and_ranked(ws, match):
    frame = item_frame(ws, match)
    for nth, row in frame.iterrows():
        same = OURS if row["difference"] > 0 else OTHER if row["difference"] < 0 else TIE
        other = OTHER if same == OURS else OURS
        arena.vote(ws, match, row["item"], same if nth < 7 else other if nth < 9 else BAD, "ada")
    counted = arena.tally(match_rows.votes(ws.db, match.id), frame)
    assert (counted.votes, counted.bad, counted.agreeing, counted.compared) == (10, 1, 7, 9)
    assert counted.agreement_interval == pytest.approx((0.4526, 0.9368), abs=1e-3)  # Wilson interval of 7 of 9
    votes = [one for one in model_ranking.comparisons(ws) if one.source == "votes"]
    assert len(votes) == 9 and sum(one.share for one in votes) == counted.wins + counted.ties / 2


def test_a_disputed_verdict_is_kept_and_the_score_is_shown_without_it(ws, match):
    frame = item_frame(ws, match)
    assert undisputed_outcome(frame) is None
    before = match_rows.result_state(ws.db, match)
    worst = frame.sort_values("difference").iloc[0]["item"]
    dispute(ws, match.id, worst, " The unit\nis wrong. ", "ada")
    assert match_rows.result_state(ws.db, match) != before, "a cached result would be shown"
    frame = item_frame(ws, match)
    left = undisputed_outcome(frame)
    assert (outcome(frame).judged, left.judged) == (10, 9)
    assert left.difference == pytest.approx(frame[frame["item"] != worst]["difference"].mean())
    assert match_rows.disputes(ws.db, match.id)[worst].reason == "The unit is wrong."
    card = result_card(ws, match, frame, outcome(frame), match_statistics.missing(ws, match, frame))
    assert any(label == "A − B without 1 disputed" and "n 9" in value for label, value in card_rows(card))
    withdraw(ws, match.id, worst)
    assert undisputed_outcome(item_frame(ws, match)) is None
    with pytest.raises(GlanError, match="longer than"):
        dispute(ws, match.id, worst, "x" * 600, "ada")
    with pytest.raises(GlanError, match="does not exist"):
        dispute(ws, "mat-none", worst, "", "ada")
