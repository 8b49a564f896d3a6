"""Previews are separate until accepted, never paid for twice, accounted for even if discarded, and readable while generated."""

import os
import signal
from dataclasses import replace

import pytest
from support.runs import Canned, Served, content, execute_run, number, rows, wait_for

from glan_core import runs
from glan_core.curriculum import syllabus_editing
from glan_core.errors import GlanError
from glan_core.generation import preview
from glan_core.generation.settings import TeacherSettings
from glan_core.homework import review
from glan_core.taxonomy import tree_editing
from glan_core.workspace import Workspace, call_rows, homework_rows, pair_filter, record_rows, run_rows, taxonomy_rows


def test_a_preview_is_one_syllabus_and_three_pairs_and_stays_out_of_the_workspace(ws):
    before = content(ws)
    run = preview.create(ws, "mathematics", TeacherSettings())
    shown = preview.read(ws, "mathematics")
    assert run.state == "finished" and shown.syllabus.subject_id == shown.subjects[0].id
    assert len(shown.pairs) == 3 and all(pair.answer for pair in shown.pairs) and shown.sessions
    assert content(ws) == before and number(ws, "SELECT count(*) FROM calls") == 0


def test_accepting_brings_just_what_a_full_run_would_have_made_and_the_full_run_pays_only_for_the_rest(
    ws, new_workspace, settings
):
    preview.create(ws, "mathematics", TeacherSettings())
    preview.accept(ws, "mathematics")
    assert number(ws, "SELECT count(*) FROM answers") == 3 and not preview.folder_of(ws, "mathematics").exists()
    paid = number(ws, "SELECT count(*) FROM calls")
    execute_run(ws, settings("mathematics"))
    straight = new_workspace("straight")
    execute_run(straight, settings("mathematics"))
    assert content(ws) == content(straight)
    assert number(ws, "SELECT count(*) FROM calls") == number(straight, "SELECT count(*) FROM calls") > paid
    counters = "SELECT measure, value FROM counters WHERE node_id = 'mathematics' AND measure != 'last_at' ORDER BY measure"
    assert rows(ws, counters) == rows(straight, counters)
    totals = "SELECT teacher, stage, calls, tokens_in, tokens_out FROM call_totals"
    assert rows(ws, totals) == rows(straight, totals)


def test_a_discarded_preview_leaves_its_calls_in_the_accounts_and_nothing_else(ws):
    before = content(ws)
    preview.create(ws, "music", TeacherSettings())
    preview.discard(ws, "music")
    assert content(ws) == before
    assert {outcome for (outcome,) in rows(ws, "SELECT outcome FROM calls")} == {"discarded"}
    run = run_rows.runs(ws.db)[0]
    assert run.kind == "preview" and run.state == "finished" and "Discarded" in run.message


def test_trying_again_replaces_the_preview(ws):
    preview.create(ws, "music", TeacherSettings())
    preview.create(ws, "music", TeacherSettings())
    preview.accept(ws, "music")
    assert number(ws, "SELECT count(*) FROM answers") == 3
    discarded = number(ws, "SELECT count(*) FROM calls WHERE outcome = 'discarded'")
    assert discarded == number(ws, "SELECT count(*) FROM calls WHERE outcome = 'stored'")


def test_a_preview_is_refused_where_it_makes_no_sense(ws, settings):
    for id in ("arts", "nowhere"):
        with pytest.raises(GlanError, match="not a discipline"):
            preview.create(ws, id, TeacherSettings())
    execute_run(ws, settings("music"))
    with pytest.raises(GlanError, match="already has subjects"):
        preview.create(ws, "music", TeacherSettings())
    with pytest.raises(GlanError, match="no preview"):
        preview.read(ws, "mathematics")


def test_a_preview_that_was_overtaken_cannot_be_accepted_but_discarded(ws, settings):
    preview.create(ws, "music", TeacherSettings())
    execute_run(ws, settings("music"))
    had = content(ws)
    with pytest.raises(GlanError, match="in the meantime"):
        preview.accept(ws, "music")
    assert content(ws) == had and preview.read(ws, "music").pairs
    preview.discard(ws, "music")
    assert content(ws) == had


def test_a_preview_that_failed_says_why(ws, teach):
    teach(Canned(lambda stage, nth, messages: "" if stage == "syllabus" else None))
    run = preview.create(ws, "music", TeacherSettings())
    shown = preview.read(ws, "music")
    assert "failed" in run.message and shown.subjects and shown.syllabus is None and shown.pairs == []


