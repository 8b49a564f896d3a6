"""The quality judge: pairs are scored by a rubric, low scores are tagged, no pair is judged twice, and the price is shown first."""

import json

import pytest
from support.runs import Canned, execute_run, json_lines, resume_run

from glan_core.cli import main
from glan_core.generation import provenance
from glan_core.generation.quality_judge import chat_judge, plan_judging
from glan_core.generation.settings import QualityJudgeSettings
from glan_core.teachers.scripted import scripted_teacher
from glan_core.workspace import call_rows, homework_rows, judgment_rows, tag_rows
from glan_core.workspace.pair_filter import PairFilter, count_matching

GOOD = {"correct": 5, "clear": 4, "self_contained": 5, "difficulty": 3, "comment": "Fine."}


@pytest.fixture
def filled(ws, settings):
    """A workspace with pairs of two disciplines by the scripted teacher."""
    execute_run(ws, settings("mathematics", "music"))
    return ws


def pairs(ws) -> int:
    return len(list(homework_rows.all_pairs(ws.db)))


def judged(ws) -> list[judgment_rows.Judgment]:
    return [judgement for page in judgment_rows.judgments(ws.db) for judgement in page]


def test_those_below_a_minimum_leave_the_dataset_and_all_scores_are_kept(filled, teach):
    teach(Canned(lambda stage, nth, messages: json.dumps(GOOD | ({"correct": 2, "comment": "Wrong sum."} if nth < 3 else {}))))
    done = execute_run(filled, {}, "judge")
    assert done.state == "finished" and len(judged(filled)) == pairs(filled)
    tags = tag_rows.tags_page(filled.db, "quality", "judge")
    assert [(tag.score, tag.detail["below"], tag.detail["comment"]) for tag in tags] == [(2.0, ["correct"], "Wrong sum.")] * 3
    assert count_matching(filled.db, PairFilter(dropped="quality")) == 3
    assert judgment_rows.score_counts(filled.db)["correct"] == {2: 3, 5: pairs(filled) - 3}


