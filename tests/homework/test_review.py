"""Reviewing and editing pairs: counted, searchable, recorded, undoable as one batch; and the filters that find them."""

from dataclasses import replace

import pytest
from support.runs import Canned, execute_run, number

from glan_core.errors import GlanError
from glan_core.generation import provenance
from glan_core.homework import review
from glan_core.ids import answer_id
from glan_core.taxonomy import coverage
from glan_core.workspace import call_rows, curriculum_rows, edit_batch, homework_rows, pair_filter, record_rows
from glan_core.workspace.pair_filter import PairFilter


@pytest.fixture
def filled(ws, settings, teach):
    """A workspace with two disciplines and some pairs."""
    teach(Canned())
    execute_run(ws, settings("mathematics", "earth-science", questions_per_syllabus=12))
    return ws


def found(ws, **which) -> list[str]:
    """Return the ids of the pairs that match a filter."""
    return [pair.question.id for pair in homework_rows.pairs_page(ws.db, PairFilter(**which), limit=1000)]


def counted(ws) -> dict[str, float]:
    return {m: coverage.coverage_by_node(ws)[""].counts[m] for m in ("kept", "rejected", "starred")}


def test_verdicts_are_stored_counted_found_and_undone(filled):
    first, second, *rest = found(filled)
    batch = review.review(filled, first, "reject", "Ada", reason=" too   easy ")
    review.review(filled, second, "keep", "Ada")
    review.star(filled, second, "Ada", starred=True)
    pair = homework_rows.pair(filled.db, first)
    assert (pair.review, pair.reason) == ("reject", "too easy")
    assert counted(filled) == {"kept": 1, "rejected": 1, "starred": 1}
    assert found(filled, review="reject") == [first] and found(filled, review="keep") == [second] == found(filled, starred=True)
    assert set(found(filled, review="none")) == set(rest)
    assert review.review(filled, first, "reject", "Bob", reason="too easy") is None  # unchanged
    assert edit_batch.undo(filled, batch, "Ada") == 2
    assert homework_rows.pair(filled.db, first).review is None and counted(filled)["rejected"] == 0
    assert coverage.coverage_by_node(filled)[""].kept_share == 1


def test_a_bulk_rejection_touches_what_the_filter_shows_and_one_undo_brings_back_what_was(filled, monkeypatch):
    monkeypatch.setattr(edit_batch, "CHUNK", 7)
    [kept, *_] = found(filled, disciplines=("mathematics",))
    review.review(filled, kept, "keep", "Ada")
    which = PairFilter(disciplines=("mathematics",))
    assert pair_filter.count_matching(filled.db, which) == 24
    batch = review.review_all(filled, which, "reject", "Ada", reason="off topic")
    assert counted(filled) == {"kept": 0, "rejected": 24, "starred": 0}
    assert set(found(filled, review="reject")) == set(found(filled, disciplines=("mathematics",)))
    edit_batch.undo(filled, batch, "Ada")
    assert counted(filled) == {"kept": 1, "rejected": 0, "starred": 0} and homework_rows.pair(filled.db, kept).review == "keep"
    with pytest.raises(GlanError, match="nothing to undo"):
        edit_batch.undo(filled, batch, "Ada")
    assert review.review_all(filled, PairFilter(words="nothing says this"), "reject", "Ada") is None


def test_a_later_change_is_not_undone_by_undoing_an_earlier_one(filled):
    [id, *_] = found(filled)
    first = review.edit(filled, id, "Ada", question="What is the second text of it?", answer=None)
    review.edit(filled, id, "Bob", question="What is the third text of it?", answer=None)
    with pytest.raises(GlanError, match="Undo the later change first"):
        edit_batch.undo(filled, first, "Ada")
    assert homework_rows.pair(filled.db, id).question.text == "What is the third text of it?"


