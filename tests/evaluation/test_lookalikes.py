"""Tests for look-alikes: one per sampled row, no repeated calls, failures and prices."""

import json

import pytest
from support.probe_fixtures import make_rows, write_rows
from support.runs import Canned, execute_run, resume_run, rows, tag

from glan_core.cli import main
from glan_core.evaluation.contamination.benchmark_texts import read_texts
from glan_core.evaluation.contamination.lookalikes import lookalikes_path, plan_lookalikes
from glan_core.evaluation.contamination.settings import LookalikeSettings, ProbeFile
from glan_core.teachers.scripted.lookalike import NOTE, write_paraphrase
from glan_core.workspace import call_rows


@pytest.fixture
def asked(ws):
    """Factory of settings for look-alikes of a file with eight rows."""
    write_rows(ws.folder / "test.jsonl", make_rows(8, 2))
    return lambda **values: {"name": "codes alike", "source": {"source": str(ws.folder / "test.jsonl")}, **values}


def written(ws, name: str = "codes alike") -> list[dict]:
    return [json.loads(line) for line in lookalikes_path(ws, name).read_text("utf-8").splitlines()]


def fresh(stage, nth, messages) -> str:
    return json.dumps(
        {"question": f"Fresh {nth}: {tag(messages[0]['content'], 'example_question')}", "answer": f"answer {nth}"}
    )


def test_each_drawn_row_gets_a_fresh_one_and_what_is_there_is_not_asked_for_again(ws, asked, teach):
    teacher = teach(Canned(fresh, name="openai:someone"))
    assert execute_run(ws, asked(number=5), "lookalikes").state == "finished"
    five = written(ws)
    assert len(five) == len(teacher.asked) == 5 and {row["teacher"] for row in five} == {"openai:someone"}
    assert len({row["after"] for row in five}) == 5 and all(row["question"].startswith("Fresh ") for row in five)
    assert plan_lookalikes(ws, LookalikeSettings(**asked(number=5))).calls == (0, 0)
    assert plan_lookalikes(ws, LookalikeSettings(**asked())).calls == (3, 3)
    assert execute_run(ws, asked(), "lookalikes").state == "finished" and len(teacher.asked) == 8
    assert written(ws)[:5] == five and len(written(ws)) == 8
    read = read_texts(ProbeFile(source=str(lookalikes_path(ws, "codes alike"))), "alike")
    assert read.number == 8 and read.written_by == ("openai:someone",)


def test_a_budget_holds_and_the_run_goes_on_with_what_is_missing(ws, asked, teach):
    teacher = teach(Canned(fresh))
    run = execute_run(ws, asked(max_calls=3, max_in_flight=1), "lookalikes")
    assert run.state == "paused" and len(written(ws)) == 3
    assert resume_run(ws, run.id, asked()).state == "finished" and len(teacher.asked) == 8 and len(written(ws)) == 8


def test_a_row_that_a_kill_cut_short_is_written_again(ws, asked, teach):
    teach(Canned(fresh))
    execute_run(ws, asked(number=3), "lookalikes")
    whole = lookalikes_path(ws, "codes alike").read_text()
    lookalikes_path(ws, "codes alike").write_text(whole[:-20])
    assert execute_run(ws, asked(number=3), "lookalikes").state == "finished"
    assert len({row["id"] for row in written(ws)}) == len(written(ws)) == 3


@pytest.mark.parametrize(
    "bad",
    ["I have no idea.", '{"question": "x"}', '{"question": "a", "answer": "b"}\n{"question": "c", "answer": "d"}', "same"],
)
def test_replies_that_cannot_be_used_are_counted_and_tried_again(ws, asked, teach, bad):
    def behave(stage, nth, messages):
        first = tag(messages[0]["content"], "example_question")
        return json.dumps({"question": first.upper(), "answer": "x"}) if bad == "same" else bad

    teach(Canned(behave))
    run = execute_run(ws, asked(number=2), "lookalikes")
    assert run.state == "finished" and "2 calls failed" in run.message and not lookalikes_path(ws, "codes alike").exists()
    assert {cause for (cause,) in rows(ws, "SELECT cause FROM failures")} == {"malformed"}
    teach(Canned(fresh))
    assert execute_run(ws, asked(number=2), "lookalikes").state == "finished" and len(written(ws)) == 2
    assert not rows(ws, "SELECT * FROM failures")


def test_the_scripted_teacher_changes_numbers_and_names_alike_each_time_and_says_what_it_is(ws, asked):
    asks, says = "Natalia sold 48 clips to Ada. How many did Natalia sell?", "Natalia sold 48.\n#### 48"
    one = json.loads(write_paraphrase(asks, says))
    assert one == json.loads(write_paraphrase(asks, says)) and one["note"] == NOTE
    assert "48" not in one["question"] and "Natalia" not in one["question"] and one["question"] != asks
    number = one["answer"].rpartition("#### ")[2]
    assert len(number) == 2 and f"sold {number} clips" in one["question"]
    assert json.loads(write_paraphrase("What melts?", "Ice"))["question"] != "What melts?"
    assert execute_run(ws, asked(), "lookalikes").state == "finished"
    assert {row["teacher"] for row in written(ws)} == {"scripted"} and all(row["note"] == NOTE for row in written(ws))
    assert call_rows.stage_averages(ws.db, "scripted")["lookalike"][3] == 8


def test_a_file_of_other_rows_is_never_written_into(ws, asked):
    (ws.folder / "benchmarks").mkdir()
    write_rows(ws.folder / "benchmarks" / "codes-alike.jsonl", make_rows(2, 1))
    run = execute_run(ws, asked(), "lookalikes")
    assert run.state == "failed" and "contains other rows. Choose another name for the look-alikes" in run.message


def test_the_command_plans_writes_and_says_where_they_are(ws, asked, capsys):
    asked()
    argv = ["evaluate", "lookalikes", str(ws.folder), "--test", str(ws.folder / "test.jsonl"), "--number", "4"]
    assert main([*argv, "--plan"]) == 0 and "look-alikes" in capsys.readouterr().out
    assert not lookalikes_path(ws, "test-lookalikes").exists()
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert f"{lookalikes_path(ws, 'test-lookalikes')}: pass this file to 'glan evaluate probe' as --alike." in out
    assert len(written(ws, "test-lookalikes")) == 4
    assert main([*argv, "--plan"]) == 0 and "Nothing to do" in capsys.readouterr().out
    assert main([*argv, "--answer", "reply"]) == 2 and "no column 'reply'" in capsys.readouterr().err