def test_a_second_run_asks_nobody_but_its_minimums_hold_and_what_people_overruled_stays(filled, teach):
    teacher = teach(Canned(lambda stage, nth, messages: json.dumps(GOOD | {"difficulty": 1 + nth % 2})))
    execute_run(filled, {}, "judge")
    asked = len(teacher.asked)
    assert not tag_rows.tag_counts(filled.db)
    execute_run(filled, {"min_difficulty": 2}, "judge")
    assert len(teacher.asked) == asked and tag_rows.tag_counts(filled.db) == {("quality", "judge"): (asked // 2, 0)}
    tag = tag_rows.tags_page(filled.db, "quality", "judge")[0]
    with filled.write() as db:
        tag_rows.overrule(db, tag.seq, "quality", "judge", "Ada")
    execute_run(filled, {"min_difficulty": 2}, "judge")
    assert tag_rows.tag_counts(filled.db) == {("quality", "judge"): (asked // 2, 1)}
    execute_run(filled, {}, "judge")
    assert tag_rows.tag_counts(filled.db) == {("quality", "judge"): (1, 1)} and len(teacher.asked) == asked


def test_a_budget_of_calls_holds_and_the_run_goes_on_with_what_is_missing(filled, teach):
    teacher = teach(Canned(lambda stage, nth, messages: json.dumps(GOOD)))
    done = execute_run(filled, {"max_calls": 3}, "judge")
    assert done.state == "paused" and len(judged(filled)) == len(teacher.asked) == 3
    assert resume_run(filled, done.id, {}).state == "finished" and len(teacher.asked) == len(judged(filled)) == pairs(filled)


def test_a_sample_stays_the_same_while_it_is_judged_and_grows_by_what_is_added(filled, teach):
    teach(Canned(lambda stage, nth, messages: json.dumps(GOOD | {"clear": 1})))  # each judged pair is excluded from the dataset
    execute_run(filled, {"sample": 5, "max_calls": 2}, "judge")
    assert plan_judging(filled, QualityJudgeSettings(sample=5)).calls == (3, 3)
    execute_run(filled, {"sample": 5}, "judge")
    five = {judgement.seq for judgement in judged(filled)}
    execute_run(filled, {"sample": 5}, "judge")
    assert len(five) == 5 and {judgement.seq for judgement in judged(filled)} == five
    execute_run(filled, {"sample": 7}, "judge")
    assert len(judged(filled)) == 7 and plan_judging(filled, QualityJudgeSettings(sample=5, seed=1)).calls[0] > 0


@pytest.mark.parametrize(
    "bad",
    ["It is fine.", json.dumps(GOOD | {"correct": 6}), json.dumps(GOOD | {"clear": True}), json.dumps(GOOD | {"clear": 4.5}),
     json.dumps({"correct": 5}), json_lines([GOOD, GOOD])],
)  # fmt: skip
def test_scores_are_read_strictly_with_one_repair(filled, teach, bad):
    teacher = teach(Canned(lambda stage, nth, messages: json.dumps(GOOD) if stage == "repair" else bad))
    execute_run(filled, {"sample": 1}, "judge")
    assert len(teacher.asked) == 2 and len(judged(filled)) == 1
    teach(Canned(lambda stage, nth, messages: bad))
    done = execute_run(filled, {"sample": 2}, "judge")
    assert len(judged(filled)) == 1 and "1 call failed" in done.message
    [group] = call_rows.failure_groups(filled.db, done.id)
    assert (group.stage, group.cause, group.count) == ("judge", "malformed", 1)


def test_the_scripted_judge_works_offline_alike_each_time_and_says_what_it_is(filled):
    texts = [
        ("Prove that the sum of two odd integers is even, and justify each step.", "Write them as 2a+1 and 2b+1; " * 3),
        ("Explain the point made in the lecture about sets and their elements.", "A set has elements. " * 5),
    ]
    alone, lecture = (json.loads(scripted_teacher.answer(chat_judge(*pair))) for pair in texts)
    assert alone["self_contained"] == 5 and lecture["self_contained"] == 1 and alone["difficulty"] > lecture["difficulty"]
    assert "form alone" in alone["comment"] and alone == json.loads(scripted_teacher.answer(chat_judge(*texts[0])))
    done = execute_run(filled, {"disciplines": ["music"]}, "judge")
    assert done.state == "finished" and 0 < len(judged(filled)) < pairs(filled)


def test_the_chain_of_a_pair_ends_with_its_judgement_and_what_that_cost(filled, teach):
    teach(Canned(lambda stage, nth, messages: json.dumps(GOOD)))
    execute_run(filled, {"sample": 1}, "judge")
    seq = judged(filled)[0].seq
    (id,) = homework_rows.pair_ids(filled.db, [seq])
    *_, answer, last = provenance.chain(filled, id)
    assert (answer.what, last.what, last.text) == ("answer", "judgment", "Fine.")
    assert "self-contained 5" in last.title and [call.stage for call in last.calls] == ["judge"]


def test_rejected_and_tagged_pairs_are_not_paid_for(filled):
    first, second = list(homework_rows.all_pairs(filled.db))[:2]
    before = plan_judging(filled, QualityJudgeSettings()).calls
    with filled.write() as db:
        tag_rows.put_tags(db, [tag_rows.Tag(first.question.seq, "duplicate", "near", second.question.id)], None)
    assert plan_judging(filled, QualityJudgeSettings()).calls == (before[0] - 1, before[1] - 1)


def test_the_command_line_says_the_price_before_and_how_it_ended(filled, capsys):
    folder, number = str(filled.folder), pairs(filled)
    words = ["judge", folder, "--plan", "--teacher", "openai:gpt-4o", "--base-url", "http://localhost:1/v1"]
    assert main(words) == 0
    assert f"Total: {number} calls" in (out := capsys.readouterr().out) and "$" in out and not judged(filled)
    assert main(["judge", folder, "--sample", "3"]) == 0
    assert "3 calls stored" in capsys.readouterr().out and len(judged(filled)) == 3
    assert main(["judge", folder, "--least-correct", "9"]) == 2
    assert "min correct" in capsys.readouterr().err


def test_nothing_left_to_judge_costs_nothing_with_a_judge_of_unknown_price(filled, capsys):
    unknown = ["--teacher", "openai:mystery", "--base-url", "http://127.0.0.1:9/v1"]
    assert main(["judge", str(filled.folder)]) == 0
    teacher = next(row.teacher for row in judged(filled))
    with filled.write() as db:  # as if that judge had scored them
        db.execute("UPDATE judgements SET teacher = 'openai:mystery' WHERE teacher = ?", (teacher,))
    made = plan_judging(filled, QualityJudgeSettings(teacher="openai:mystery", base_url="http://127.0.0.1:9/v1"))
    assert made.calls == (0, 0) and made.usd == (0, 0)
    for words in (["--plan"], []):
        assert main(["judge", str(filled.folder), *words, *unknown]) == 0
    assert "Traceback" not in capsys.readouterr().err
