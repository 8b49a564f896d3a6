"""The engine brings a workspace exactly to its target: requests, stored records and their metadata."""

import json
import random
from collections import Counter

import pytest
from support.runs import CONTENT_TABLES, Canned, content, execute_run, number, rows, tag

from glan_core import ids
from glan_core.generation import provenance
from glan_core.generation.plan import plan
from glan_core.generation.settings import GenerationSettings
from glan_core.prompts import prompt
from glan_core.settings import read_settings
from glan_core.taxonomy import tree_editing
from glan_core.workspace import call_rows, curriculum_rows, homework_rows, run_rows

STAGES = ("subject_list", "subjects", "syllabus", "sessions", "question", "answer")


def test_a_run_makes_exactly_the_calls_that_its_target_needs(ws, settings, teach):
    teacher = teach(Canned())
    run = execute_run(ws, settings("mathematics", "music", subject_queries=3))
    assert (run.state, run.message) == ("finished", "")
    assert [teacher.seen[stage] for stage in STAGES] == [6, 6, 4, 4, 16, 16]
    assert number(ws, "SELECT count(*) FROM answers") == 16


def test_the_plan_of_a_known_curriculum_is_exact_and_the_run_keeps_it(ws, settings, teach):
    teacher = teach(Canned())
    execute_run(ws, settings(questions_per_syllabus=0))
    values = settings(questions_per_syllabus=7)
    promised = plan(ws, read_settings(GenerationSettings, values))
    teacher.asked.clear()
    execute_run(ws, values)
    assert promised.calls == (28, 28) == (len(teacher.asked),) * 2
    assert promised.pairs == (14, 14)


def test_a_second_run_of_the_same_target_makes_no_call(ws, settings, teach):
    teacher = teach(Canned())
    execute_run(ws, settings("mathematics", "music", subject_queries=2))
    before, calls = content(ws), len(teacher.asked)
    assert execute_run(ws, settings("mathematics", "music", subject_queries=2)).state == "finished"
    assert len(teacher.asked) == calls
    assert content(ws) == before


def test_raising_the_questions_costs_exactly_the_difference(ws, settings, teach):
    teacher = teach(Canned())
    execute_run(ws, settings(questions_per_syllabus=4))
    teacher.seen.clear()
    execute_run(ws, settings(questions_per_syllabus=9))
    assert teacher.seen == {"question": 10, "answer": 10}


def test_topping_up_gives_the_same_draws_as_asking_for_all_at_once(new_workspace, settings, teach):
    teach(Canned())
    steps, at_once = new_workspace("steps"), new_workspace("at_once")
    for wanted in (2, 5, 9):
        execute_run(steps, settings(questions_per_syllabus=wanted))
    execute_run(at_once, settings(questions_per_syllabus=9))
    assert content(steps) == content(at_once)


def test_a_lower_target_asks_nothing_and_removes_nothing(ws, settings, teach):
    teacher = teach(Canned())
    execute_run(ws, settings(questions_per_syllabus=6))
    before, calls = content(ws), len(teacher.asked)
    execute_run(ws, settings(questions_per_syllabus=2))
    assert (content(ws), len(teacher.asked)) == (before, calls)


def test_more_queries_add_subjects_and_leave_the_known_ones_as_they_are(ws, settings, teach):
    def behave(stage, nth, messages):
        if stage == "subjects":
            topics = ["first"] if nth == 0 else ["second"]
            names = ["Known", *(["New"] if nth else [])]
            return "\n".join(json.dumps({"subject_name": n, "level": "basic", "subtopics": topics}) for n in names)

    teacher = teach(Canned(behave))
    execute_run(ws, settings(subject_queries=1))
    before = {table: set(found) for table, found in content(ws).items()}
    first = Counter(teacher.seen)
    execute_run(ws, settings(subject_queries=2))
    assert teacher.seen - first == {"subject_list": 1, "subjects": 1, "syllabus": 1, "sessions": 1, "question": 4, "answer": 4}
    after = content(ws)
    for table in CONTENT_TABLES:
        assert before[table] <= set(after[table]), table
    assert [s.subtopics for s in curriculum_rows.subjects(ws.db, "mathematics")] == [("first",), ("second",)]


