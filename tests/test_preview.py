"""Previews: apart until accepted, never paid for twice, accounted for even when discarded."""

import pytest
from helpers import Canned, content, number, rows, run_order

from glan_core import preview, runs
from glan_core.errors import GlanError
from glan_core.generation.order import Terms
from glan_core.workspace import Workspace, call_rows, run_rows


def test_a_preview_is_one_syllabus_and_three_pairs_and_stays_out_of_the_workspace(ws):
    before = content(ws)
    run = preview.make(ws, "mathematics", Terms())
    shown = preview.read(ws, "mathematics")
    assert run.state == "finished" and shown.syllabus.subject_id == shown.subjects[0].id
    assert len(shown.pairs) == 3 and all(pair.answer for pair in shown.pairs) and shown.sessions
    assert content(ws) == before and number(ws, "SELECT count(*) FROM calls") == 0


def test_accepting_brings_just_what_a_full_run_would_have_made_and_the_full_run_pays_only_for_the_rest(
    ws, new_workspace, order
):
    preview.make(ws, "mathematics", Terms())
    preview.accept(ws, "mathematics")
    assert number(ws, "SELECT count(*) FROM answers") == 3 and not preview.folder_of(ws, "mathematics").exists()
    paid = number(ws, "SELECT count(*) FROM calls")
    run_order(ws, order("mathematics"))
    straight = new_workspace("straight")
    run_order(straight, order("mathematics"))
    assert content(ws) == content(straight)
    assert number(ws, "SELECT count(*) FROM calls") == number(straight, "SELECT count(*) FROM calls") > paid
    counters = "SELECT measure, value FROM counters WHERE node_id = 'mathematics' AND measure != 'last_at' ORDER BY measure"
    assert rows(ws, counters) == rows(straight, counters)


def test_a_discarded_preview_leaves_its_calls_in_the_accounts_and_nothing_else(ws):
    before = content(ws)
    preview.make(ws, "music", Terms())
    preview.discard(ws, "music")
    assert content(ws) == before
    assert {outcome for (outcome,) in rows(ws, "SELECT outcome FROM calls")} == {"discarded"}
    run = run_rows.runs(ws.db)[0]
    assert run.kind == "preview" and run.state == "finished" and "Discarded" in run.message


def test_trying_again_replaces_the_preview(ws):
    preview.make(ws, "music", Terms())
    preview.make(ws, "music", Terms())
    preview.accept(ws, "music")
    assert number(ws, "SELECT count(*) FROM answers") == 3
    discarded = number(ws, "SELECT count(*) FROM calls WHERE outcome = 'discarded'")
    assert discarded == number(ws, "SELECT count(*) FROM calls WHERE outcome = 'stored'")


def test_a_preview_is_refused_where_it_makes_no_sense(ws, order):
    for id in ("arts", "nowhere"):
        with pytest.raises(GlanError, match="no discipline"):
            preview.make(ws, id, Terms())
    run_order(ws, order("music"))
    with pytest.raises(GlanError, match="already has subjects"):
        preview.make(ws, "music", Terms())
    with pytest.raises(GlanError, match="no preview"):
        preview.read(ws, "mathematics")


def test_a_preview_that_was_overtaken_cannot_be_accepted_but_discarded(ws, order):
    preview.make(ws, "music", Terms())
    run_order(ws, order("music"))
    had = content(ws)
    with pytest.raises(GlanError, match="meanwhile"):
        preview.accept(ws, "music")
    assert content(ws) == had and preview.read(ws, "music").pairs
    preview.discard(ws, "music")
    assert content(ws) == had


def test_a_preview_that_failed_says_why(ws, teach):
    teach(Canned(lambda stage, nth, messages: "" if stage == "syllabus" else None))
    run = preview.make(ws, "music", Terms())
    shown = preview.read(ws, "music")
    assert "failed" in run.message and shown.subjects and shown.syllabus is None and shown.pairs == []


def test_a_preview_that_is_at_work_is_neither_replaced_nor_settled(ws):
    preview.make(ws, "music", Terms())
    small = Workspace.open(preview.folder_of(ws, "music"))
    runs.submit(small, "generate", "at work", {})
    for action in (preview.accept, preview.discard, lambda ws, id: preview.make(ws, id, Terms())):
        with pytest.raises(GlanError, match="at work"):
            action(ws, "music")
    assert preview.read(ws, "music").pairs and run_rows.runs(ws.db) == []


def test_accepting_settles_what_failed_before_and_counts_what_is_left(ws, order, teach):
    teach(Canned(lambda stage, nth, messages: "" if stage == "subject_list" else None))
    run_order(ws, order("music", subject_queries=2))  # both lists fail
    assert number(ws, "SELECT value FROM counters WHERE measure = 'failures'") == 2
    teach(Canned(lambda stage, nth, messages: "" if stage == "answer" and nth == 0 else None))
    preview.make(ws, "music", Terms())
    preview.accept(ws, "music")
    left = call_rows.failures(ws.db)
    assert sorted(failure.stage for failure in left) == ["answer", "subject_list"]
    assert {failure.run_id for failure in left if failure.stage == "answer"} == {run_rows.runs(ws.db)[0].id}
    assert number(ws, "SELECT value FROM counters WHERE measure = 'failures'") == 2


def test_settling_that_breaks_leaves_no_run_that_others_wait_for(ws, order, monkeypatch):
    def broken(*args, **values):
        raise ZeroDivisionError("unforeseen")

    preview.make(ws, "music", Terms())
    with monkeypatch.context() as patch:
        patch.setattr(preview, "take_over", broken)
        with pytest.raises(ZeroDivisionError):
            preview.accept(ws, "music")
    run = run_rows.runs(ws.db)[0]
    assert (run.state, run.message) == ("failed", "unforeseen") and run_rows.live_runs(ws.db) == []
    preview.accept(ws, "music")


def test_a_folder_that_is_no_discipline_is_no_preview(ws):
    preview.make(ws, "music", Terms())
    with pytest.raises(GlanError, match="no preview"):
        preview.discard(ws, "..")  # previews/.. is the workspace itself
    assert preview.read(ws, "music").pairs
