"""The work queue: order of tasks, counts of planned calls, and what a failure cancels."""

import pytest
from support.curriculum import add_pairs, add_questions, add_subjects, add_syllabus

from glan_core import ids
from glan_core.errors import GlanError
from glan_core.generation.settings import GenerationSettings
from glan_core.generation.work_queue import GenerationQueue, open_generation
from glan_core.homework import concept_sampling
from glan_core.settings import read_settings
from glan_core.workspace import curriculum_rows, homework_rows, taxonomy_rows

EMPTY = dict.fromkeys(("subject_list", "subjects", "syllabus", "sessions", "question", "answer"), 0)
REPLIES = {
    "subject_list": "- Harmony", "syllabus": "A syllabus.", "answer": "An answer.", "question": "Explain how the circle of fifths works.",
    "subjects": '{"subject_name": "Harmony", "level": "basic", "subtopics": ["chords"]}',
    "sessions": '{"session": "Triads", "description": "d", "key_concepts": ["root", "third"]}\n'
                '{"session": "Scales", "description": "d", "key_concepts": ["tonic", "dominant"]}',
}  # fmt: skip


def queue_of(ws, *disciplines: str, **values) -> GenerationQueue:
    names = ("subject_queries", "max_subjects", "questions_per_syllabus")
    target = {"subject_queries": 1, "questions_per_syllabus": 2} | {n: values.pop(n) for n in names if n in values}
    settings = {"target": {"disciplines": list(disciplines) or ["music"], **target}, **values}
    return GenerationQueue(ws, read_settings(GenerationSettings, settings))


def drain(queue) -> list:
    """Return all tasks that are available now."""
    works = []
    while (work := queue.next()) is not None:
        works.append(work)
    return works


def finish(ws, queue, work, reply: str | None = None) -> None:
    """Store a task as if its reply had arrived."""
    stage = queue.stage(work)
    assert stage.name == work.stage
    parsed = stage.parse(work, reply or REPLIES[work.stage]) if work.messages else None
    with ws.write() as db:
        value = stage.store(db, work, parsed, "openai:test")
    queue.stored(work, value)


def add_query(ws, index: int, *, extracted: bool = True, settled: bool = False, discipline: str = "music") -> str:
    id = ids.query_id(discipline, index)
    with ws.write() as db:
        curriculum_rows.add_subject_list(db, id, discipline, index, f"- List {index}")
        if extracted:
            curriculum_rows.set_query_subjects(db, id, '[{"subject_name": "Harmony"}]')
        if settled:
            curriculum_rows.add_subjects(db, discipline, [], [], [id])
    return id


def stages(works) -> list[str]:
    return [work.stage for work in works]


# ------------------------------------------------------------------------------------------------------------- whole runs


def test_a_run_goes_from_subject_lists_to_answers(ws):
    queue = queue_of(ws)
    seen = []
    while work := queue.next():
        seen.append(work.stage)
        finish(ws, queue, work)
    assert seen == ["subject_list", "subjects", "settle", "syllabus", "sessions", "question", "answer", "question", "answer"]
    assert queue.planned() == {"subject_list": 1, "subjects": 1, "syllabus": 1, "sessions": 1, "question": 2, "answer": 2}
    again = queue_of(ws)
    assert again.next() is None and again.planned() == EMPTY


def test_tasks_are_available_once_what_they_need_is_stored(ws):
    queue = queue_of(ws, "music", "mathematics", subject_queries=2)
    lists = drain(queue)
    assert [(w.stage, w.discipline_id, w.facts) for w in lists] == [
        ("subject_list", "music", 0), ("subject_list", "music", 1), ("subject_list", "mathematics", 0),
        ("subject_list", "mathematics", 1),
    ]  # fmt: skip
    assert queue.planned() == EMPTY | {"subject_list": 4, "subjects": 4} and queue.next() is None
    finish(ws, queue, lists[0])
    (first,) = drain(queue)
    assert (first.stage, first.id, first.messages[1]["content"]) == ("subjects", lists[0].id, "- Harmony")
    finish(ws, queue, first)
    assert queue.next() is None, "the other query of the discipline is open"
    finish(ws, queue, lists[1])
    finish(ws, queue, queue.next())
    (settle,) = drain(queue)
    assert (settle.stage, settle.discipline_id, settle.messages) == ("settle", "music", [])
    finish(ws, queue, settle)
    assert stages(drain(queue)) == ["syllabus"] and queue.planned()["syllabus"] == queue.planned()["sessions"] == 1