def test_once_the_later_change_is_undone_the_earlier_one_can_be_and_an_undo_can_be_undone(filled):
    [id, *_] = found(filled)
    texts = [homework_rows.pair(filled.db, id).question.text, "What is the second text?", "What is the third text?"]
    batches = [review.edit(filled, id, "Ada", question=text, answer=None) for text in texts[1:]]
    for batch, text in zip(batches[::-1], texts[1::-1], strict=True):
        edit_batch.undo(filled, batch, "Ada")
        assert homework_rows.pair(filled.db, id).question.text == text
    edit_batch.undo(filled, record_rows.events(filled.db, id)[0].batch, "Ada")
    assert homework_rows.pair(filled.db, id).question.text == texts[1]


def test_a_star_that_is_undone_is_not_counted(filled):
    batch = review.star(filled, found(filled)[0], "Ada", starred=True)
    edit_batch.undo(filled, batch, "Ada")
    assert counted(filled)["starred"] == 0 and not found(filled, starred=True)


def test_an_undo_that_was_broken_off_can_be_finished(filled, monkeypatch):
    batch = review.review_all(filled, PairFilter(), "reject", "Ada", reason="wrong")
    monkeypatch.setattr(edit_batch, "CHUNK", 20)

    def interrupted(edit):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        closed = iter([edit_batch.EditBatch.finish, interrupted])
        patch.setattr(edit_batch.EditBatch, "finish", lambda edit: next(closed)(edit))
        with pytest.raises(KeyboardInterrupt):
            edit_batch.undo(filled, batch, "Ada")
    assert counted(filled)["rejected"] == 38
    assert edit_batch.undo(filled, batch, "Ada") == 76 and counted(filled)["rejected"] == 0


def test_rejected_questions_without_an_answer_make_no_share_below_nothing(ws, settings, teach):
    teach(Canned(lambda stage, nth, messages: "" if stage == "answer" and nth else None))
    execute_run(ws, settings("mathematics"))
    review.review_all(ws, PairFilter(), "reject", "Ada")
    assert coverage.coverage_by_node(ws)[""].kept_share == 0


def test_an_edit_keeps_the_older_text_is_marked_and_searchable(filled):
    [id, *_] = found(filled)
    before = homework_rows.pair(filled.db, id)
    batch = review.edit(filled, id, "Ada", question="Why do zebras wear stripes?", answer="Because flies dislike them.")
    pair = homework_rows.pair(filled.db, id)
    assert pair.edited and pair.question.text == "Why do zebras wear stripes?"
    assert found(filled, edited=True) == [id] == found(filled, words="zebras flies")
    assert found(filled, longest=len("Because flies dislike them.")) == [id]
    events = record_rows.events(filled.db, id) + record_rows.events(filled.db, answer_id(id))
    assert {(e.before, e.who) for e in events} == {(before.question.text, "Ada"), (before.answer, "Ada")}
    edit_batch.undo(filled, batch, "Ada")
    again = homework_rows.pair(filled.db, id)
    assert (again.question.text, again.answer, again.edited) == (before.question.text, before.answer, False)
    assert found(filled, words="zebras") == []


def test_of_two_who_edit_the_same_pair_the_second_is_told(filled):
    [id, *_] = found(filled)
    seen = homework_rows.pair(filled.db, id)
    review.edit(filled, id, "Ada", question="Why do zebras wear stripes?", answer=None, seen=seen)
    with pytest.raises(GlanError, match="changed in the meantime"):
        review.edit(filled, id, "Bob", question="Why do okapis?", answer=seen.answer, seen=seen)
    assert homework_rows.pair(filled.db, id).question.text == "Why do zebras wear stripes?"
    assert review.edit(filled, id, "Bob", question="Why?", answer=None, seen=homework_rows.pair(filled.db, id))


def test_an_answer_to_an_older_question_is_known_as_such(filled):
    [id, *_] = found(filled)
    assert not review.answered_older_text(filled, id)
    review.edit(filled, id, "Ada", question="Why do zebras wear stripes?", answer=None)
    assert review.answered_older_text(filled, id)
    review.edit(filled, id, "Ada", question="Why do zebras wear stripes?", answer="Flies.")
    assert not review.answered_older_text(filled, id)
    batch = review.edit(filled, id, "Ada", question="Why do okapis wear stripes?", answer=None)
    assert review.answered_older_text(filled, id)
    edit_batch.undo(filled, batch, "Ada")
    assert not review.answered_older_text(filled, id)