def test_a_preview_that_is_at_work_is_neither_replaced_nor_settled(ws):
    preview.create(ws, "music", TeacherSettings())
    small = Workspace.open(preview.folder_of(ws, "music"))
    runs.submit(small, "generate", "at work", {})
    for action in (preview.accept, preview.discard, lambda ws, id: preview.create(ws, id, TeacherSettings())):
        with pytest.raises(GlanError, match="is being generated"):
            action(ws, "music")
    assert preview.read(ws, "music").pairs and run_rows.runs(ws.db) == []


def test_accepting_settles_what_failed_before_and_counts_what_is_left(ws, settings, teach):
    teach(Canned(lambda stage, nth, messages: "" if stage == "subject_list" else None))
    execute_run(ws, settings("music", subject_queries=2))  # both lists fail
    assert number(ws, "SELECT value FROM counters WHERE measure = 'failures'") == 2
    teach(Canned(lambda stage, nth, messages: "" if stage == "answer" and nth == 0 else None))
    preview.create(ws, "music", TeacherSettings())
    preview.accept(ws, "music")
    left = call_rows.failures(ws.db)
    assert sorted(failure.stage for failure in left) == ["answer", "subject_list"]
    assert {failure.run_id for failure in left if failure.stage == "answer"} == {run_rows.runs(ws.db)[0].id}
    assert number(ws, "SELECT value FROM counters WHERE measure = 'failures'") == 2


def test_settling_that_breaks_leaves_no_run_that_others_wait_for(ws, settings, monkeypatch):
    def broken(*args, **values):
        raise ZeroDivisionError("Unexpected error")

    preview.create(ws, "music", TeacherSettings())
    with monkeypatch.context() as patch:
        patch.setattr(preview, "merge_discipline", broken)
        with pytest.raises(ZeroDivisionError):
            preview.accept(ws, "music")
    run = run_rows.runs(ws.db)[0]
    assert (run.state, run.message) == ("failed", "Unexpected error") and run_rows.live_runs(ws.db) == []
    preview.accept(ws, "music")


def test_a_folder_that_is_no_discipline_is_no_preview(ws):
    preview.create(ws, "music", TeacherSettings())
    with pytest.raises(GlanError, match="no preview"):
        preview.discard(ws, "..")  # previews/.. is the workspace itself
    assert preview.read(ws, "music").pairs


# ------------------------------------------------------------------------------------------- drafts outside the taxonomy


@pytest.fixture
def at_once(monkeypatch):
    """Create previews in this process, before `start` and `resume` return."""
    monkeypatch.setattr(runs, "launch", lambda ws, run_id, environment=None: runs.work(ws, run_id))


def draft(ws, name: str = "Virology", under: str = "natural-sciences", notes: str = "Viruses."):
    return tree_editing.draft(ws, name, under, description=notes)


def test_a_draft_is_checked_like_an_addition_and_stored_nowhere(ws):
    before = content(ws)
    node = draft(ws)
    assert (node.id, node.kind, node.parent_id, node.description) == ("virology", "discipline", "natural-sciences", "Viruses.")
    for name, under, why in (("", "arts", "empty"), ("music", "arts", "twice"), ("X", "mathematics", "leaves")):
        with pytest.raises(GlanError, match=why):
            draft(ws, name, under)
    assert content(ws) == before and rows(ws, "SELECT count(*) FROM node_events WHERE action = 'add'") == [(0,)]


def test_a_new_discipline_joins_the_tree_when_its_preview_is_accepted_and_not_before(ws, at_once):
    before = content(ws)
    preview.start(ws, draft(ws), TeacherSettings())
    shown = preview.read(ws, "virology")
    assert shown.whole and not shown.alive and shown.node.name == "Virology" and shown.terms == TeacherSettings()
    assert content(ws) == before and number(ws, "SELECT count(*) FROM calls") == 0
    preview.accept(ws, "virology", "Ada")
    node = taxonomy_rows.node(ws.db, "virology")
    assert (node.parent_id, node.description) == ("natural-sciences", "Viruses.")
    [event] = taxonomy_rows.events(ws.db, 1)
    assert (event.action, event.node_id, event.who) == ("add", "virology", "Ada")
    assert number(ws, "SELECT count(*) FROM answers WHERE question_id IN (SELECT id FROM questions "
                      "WHERE discipline_id = 'virology')") == 3  # fmt: skip
    assert preview.pending(ws) == []
    words = pair_filter.PairFilter(("virology",), words="foundations")
    assert len(homework_rows.pairs_page(ws.db, words)) == 3  # immediately searchable