def test_the_deepest_stage_comes_first(ws):
    add_query(ws, 0, settled=True)
    one, two, three, four = add_subjects(ws, "music", 4)
    add_questions(ws, add_syllabus(ws, one, [2, 2]), ("Old?", None))
    add_syllabus(ws, two, None)
    add_query(ws, 0, discipline="mathematics")
    add_query(ws, 0, extracted=False, discipline="earth-science")
    queue = queue_of(ws, "bell-founding", "music", "mathematics", "earth-science", questions_per_syllabus=2)
    expected = ["answer", "question", "sessions", "settle", "syllabus", "syllabus", "subjects", "subject_list"]
    assert queue.planned() == {
        "subject_list": 1, "subjects": 2, "syllabus": 2, "sessions": 3, "question": 1, "answer": 2,
    }  # fmt: skip
    works = drain(queue)
    assert stages(works) == expected
    assert [work.facts.name for work in works if work.stage == "syllabus"] == [three.name, four.name]
    finish(ws, queue, works[1])
    assert stages(drain(queue)) == ["answer"]


# ------------------------------------------------------------------------------------------------------- the state at start


def test_queries_beyond_the_target_are_ignored(ws):
    add_query(ws, 0, settled=True)
    add_query(ws, 1, extracted=False)
    add_query(ws, 5, extracted=False)
    assert queue_of(ws, subject_queries=1).planned() == EMPTY
    assert stages(drain(queue_of(ws, subject_queries=2))) == ["subjects"]
    works = drain(queue_of(ws, subject_queries=3))
    assert [(w.stage, w.id) for w in works] == [
        ("subjects", ids.query_id("music", 1)), ("subject_list", ids.query_id("music", 2)),
    ]  # fmt: skip


def test_subjects_are_settled_after_the_last_open_query(ws):
    add_query(ws, 1, extracted=False)
    queue = queue_of(ws, subject_queries=3)
    seen = []
    while work := queue.next():
        seen.append(work.stage)
        finish(ws, queue, work)
    assert seen[:6] == ["subjects", "subject_list", "subjects", "subject_list", "subjects", "settle"]


def test_extracted_subjects_are_settled_when_no_query_is_open(ws):
    add_query(ws, 0, settled=True)
    add_query(ws, 1)
    assert stages(drain(queue_of(ws, subject_queries=2))) == ["settle"]
    assert stages(drain(queue_of(ws, subject_queries=3))) == ["subject_list"]


def test_the_maximum_limits_the_subjects_in_stored_order(ws):
    add_query(ws, 0, settled=True)
    subjects = add_subjects(ws, "music", 3)
    works = drain(queue_of(ws, max_subjects=2))
    assert [work.facts for work in works] == subjects[:2]
    assert len(drain(queue_of(ws, max_subjects=3))) == len(drain(queue_of(ws))) == 3


def test_a_syllabus_without_sessions_is_extracted_from_its_text(ws):
    add_query(ws, 0, settled=True)
    (subject,) = add_subjects(ws, "music", 1)
    id = add_syllabus(ws, subject, None)
    queue = queue_of(ws)
    assert queue.planned() == EMPTY | {"sessions": 1}
    (work,) = drain(queue)
    assert (work.id, work.facts) == (id, subject) and "Syllabus of Subject 0." in work.messages[0]["content"]
    finish(ws, queue, work)
    assert queue.planned() == EMPTY | {"sessions": 1, "question": 2, "answer": 2}


@pytest.mark.parametrize(("wanted", "missing"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2)])
def test_missing_questions_are_those_up_to_the_target_or_the_last_combination(ws, wanted, missing):
    add_query(ws, 0, settled=True)
    (subject,) = add_subjects(ws, "music", 1)
    add_questions(ws, add_syllabus(ws, subject, [1, 1]), ("Old?", "Yes."))
    queue = queue_of(ws, questions_per_syllabus=wanted)
    assert queue.planned() == EMPTY | {"question": missing, "answer": missing}
    works = drain(queue)
    assert stages(works) == ["question"] * missing


def test_questions_are_the_first_draws_without_one(ws):
    add_query(ws, 0, settled=True)
    (subject,) = add_subjects(ws, "music", 1)
    id = add_syllabus(ws, subject, [2, 3])
    sequence = list(concept_sampling.draws([2, 3], seed=5, name=id, pair_share=0.5, law="uniform"))
    values = {"seed": 5, "draw_distribution": "uniform", "pair_share": 0.5, "questions_per_syllabus": 6}
    works = drain(queue_of(ws, **values))
    assert [work.facts.draw for work in works] == [0, 1, 2, 3, 4, 5]
    assert [(w.facts.strategy, w.facts.seed, w.facts.draw_law, w.facts.discipline_id) for w in works] == [
        (draw.strategy, 5, "uniform", "music") for draw in sequence[:6]
    ]
    sessions = curriculum_rows.sessions(ws.db, id)
    assert [work.facts.concepts for work in works] == [
        tuple(sessions[s].concepts[c][0] for s, c in draw.concepts) for draw in sequence[:6]
    ]
    with ws.write() as db:  # draws 1 and 3 are stored
        for nth in (1, 3):
            homework_rows.add_question(db, works[nth].facts)
    works = [work for work in drain(queue_of(ws, **values)) if work.stage == "question"]
    assert [work.facts.draw for work in works] == [0, 2, 4, 5]