def test_a_question_edited_before_its_answer_was_written_is_answered_as_it_reads(ws, settings, teach):
    teach(Canned(lambda stage, nth, messages: "" if stage == "answer" else None))
    execute_run(ws, settings("mathematics"))
    [id, other, *_] = found(ws)
    review.edit(ws, id, "Ada", question="Why do zebras wear stripes?", answer=None)

    def behave(stage, nth, messages):
        if stage == "answer" and nth == 0:  # while other tasks are queued
            review.edit(ws, other, "Ada", question="Why do okapis wear stripes?", answer=None)

    teach(Canned(behave))
    execute_run(ws, settings("mathematics", max_in_flight=1))
    assert "zebras" in homework_rows.pair(ws.db, id).answer and not review.answered_older_text(ws, id)
    assert "okapis" in homework_rows.pair(ws.db, other).answer and not review.answered_older_text(ws, other)


def test_the_id_of_an_answer_names_its_pair(filled):
    [id, *_] = found(filled)
    review.star(filled, answer_id(id), "Ada", starred=True)
    review.review(filled, answer_id(id), "keep", "Ada")
    review.edit(filled, answer_id(id), "Ada", question="Why do zebras wear stripes?", answer="Flies.")
    pair = homework_rows.pair(filled.db, id)
    assert (pair.starred, pair.review, pair.question.text, pair.answer) == (
        True,
        "keep",
        "Why do zebras wear stripes?",
        "Flies.",
    )
    with pytest.raises(GlanError, match="does not exist"):
        review.star(filled, "qst-0", "Ada", starred=True)


def test_an_answer_longer_than_a_person_may_type_does_not_hinder_an_edit_of_its_question(ws, settings, teach):
    teach(Canned(lambda stage, nth, messages: "long " * 5000 if stage == "answer" else None))
    execute_run(ws, settings("mathematics"))
    [id, *_] = found(ws)
    answer = homework_rows.pair(ws.db, id).answer
    assert review.edit(ws, id, "Ada", question="Why do zebras wear stripes?", answer=answer)
    with pytest.raises(GlanError, match="longer than 20,000"):
        review.edit(ws, id, "Ada", question="Why?", answer=answer + "er")


def test_prompts_and_replies_are_shown_as_they_were_before_an_edit(filled):
    [id, *_] = found(filled)
    before = homework_rows.pair(filled.db, id)
    [call] = call_rows.calls_of(filled.db, answer_id(id))
    asked = provenance.messages_of(filled, call)
    review.edit(filled, id, "Ada", question="Why do zebras wear stripes?", answer="Flies.")
    assert provenance.messages_of(filled, call) == asked is not None
    assert provenance.reply_of(filled, call, answer_id(id), "Flies.") == before.answer


@pytest.mark.parametrize(
    ("question", "answer", "problem"),
    [
        ("  ", None, "empty"),
        ("What is it?", " \n", "empty"),
        ("x" * 20_001, None, "longer than 20,000"),
        ("Half \ud800", None, "cannot be stored"),
        ("What is it?", "A\0", "cannot be stored"),
    ],
)
def test_invalid_texts_are_refused(filled, question, answer, problem):
    [id, *_] = found(filled)
    before = homework_rows.pair(filled.db, id)
    with pytest.raises(GlanError, match=problem):
        review.edit(filled, id, "Ada", question=question, answer=answer)
    assert homework_rows.pair(filled.db, id) == before
    with pytest.raises(GlanError, match="does not exist"):
        review.review(filled, "qst-0", "keep", "Ada")
    with pytest.raises(GlanError, match="not a verdict"):
        review.review(filled, id, "maybe", "Ada")
    for reason in ("x" * 501, "\udfff"):
        with pytest.raises(GlanError, match="reason"):
            review.review(filled, id, "reject", "Ada", reason=reason)
    assert record_rows.events(filled.db, id) == []


