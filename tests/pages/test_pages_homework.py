"""Reviewing on the Homework page: verdicts, stars, filters in links, all rows at once, editing, writing anew, undo."""

import pytest
from streamlit.testing.v1 import AppTest
from support.runs import number, wait_for
from support.studio_app import Studio, add_failure

from glan_core import runs
from glan_core.homework import review
from glan_core.ids import answer_id
from glan_core.workspace import curriculum_rows, homework_rows, run_rows
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.pair_filter import PairFilter

pytest_plugins = ["support.studio_fixtures"]


def newest(ws, count: int, **which) -> list[Pair]:
    return homework_rows.pairs_page(ws.db, PairFilter(**which), limit=count)


def starts(pair: Pair) -> str:
    return pair.question.text[:70].replace("\n", " ")


def test_a_verdict_goes_on_to_the_next_row_and_undo_takes_it_back(demo_ws):
    first, second, *_ = newest(demo_ws, 3)
    shown = Studio("homework")
    shown.app.selectbox(key="reject_reason").set_value("too easy")
    shown.press("Reject")
    judged = homework_rows.pair(demo_ws.db, first.question.id)
    assert (judged.review, judged.reason) == ("reject", "too easy") and "1 rejected pair" in shown.said
    assert shown.app.session_state["pair"] == second.question.id and starts(second) in shown.said.replace("\n", " ")
    shown.press("Undo")
    assert homework_rows.pair(demo_ws.db, first.question.id) == first and "rejected pair" not in shown.said
    shown.press("Keep")
    assert homework_rows.pair(demo_ws.db, second.question.id).review == "keep"
    assert shown.table("question")["review"].to_list()[:2] == ["", "✓"]


def test_the_same_verdict_again_takes_it_back_and_a_star_stays_on_its_row(demo_ws):
    pair = newest(demo_ws, 2)[1]
    review.review(demo_ws, pair.question.id, "keep", "Ada")
    shown = Studio("homework", pair=pair.question.id)
    assert "kept" in shown.said
    shown.press("Keep")
    assert homework_rows.pair(demo_ws.db, pair.question.id).review is None
    shown.app.button(key="star").click().run()
    assert homework_rows.pair(demo_ws.db, pair.question.id).starred
    assert shown.app.session_state["pair"] == pair.question.id and shown.table("question")["review"].to_list()[1] == "★"


def test_next_and_previous_go_over_the_end_of_a_page(demo_ws):
    everything = newest(demo_ws, 96)
    shown = Studio("homework", pair=everything[49].question.id)
    shown.app.button(key="next").click().run()
    assert len(shown.table("question")) == 46 and starts(everything[50]) in shown.said.replace("\n", " ")
    shown.app.button(key="previous").click().run()
    assert len(shown.table("question")) == 50


def test_the_title_counts_what_the_table_shows_of_a_subject(demo_ws):
    pair = newest(demo_ws, 1, disciplines=("music",))[0]
    subject = curriculum_rows.syllabus(demo_ws.db, pair.question.syllabus_id).subject_id
    shown = Studio("homework", focus="music", subject=subject)
    assert f"{len(shown.table('question'))} questions from " in shown.said
    assert "in the whole discipline: 16 pairs" in shown.said


def test_filters_come_from_a_link_and_go_by_their_chips(demo_ws):
    review.review(demo_ws, newest(demo_ws, 1)[0].question.id, "reject", "Ada")
    shown = Studio("homework", review="Rejected", strategy=newest(demo_ws, 1)[0].question.strategy)
    assert len(shown.table("question")) == 1
    assert {"rejected", newest(demo_ws, 1)[0].question.strategy} <= set(shown.labels())
    shown.app.button(key="chip_review").click().run()
    assert len(shown.table("question")) > 1
    shown.app.number_input(key="longest").set_value(1).run()
    assert "No questions match these filters." in shown.said
    shown.press("Clear filters")
    assert len(shown.table("question")) == 50 and not [b for b in shown.app.button if (b.key or "").startswith("chip_")]


def test_every_filter_narrows_to_what_it_says(demo_ws):
    level = homework_rows.levels(demo_ws.db)[-1]
    [starred, *_] = newest(demo_ws, 1)
    review.star(demo_ws, starred.question.id, "Ada", starred=True)
    for key, value, which in (
        ("level", level, {"level": level}),
        ("teacher", "scripted", {"teacher": "scripted"}),
        ("shortest", 2000, {"shortest": 2000}),
        ("starred", True, {"starred": True}),
        ("edited", True, {"edited": True}),
    ):
        shown = Studio("homework")
        shown.app.session_state[key] = value
        shown.app.run()
        wanted = newest(demo_ws, 50, **which)
        assert shown.fine and (len(shown.table("question")) if wanted else 0) == len(wanted), key