def test_a_thrown_away_draft_leaves_only_its_calls(ws, at_once):
    before = content(ws)
    preview.start(ws, draft(ws), TeacherSettings())
    preview.discard(ws, "virology")
    assert content(ws) == before and draft(ws).id == "virology"
    assert {outcome for (outcome,) in rows(ws, "SELECT outcome FROM calls")} == {"discarded"}


def test_the_notes_reach_the_teacher_and_become_the_description_of_an_empty_discipline(ws, at_once, teach):
    teacher = teach(Canned())
    node = replace(taxonomy_rows.node(ws.db, "music"), description="Only what can be heard.")
    preview.start(ws, node, TeacherSettings())
    assert "Only what can be heard." in teacher.requests("subject_list")[0][0]["content"]
    assert taxonomy_rows.node(ws.db, "music").description == ""
    preview.accept(ws, "music", "Ada")
    assert taxonomy_rows.node(ws.db, "music").description == "Only what can be heard."


@pytest.mark.parametrize("hindrance", ["parent removed", "name taken"])
def test_what_no_longer_fits_into_the_tree_is_not_accepted_and_nothing_of_it_enters(ws, at_once, hindrance):
    preview.start(ws, draft(ws), TeacherSettings())
    if hindrance == "parent removed":
        tree_editing.remove(ws, "natural-sciences", "test")
    else:
        other = tree_editing.add(ws, "Other", "natural-sciences", "test")
        tree_editing.rename(ws, other.id, "VIROLOGY", "test")
    had = content(ws)
    with pytest.raises(GlanError):
        preview.accept(ws, "virology")
    assert content(ws) == had and number(ws, "SELECT count(*) FROM calls") == 0
    assert preview.read(ws, "virology").whole and run_rows.live_runs(ws.db) == []


def test_two_drafts_of_one_name_do_not_overwrite_one_another(ws, at_once):
    preview.start(ws, draft(ws, under="natural-sciences"), TeacherSettings())
    with pytest.raises(GlanError, match="under another parent is pending"):
        preview.start(ws, draft(ws, under="arts"), TeacherSettings())
    assert preview.read(ws, "virology").node.parent_id == "natural-sciences"


def test_a_teacher_that_cannot_be_asked_is_told_at_once_and_the_earlier_preview_stays(ws, at_once):
    preview.start(ws, draft(ws), TeacherSettings())
    with pytest.raises(GlanError, match="OPENAI_API_KEY is not set"):
        preview.start(ws, draft(ws), TeacherSettings(teacher="openai:gpt-4o"))
    assert preview.read(ws, "virology").whole


def test_going_on_after_a_fault_pays_only_for_what_is_missing(ws, at_once, teach):
    teach(Canned(lambda stage, nth, messages: "" if stage == "answer" and nth == 0 else None))
    preview.start(ws, draft(ws), TeacherSettings())
    shown = preview.read(ws, "virology")
    assert not shown.whole and [(group.stage, group.cause, group.count) for group in shown.failures] == [("answer", "empty", 1)]
    teacher = teach(Canned())
    preview.resume(ws, "virology")
    shown = preview.read(ws, "virology")
    assert shown.whole and not shown.failures and [stage for stage, _ in teacher.asked] == ["answer"]


def test_previews_that_wait_are_listed_newest_first(ws, at_once):
    for name in ("Virology", "Parasitology"):
        preview.start(ws, draft(ws, name), TeacherSettings())
    (ws.folder / "previews" / "broken").mkdir()
    assert [(waiting.node.name, waiting.state) for waiting in preview.pending(ws)] == [
        ("Parasitology", "finished"), ("Virology", "finished")
    ]  # fmt: skip


def test_edits_of_a_preview_are_accepted_with_their_history(ws, at_once):
    preview.start(ws, draft(ws), TeacherSettings())
    shown = preview.read(ws, "virology")
    question, subject = shown.pairs[0].question, shown.subjects[0]
    with preview.workspace_of(ws, "virology") as small:
        syllabus_editing.edit_subject(small, subject.id, "Ada", name="Viruses", level="hard", subtopics=["one"])
        review.edit(small, question.id, "Ada", question="What is a virus?", answer="A capsid with a genome.")
    preview.accept(ws, "virology", "Ada")
    assert rows(ws, "SELECT name, level FROM subjects WHERE id = ?", subject.id) == [("Viruses", "hard")]
    [event] = [event for event in record_rows.events(ws.db, question.id) if event.field == "text"]
    assert (event.before, event.after, event.who) == (question.text, "What is a virus?", "Ada")
    assert event.last_question == number(ws, "SELECT max(seq) FROM questions")