def test_filters_join_and_page(filled):
    everything = found(filled)
    teacher = homework_rows.pair(filled.db, everything[0]).question.teacher
    assert found(filled, teacher=teacher, level="basic") == everything and not found(filled, teacher="somebody else")
    assert homework_rows.levels(filled.db) == ["basic"] and homework_rows.teachers(filled.db) == [teacher]
    singles, doubles = found(filled, strategy="single"), found(filled, strategy="pair")
    assert sorted(singles + doubles) == sorted(everything)
    pair = homework_rows.pair(filled.db, singles[0])
    asked = pair.question.concepts[0]
    assert set(found(filled, concept_id=asked)) == {id for id in everything
                                                    if asked in homework_rows.pair(filled.db, id).question.concepts}  # fmt: skip
    assert set(found(filled, syllabus_id=pair.question.syllabus_id)) < set(everything)
    assert pair.question.id not in {other.question.id for other in homework_rows.related_pairs(filled.db, pair.question)}
    which = PairFilter(level="basic", strategy="single", shortest=1)
    walked, before = [], None
    while page := homework_rows.pairs_page(filled.db, which, before=before, limit=5):
        walked += [p.question.id for p in page]
        before = page[-1].question.seq
    assert walked == singles and pair_filter.count_matching(filled.db, which) == len(singles)


@pytest.mark.parametrize("words", ["\0", "\ud800 answer", "answer\0", '"', "-- ** ()", "answer " * 3000])
def test_odd_words_find_nothing_or_something_and_never_fail(filled, words):
    assert len(found(filled, words=words)) == pair_filter.count_matching(filled.db, PairFilter(words=words)) in (0, 48)
    for disciplines in (None, ("mathematics",)):
        assert curriculum_rows.subject_states(filled.db, disciplines, words) == []


def test_words_with_any_other_filter_find_what_both_find_on_every_page(filled, monkeypatch):
    review.review_all(filled, PairFilter(disciplines=("mathematics",), strategy="pair"), "reject", "Ada")
    everything, said = found(filled), set(found(filled, words="together"))
    concept = homework_rows.pair(filled.db, everything[0]).question.concepts[0]
    monkeypatch.setattr(pair_filter, "CHUNK", 3)
    monkeypatch.setattr(pair_filter, "PATIENCE", 1)
    monkeypatch.setattr(pair_filter, "MIN_ADVANTAGE", 0.5)
    for which in (PairFilter(review="reject"), PairFilter(disciplines=("music",)), PairFilter(strategy="single", level="basic"),
                  PairFilter(starred=True), PairFilter(concept_id=concept, disciplines=("mathematics", "earth-science"))):  # fmt: skip
        wanted = [seq for seq in pair_filter.matching(filled.db, which, limit=1000)]
        kept = [pair for pair in homework_rows.pairs_page(filled.db, which, limit=1000) if pair.question.id in said]
        assert [pair.question.seq for pair in kept] == wanted  # all questions say so
        both = replace(which, words="together")
        newest_first, before = [], None
        while seqs := pair_filter.matching(filled.db, both, before=before, limit=5):
            newest_first, before = newest_first + seqs, seqs[-1]
        oldest_first, after = [], 0
        while seqs := pair_filter.matching(filled.db, both, after=after, limit=5):
            oldest_first, after = oldest_first + seqs[::-1], seqs[0]
        assert newest_first == wanted == oldest_first[::-1]


def test_questions_whose_answer_failed_are_found(ws, settings, teach):
    teach(Canned(lambda stage, nth, messages: "" if stage == "answer" and nth < 2 else None))
    execute_run(ws, settings("mathematics"))
    assert len(found(ws, failed=True)) == number(ws, "SELECT count(*) FROM failures") == 2
    assert set(found(ws, failed=True)) == set(found(ws, answered=False))