def test_questions_of_several_syllabi_follow_each_other(ws):
    add_query(ws, 0, settled=True)
    for subject in add_subjects(ws, "music", 3):
        add_syllabus(ws, subject, [2])
    works = drain(queue_of(ws, pair_share=0.0))
    assert len(works) == 6 and len({work.facts.syllabus_id for work in works}) == 3
    assert [work.facts.draw for work in works] == [0, 1] * 3


def test_unanswered_questions_are_answered_with_their_current_text(ws):
    add_query(ws, 0, settled=True)
    add_query(ws, 0, settled=True, discipline="mathematics")
    first, second = add_pairs(ws, "music", ("Old?", None), ("Other?", None))
    add_pairs(ws, "mathematics", ("Elsewhere?", None))
    queue = queue_of(ws)
    assert queue.planned() == EMPTY | {"answer": 2}
    with ws.write() as db:
        db.execute("UPDATE questions SET text = 'Edited?' WHERE id = ?", (second,))
    works = drain(queue)
    assert [(work.stage, work.id, work.facts) for work in works] == [
        ("answer", ids.answer_id(first), first), ("answer", ids.answer_id(second), second),
    ]  # fmt: skip
    assert "Old?" in works[0].messages[0]["content"] and "Edited?" in works[1].messages[0]["content"]


def test_questions_of_this_run_are_not_answered_twice(ws):
    add_query(ws, 0, settled=True)
    (subject,) = add_subjects(ws, "music", 1)
    add_syllabus(ws, subject, [2])
    queue = queue_of(ws, questions_per_syllabus=1)
    finish(ws, queue, queue.next())
    assert stages(drain(queue)) == ["answer"]


# --------------------------------------------------------------------------------------------------------------- failures


def test_a_failed_list_has_no_subjects_and_the_rest_is_settled(ws):
    queue = queue_of(ws, subject_queries=2)
    first, second = drain(queue)
    queue.failed(first)
    assert queue.planned() == EMPTY | {"subject_list": 2, "subjects": 1} and queue.next() is None
    finish(ws, queue, second)
    extraction = queue.next()
    queue.failed(extraction)
    assert queue.planned() == EMPTY | {"subject_list": 2, "subjects": 1}
    assert stages(drain(queue)) == ["settle"]


def test_failures_cancel_the_calls_that_depend_on_them(ws):
    add_query(ws, 0, settled=True)
    _, two, three = add_subjects(ws, "music", 3)
    add_syllabus(ws, two, None)
    add_syllabus(ws, three, [2])
    queue = queue_of(ws)
    assert queue.planned() == EMPTY | {"syllabus": 1, "sessions": 2, "question": 2, "answer": 2}
    question, other, sessions, syllabus = drain(queue)
    assert stages((question, other, sessions, syllabus)) == ["question", "question", "sessions", "syllabus"]
    queue.failed(question)
    assert queue.planned()["answer"] == 1 and queue.planned()["question"] == 2
    queue.failed(syllabus)
    assert queue.planned()["sessions"] == 1 and queue.planned()["syllabus"] == 1
    queue.failed(sessions)
    assert queue.planned() == EMPTY | {"syllabus": 1, "sessions": 1, "question": 2, "answer": 1}
    finish(ws, queue, other)
    answer = queue.next()
    queue.failed(answer)
    assert queue.planned()["answer"] == 1 and queue.next() is None


def test_planned_counts_cannot_be_changed_from_outside(ws):
    queue = queue_of(ws)
    queue.planned()["answer"] = 99
    assert queue.planned()["answer"] == 0


def test_opening_a_run_stores_its_target_and_checks_the_disciplines(ws):
    settings = {
        "target": {
            "disciplines": ["music", "mathematics"],
            "subject_queries": 3,
            "max_subjects": 7,
            "questions_per_syllabus": 9,
        }
    }
    queue = open_generation(ws, read_settings(GenerationSettings, settings), 1)
    assert queue.planned()["subject_list"] == 6
    targets = taxonomy_rows.targets(ws.db)
    assert {id: (t.subject_queries, t.max_subjects, t.questions_per_syllabus) for id, t in targets.items()} == {
        "music": (3, 7, 9), "mathematics": (3, 7, 9),
    }  # fmt: skip
    for unknown in ("nowhere", "arts"):
        with pytest.raises(GlanError):
            queue_of(ws, unknown)