def test_the_price_of_a_preview_is_that_of_its_calls(ws, at_once):
    cost = preview.plan_preview(ws, TeacherSettings(teacher="openai:any", base_url="http://localhost:1/v1", price="1,2"))
    preview.start(ws, draft(ws), TeacherSettings())
    with preview.workspace_of(ws, "virology") as small:
        assert cost.calls == (number(small, "SELECT count(*) FROM calls"),) * 2 == (10, 10)
    assert 0 < cost.usd[0] < cost.usd[1] and preview.plan_preview(ws, TeacherSettings()).usd == (0, 0)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"subject_name": "One", "level": "x"}\n{"subject_name": "Tw', ["One"]),
        ('[{"session" : "A \\"b\\" c", "key_concepts": []}, {"session":"Ü"', ['A "b" c', "Ü"]),
        ('{"subject_name": "bad \\x escape"}', []),
        ("Here is the list:", []),
    ],
)
def test_names_are_read_out_of_a_reply_before_it_is_whole(text, names):
    assert preview.partial_names(text) == names


# ---------------------------------------------------------------------------------------------------- during generation


@pytest.mark.long
def test_a_preview_can_be_read_while_a_child_process_writes_it(ws):
    texts: dict[str, list[str]] = {}
    with Served(latency_ms=1500) as endpoint:
        preview.start(ws, draft(ws), TeacherSettings(teacher="openai:scripted", base_url=endpoint.url, price="1,1"))

        def over() -> bool:
            shown = preview.read(ws, "virology")
            for stage in preview.CALLS:
                if (text := shown.text_of(stage)) is not None:
                    texts.setdefault(stage, []).append(text)
            for pair in shown.pairs:
                if (text := shown.answer_of(pair)) is not None:
                    texts.setdefault(pair.question.id, []).append(text)
            return not shown.alive

        wait_for(over, "the preview's end")
    shown = preview.read(ws, "virology")
    assert shown.whole and shown.writing == [] and shown.usd > 0
    syllabus = texts["syllabus"]
    assert len(set(syllabus)) > 2 and all(shown.syllabus.text.startswith(text.strip()) for text in syllabus)
    assert all(len(set(texts[pair.question.id])) > 1 for pair in shown.pairs)
    with preview.workspace_of(ws, "virology") as small:
        assert not rows(small, "SELECT 1 FROM calls WHERE estimated")  # streams report the endpoint's own counts
    assert preview.pending(ws)[0].state == "finished" and number(ws, "SELECT count(*) FROM calls") == 0


@pytest.mark.slow
def test_a_preview_is_stopped_and_gone_on_with(ws):
    with Served(latency_ms=400) as endpoint:
        preview.start(ws, draft(ws), TeacherSettings(teacher="openai:scripted", base_url=endpoint.url))
        wait_for(lambda: preview.read(ws, "virology").subjects, "subjects")
        preview.cancel(ws, "virology")
        wait_for(lambda: preview.read(ws, "virology").state == "cancelled", "its end")
        kept = preview.read(ws, "virology")
        assert kept.subjects and not kept.whole
        preview.resume(ws, "virology")
        wait_for(lambda: not preview.read(ws, "virology").alive, "the rest")
    assert preview.read(ws, "virology").whole


@pytest.mark.long
def test_a_preview_whose_process_is_gone_is_lost_and_shows_nothing_as_being_written(ws):
    with Served(latency_ms=60_000) as endpoint:
        preview.start(ws, draft(ws), TeacherSettings(teacher="openai:scripted", base_url=endpoint.url))
        wait_for(lambda: preview.read(ws, "virology").text_of("subject_list"), "the first words")
        os.killpg(preview.read(ws, "virology").run.pid, signal.SIGKILL)
        wait_for(lambda: preview.read(ws, "virology").state == "lost", "the loss")
        assert preview.read(ws, "virology").writing == []
    preview.discard(ws, "virology")
    assert preview.pending(ws) == []


@pytest.mark.long
def test_an_endpoint_that_refuses_the_key_is_said_in_words(ws):
    with Served(api_key="sk-right-4711") as endpoint:
        terms = TeacherSettings(teacher="openai:scripted", base_url=endpoint.url)
        preview.start(ws, draft(ws), terms, {"OPENAI_API_KEY": "sk-wrong-4711"})
        wait_for(lambda: not preview.read(ws, "virology").alive, "its end")
        shown = preview.read(ws, "virology")
        assert shown.state == "failed" and "rejected the API key" in shown.run.message and "4711" not in shown.run.message
        preview.resume(ws, "virology", {"OPENAI_API_KEY": "sk-right-4711"})
        wait_for(lambda: not preview.read(ws, "virology").alive, "the rest")
    assert preview.read(ws, "virology").whole