def without_later_versions(db) -> None:
    """Revert the migrations after schema version 2."""
    db.execute("""DROP INDEX questions_reviewed; DROP INDEX questions_dropped; DROP INDEX questions_by_discipline;
        DROP TABLE tags; DROP TABLE judgements; ALTER TABLE questions DROP COLUMN dropped;
        DROP TABLE training_steps; DROP TABLE training_replies;
        DROP TABLE conversations; DROP TABLE chat_turns; DROP TABLE chat_replies; DROP TABLE preferences;
        DROP TABLE test_answers; DROP TABLE matches; DROP TABLE verdicts; DROP TABLE benchmark_scores; DROP TABLE probes;
        DROP TABLE disputed_verdicts; DROP TABLE arena_votes; DROP TABLE audit; DROP TABLE batches; DROP TABLE batch_requests;
        DELETE FROM counters WHERE measure = 'dropped_rejected';
        CREATE INDEX questions_by_discipline ON questions (discipline_id, seq);""").fetchall()
    for table, columns in {
        "calls": ("tokens_reasoning", "reasoning", "sent", "endpoint"), "run_samples": ("tokens_reasoning",), 
        "runs": ("waiting", "notices", "tags", "endpoints"),
    }.items():  # fmt: skip
        for column in columns:
            db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")


def test_an_older_workspace_gets_what_filters_need(filled, monkeypatch):
    from glan_core.workspace import schema

    [first, *_] = homework_rows.pairs_page(filled.db, PairFilter())
    db = filled.db
    review.review(filled, first.question.id, "reject", "Ada")
    before = homework_rows.pair(db, first.question.id)
    without_later_versions(db)
    db.pragma("user_version", 2)
    filled.close()
    second = type(filled).open(filled.folder)
    assert homework_rows.pair(second.db, first.question.id) == before and before.dropped == "rejected"
    assert coverage.coverage_by_node(second)[""].kept == coverage.coverage_by_node(second)[""].counts["pairs"] - 1
    review.review(second, first.question.id, None, "Ada")
    db = second.db
    without_later_versions(db)
    for column in ("review", "reason", "starred", "edited", "level", "answer_length", "answer_teacher"):
        db.execute("DROP INDEX IF EXISTS questions_by_discipline; DROP INDEX IF EXISTS questions_edited")
        db.execute(f"ALTER TABLE questions DROP COLUMN {column}")
    for table, column in (("subjects", "edited"), ("syllabi", "version"), ("syllabi", "edited"), ("sessions", "retired"),
                          ("concepts", "retired")):  # fmt: skip
        db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    db.execute("CREATE INDEX questions_by_discipline ON questions (discipline_id, seq)")
    db.execute("DROP TABLE record_events; DROP TABLE run_counters; DELETE FROM counters WHERE measure = 'last_at'")
    db.pragma("user_version", 1)
    second.close()
    again = type(filled).open(filled.folder)
    assert again.db.pragma("user_version") == len(schema.MIGRATIONS)
    assert homework_rows.pairs_page(again.db, PairFilter(level="basic", teacher=first.answer_teacher))[0] == first
    assert found(again, shortest=len(first.answer), longest=len(first.answer), answered=True)
    assert coverage.coverage_by_node(again)[""].last_at > 1e9


@pytest.mark.parametrize(
    ("which", "index"), [({"answered": False}, "questions_open_by_discipline"), ({"edited": True}, "questions_edited")]
)
def test_filters_whose_rows_are_few_read_only_those_rows(filled, which, index):
    asked = []

    def trace(_, query: str, values: dict) -> bool:
        asked.append((query, values))
        return True

    filled.db.set_exec_trace(trace)
    try:
        assert found(filled, level="advanced", **which) == []
    finally:
        filled.db.set_exec_trace(None)
    [(query, values)] = [(query, values) for query, values in asked if "UNION ALL" in query]
    read = [detail for *_, detail in filled.db.execute(f"EXPLAIN QUERY PLAN {query}", values) if " q " in detail]
    assert read and all(index in detail for detail in read)


def test_a_filter_for_unanswered_questions_finds_them_with_other_conditions(filled):
    first, second, *_ = found(filled)
    with filled.write() as db:
        for id in (first, second):
            db.execute("DELETE FROM answers WHERE question_id = ?", (id,))
            db.execute("UPDATE questions SET answered = 0, answer_length = NULL WHERE id = ?", (id,))
    question = homework_rows.pair(filled.db, first).question
    assert {first, second} == set(found(filled, answered=False))
    assert first in found(filled, answered=False, strategy=question.strategy)
    assert first not in found(filled, answered=True)
    assert found(filled, answered=False, edited=True) == []