def test_max_subjects_limits_the_syllabi_and_can_be_raised(ws, settings, teach):
    teacher = teach(Canned(subjects=5))
    execute_run(ws, settings(max_subjects=2))
    assert (teacher.seen["syllabus"], teacher.seen["question"]) == (2, 8)
    teacher.seen.clear()
    execute_run(ws, settings(max_subjects=3))
    assert teacher.seen == {"syllabus": 1, "sessions": 1, "question": 4, "answer": 4}


def test_a_new_discipline_costs_only_its_own_calls_and_changes_no_older_row(ws, settings, teach):
    teacher = teach(Canned())
    execute_run(ws, settings("mathematics", "music", subject_queries=2))
    before = {table: ws.db.execute(f"SELECT * FROM {table}").fetchall() for table in (*CONTENT_TABLES, "calls")}
    node = tree_editing.add(ws, "Glass Blowing", "crafts", "test")
    before["nodes"].append(ws.db.execute("SELECT * FROM nodes WHERE id = ?", (node.id,)).fetchone())
    teacher.asked.clear()
    execute_run(ws, settings("mathematics", "music", node.id, subject_queries=2))
    assert {"Glass Blowing" in " ".join(m["content"] for m in messages) for _, messages in teacher.asked} == {True}
    assert Counter(stage for stage, _ in teacher.asked) == dict(zip(STAGES, (2, 2, 2, 2, 8, 8), strict=True))
    for table, old in before.items():
        assert set(old) <= set(ws.db.execute(f"SELECT * FROM {table}")), table
    grown = {table: number(ws, f"SELECT count(*) FROM {table}") - len(old) for table, old in before.items()}
    assert grown["answers"] == 8 and grown["nodes"] == 0


def test_the_order_of_the_disciplines_does_not_matter(new_workspace, settings, teach):
    teach(Canned())
    one, other = new_workspace("one"), new_workspace("other")
    execute_run(one, settings("mathematics", "music"))
    execute_run(other, settings("music", "mathematics"))
    assert content(one) == content(other)


def test_replies_attach_by_id_when_they_arrive_shuffled(new_workspace, settings, teach):
    delays = random.Random(7)
    shuffled, straight = new_workspace("shuffled"), new_workspace("straight")
    teacher = teach(Canned(delay=lambda nth: delays.uniform(0, 0.02)))
    execute_run(shuffled, settings("mathematics", "music", subject_queries=3, questions_per_syllabus=10, max_in_flight=16))
    assert teacher.most_at_once > 8
    teach(Canned())
    execute_run(straight, settings("mathematics", "music", subject_queries=3, questions_per_syllabus=10, max_in_flight=1))
    assert content(shuffled) == content(straight)


def test_every_answer_answers_its_own_question_and_every_question_its_own_draw(ws, settings, teach):
    delays = random.Random(8)
    teach(Canned(delay=lambda nth: delays.uniform(0, 0.01)))
    execute_run(ws, settings("mathematics", "music", questions_per_syllabus=10))
    names = dict(rows(ws, "SELECT id, name FROM concepts"))
    found = list(homework_rows.all_pairs(ws.db))
    assert len(found) == 40
    for pair in found:
        assert pair.answer == f"An answer to: {pair.question.text}"
        assert pair.question.text.split(": ", 1)[1] == "; ".join(f"- {names[id]}" for id in pair.question.concepts)


def test_the_question_prompt_holds_the_whole_syllabus_and_the_selected_names(ws, settings, teach):
    teacher = teach(Canned(lambda stage, nth, m: "Line.\n" * 3000 + f"End {nth}." if stage == "syllabus" else None))
    execute_run(ws, settings(questions_per_syllabus=10))
    syllabi = [text for (text,) in rows(ws, "SELECT text FROM syllabi")]
    sizes = set()
    for messages in teacher.requests("question"):
        assert tag(messages[0]["content"], "syllabus") in syllabi
        sessions = tag(messages[0]["content"], "selected_sessions").splitlines()
        sizes.add(len(sessions))
        assert ("bringing the two sessions together" in messages[0]["content"]) == (len(sessions) == 2)
    assert sizes == {1, 2}


def test_each_draw_is_used_once_and_a_pair_touches_both_sessions(ws, settings, teach):
    teach(Canned(subjects=1))
    execute_run(ws, settings(questions_per_syllabus=100, pair_share=0.6))
    drawn = rows(ws, "SELECT strategy, draw, sessions, concepts FROM questions ORDER BY draw")
    assert [draw for _, draw, _, _ in drawn] == list(range(100))
    assert len({concepts for *_, concepts in drawn}) == 100
    session_of = dict(rows(ws, "SELECT id, session_id FROM concepts"))
    assert Counter(strategy for strategy, *_ in drawn) == {"pair": 60, "single": 40}  # of 45 singles
    for strategy, _, sessions, concepts in drawn:
        assert {session_of[id] for id in json.loads(concepts)} == set(json.loads(sessions))
        assert len(json.loads(sessions)) == (2 if strategy == "pair" else 1)