def test_all_rows_of_a_filter_are_rejected_after_their_number_is_said_and_undone_at_once(demo_ws):
    shown = Studio("homework", focus="music")
    shown.app.session_state["bulk"] = True
    shown.app.run()
    assert "**16 rows** match the filters." in shown.said
    shown.app.button(key="bulk_reject").click().run()
    assert number(demo_ws, "SELECT count(*) FROM questions WHERE review = 'reject'") == 16
    assert "16 rows rejected." in shown.said
    shown.press("Undo")
    assert number(demo_ws, "SELECT count(*) FROM questions WHERE review IS NOT NULL") == 0


def test_a_link_to_a_row_that_is_not_on_the_page_shows_it_and_one_to_nothing_the_first(demo_ws):
    last = newest(demo_ws, 96)[-1]
    assert starts(last) in Studio("homework", pair=last.question.id).said.replace("\n", " ")
    gone = Studio("homework", pair="qst-0")
    assert gone.fine and starts(newest(demo_ws, 1)[0]) in gone.said.replace("\n", " ")


def dialog(folder: str, question_id: str) -> None:
    """The edit dialog as a script of its own."""
    import streamlit as st

    from glan_core.workspace import Workspace, homework_rows
    from pages.components.homework.review_actions import edit_dialog

    ws = Workspace.open(folder)
    st.session_state.workspace = "demo"
    edit_dialog(ws, homework_rows.pair(ws.db, question_id))


def test_a_pair_is_edited_marked_and_its_older_text_told(demo_ws):
    pair = newest(demo_ws, 1)[0]
    edit = AppTest.from_function(dialog, default_timeout=30, args=(str(demo_ws.folder), pair.question.id)).run()
    edit.text_area[0].set_value("Why do zebras wear stripes?")
    edit.button[0].click().run()
    shown = Studio("homework", pair=pair.question.id)
    assert "Why do zebras wear stripes?" in shown.said and "edited" in shown.said
    assert "The answer belongs to an earlier version of the question" in shown.said
    shown.app.session_state["chain_tabs"] = "History"
    shown.app.run()
    assert (
        pair.question.text in [code.value for code in shown.app.code] and "Ada changed the text of the question" in shown.said
    )
    edit.text_area[0].set_value(" ")
    edit.button[0].click().run()
    assert "text of the question is empty" in edit.error[0].value


def test_prompts_are_shown_of_calls_without_sampling_parameters(demo_ws):
    pair = newest(demo_ws, 1)[0]
    with demo_ws.write() as db:
        db.execute("UPDATE calls SET temperature = NULL WHERE work_id = ?", (pair.question.id,))
        db.execute("UPDATE calls SET top_p = NULL WHERE work_id = ?", (answer_id(pair.question.id),))
    shown = Studio("homework", pair=pair.question.id)
    shown.app.session_state["chain_tabs"] = "Prompts and replies"
    shown.app.run()
    assert "temperature not sent · top-p 0.95" in shown.said and "temperature 0.7 · top-p not sent" in shown.said


@pytest.mark.long
def test_an_answer_is_written_anew_by_a_run_of_its_own(demo_ws):
    pair = newest(demo_ws, 1)[0]
    review.edit(demo_ws, pair.question.id, "Ada", question=pair.question.text, answer="Something else.")
    shown = Studio("homework", pair=pair.question.id)
    shown.press("Regenerate answer · 1 call")
    [run, *_] = run_rows.runs(demo_ws.db)
    assert run.kind == "redo" and run.params["record_id"] == pair.question.id
    wait_for(lambda: runs.state_of(runs.get(demo_ws, run.id)) == "finished", "the run's end")
    assert homework_rows.pair(demo_ws.db, pair.question.id).answer == pair.answer  # the scripted teacher repeats itself
    assert number(demo_ws, "SELECT count(*) FROM calls WHERE work_id = ?", answer_id(pair.question.id)) == 2


def test_questions_whose_answer_failed_can_be_listed(demo_ws):
    pair = newest(demo_ws, 1)[0]
    with demo_ws.write() as db:
        db.execute("DELETE FROM answers WHERE question_id = ?", (pair.question.id,))
        db.execute("UPDATE questions SET answered = 0 WHERE id = ?", (pair.question.id,))
    add_failure(demo_ws, None, "refused", work=answer_id(pair.question.id))
    with demo_ws.write() as db:
        db.execute("UPDATE failures SET stage = 'answer'")
    shown = Studio("homework")
    shown.app.button_group(key="answered").set_value("failed").run()
    assert len(shown.table("question")) == 1 and "No answer yet" in shown.said