def test_a_syllabus_without_enough_draws_is_used_up_and_the_run_ends(ws, settings, teach):
    teacher = teach(Canned(subjects=1, sessions=1, concepts=2))
    assert execute_run(ws, settings(questions_per_syllabus=50)).state == "finished"
    assert teacher.seen["question"] == teacher.seen["answer"] == 3
    teacher.seen.clear()
    execute_run(ws, settings(questions_per_syllabus=60))
    assert teacher.seen == {}


def test_answers_begin_before_the_last_question_has_been_asked(ws, settings, teach):
    teacher = teach(Canned(subjects=8))
    execute_run(ws, settings(questions_per_syllabus=20, max_in_flight=4))
    stages = [stage for stage, _ in teacher.asked]
    last_question = len(stages) - 1 - stages[::-1].index("question")
    assert stages.index("answer") < stages.index("question") + 10
    assert stages[:last_question].count("answer") >= 120
    # Questions do not wait for all syllabi: the deepest stage has priority.
    assert stages.index("question") < len(stages) - 1 - stages[::-1].index("sessions")


def test_no_more_is_in_flight_than_allowed_and_all_of_it_is_used(ws, settings, teach):
    teacher = teach(Canned(delay=lambda nth: 0.002))
    execute_run(ws, settings(questions_per_syllabus=30, max_in_flight=6))
    assert teacher.most_at_once == 6


def test_every_row_tells_by_whom_how_and_for_how_much_it_was_made(ws, settings, teach):
    teach(Canned())
    run = execute_run(
        ws, settings("mathematics", "music", subject_queries=2, teacher="openai:x", price="3,9", seed=5, draw_law="uniform")
    )
    made = {
        "subject_list": "SELECT id FROM subject_queries", "subjects": "SELECT id FROM subject_queries",
        "syllabus": "SELECT id FROM syllabi", "sessions": "SELECT id FROM syllabi",
        "question": "SELECT id FROM questions", "answer": "SELECT id FROM answers",
    }  # fmt: skip
    for stage, sql in made.items():
        for (id,) in rows(ws, sql):
            (call,) = [call for call in call_rows.calls_of(ws.db, id) if call.stage == stage]
            assert (call.run_id, call.teacher, call.outcome, call.top_p, call.attempts) == (run.id, "canned", "stored", 0.95, 1)
            assert call.temperature == (0.7 if stage == "answer" else 1.0)
            assert call.tokens_in > 10 and call.tokens_out > 0 and not call.estimated
            assert call.cost_usd == pytest.approx((call.tokens_in * 3 + call.tokens_out * 9) / 1e6)
            assert (
                call_rows.prompt_text(ws.db, call.prompt_version)[1]
                == prompt(call_rows.prompt_text(ws.db, call.prompt_version)[0]).text
            )
    for seed, law, strategy, sessions, concepts in rows(
        ws, "SELECT seed, draw_law, strategy, sessions, concepts FROM questions"
    ):
        assert (seed, law) == (5, "uniform") and strategy in ("single", "pair")
        assert json.loads(sessions) and json.loads(concepts)
    assert {teacher for (teacher,) in rows(ws, "SELECT teacher FROM subjects UNION SELECT teacher FROM syllabi")} == {"canned"}


def test_provenance_shows_the_chat_of_every_call_again_word_for_word(ws, settings, teach):
    teacher = teach(Canned())
    execute_run(ws, settings("mathematics", "cave-mapping"))
    sent = Counter(json.dumps(messages) for _, messages in teacher.asked)
    shown = Counter()
    for (id,) in rows(ws, "SELECT DISTINCT work_id FROM calls"):
        shown.update(json.dumps(provenance.messages_of(ws, call)) for call in call_rows.calls_of(ws.db, id))
    assert shown == sent


def test_the_counters_agree_with_the_tables(ws, settings, teach):
    teach(Canned(lambda stage, nth, m: "" if stage == "question" and nth == 2 else None))
    execute_run(ws, settings("mathematics", "music", subject_queries=2, teacher="openai:x", price="1,1"))
    for discipline, counted in call_rows.counters(ws.db).items():
        counts = {
            "subjects": "SELECT count(*) FROM subjects WHERE discipline_id = ?",
            "syllabi": "SELECT count(*) FROM syllabi WHERE discipline_id = ?",
            "questions": "SELECT count(*) FROM questions WHERE discipline_id = ?",
            "pairs": "SELECT count(*) FROM answers a JOIN questions q ON q.id = a.question_id WHERE q.discipline_id = ?",
            "sessions": "SELECT count(*) FROM sessions s JOIN syllabi y ON y.id = s.syllabus_id WHERE y.discipline_id = ?",
            "concepts": "SELECT count(*) FROM concepts c JOIN syllabi y ON y.id = c.syllabus_id WHERE y.discipline_id = ?",
            "concepts_asked": """SELECT count(DISTINCT concept_id) FROM question_concepts c JOIN questions q
                                 ON q.id = c.question_id WHERE q.discipline_id = ?""",
            "calls": "SELECT count(*) FROM calls WHERE discipline_id = ?",
            "tokens_in": "SELECT sum(tokens_in) FROM calls WHERE discipline_id = ?",
            "tokens_out": "SELECT sum(tokens_out) FROM calls WHERE discipline_id = ?",
            "cost_usd": "SELECT sum(cost_usd) FROM calls WHERE discipline_id = ?",
            "failures": "SELECT count(*) FROM failures WHERE discipline_id = ?",
        }  # fmt: skip
        for measure, sql in counts.items():
            assert counted.get(measure, 0) == pytest.approx(number(ws, sql, discipline)), (discipline, measure)


def test_a_recurring_subject_stays_in_each_discipline(ws, settings, teach):
    def behave(stage, nth, messages):
        if stage == "subjects":
            return '{"subject_name": "Statistics", "level": "basic", "subtopics": ["mean"]}'

    teach(Canned(behave))
    execute_run(ws, settings("mathematics", "earth-science"))
    assert sorted(rows(ws, "SELECT discipline_id, name FROM subjects")) == [
        ("earth-science", "Statistics"), ("mathematics", "Statistics")
    ]  # fmt: skip


def test_the_progress_of_a_run_adds_up_at_its_end(ws, settings, teach):
    teach(Canned())
    run = execute_run(ws, settings("mathematics", "music"))
    for progress in run_rows.stages(ws.db, run.id):
        assert progress.planned == progress.done > 0 and progress.failed == 0, progress
    last = run_rows.last_sample(ws.db, run.id)
    assert last.done == last.requests == number(ws, "SELECT count(*) FROM calls")
    assert last.in_flight == 0


def test_the_ids_of_questions_are_known_before_they_are_paid_for(ws, settings, teach):
    teach(Canned(subjects=1))
    execute_run(ws, settings())
    (syllabus_id,) = (id for (id,) in rows(ws, "SELECT id FROM syllabi"))
    subject_id = ids.derive("sub", "mathematics", "subject 0 of mathematics")
    assert syllabus_id == ids.syllabus_id(subject_id)
    for (id,) in rows(ws, "SELECT id FROM questions"):
        assert number(ws, "SELECT question_id FROM answers WHERE id = ?", ids.answer_id(id)) == id


def test_another_seed_draws_other_combinations_and_counts_the_old_ones(ws, settings, teach):
    teacher = teach(Canned(subjects=1))
    execute_run(ws, settings(seed=1, questions_per_syllabus=5))
    teacher.seen.clear()
    execute_run(ws, settings(seed=2, questions_per_syllabus=8))
    assert teacher.seen == {"question": 3, "answer": 3}
    assert len(set(rows(ws, "SELECT concepts FROM questions"))) == 8


def test_an_order_for_a_removed_or_unknown_discipline_fails_with_a_sentence(ws, settings, teach):
    teacher = teach(Canned())
    tree_editing.remove(ws, "music", "test")
    for name in ("music", "no-such-thing", "arts"):
        run = execute_run(ws, settings(name))
        assert run.state == "failed" and name in run.message
    assert not teacher.asked


def test_a_discipline_renamed_between_runs_keeps_all_that_it_has(ws, settings, teach):
    teacher = teach(Canned())
    execute_run(ws, settings("music"))
    tree_editing.rename(ws, "music", "Music and Sound", "test")
    teacher.seen.clear()
    assert execute_run(ws, settings("music")).state == "finished"
    assert not teacher.seen
