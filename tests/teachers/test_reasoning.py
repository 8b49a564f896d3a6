"""Reasoning is separated from replies before any stage parses them and is never stored."""

import pytest
from support.runs import Canned, content, execute_run, rows

from glan_core.generation import provenance
from glan_core.teachers.contract import Reply
from glan_core.teachers.reasoning import split_reasoning
from glan_core.workspace import call_rows, homework_rows, run_rows

SHOWN_IN_CODE = "Put it first:\n\n```text\n<think>\nHmm.\n</think>\n4\n```\n\nThe parser drops `<think>` and `</think>`."
THOUGHT = '<think>\nThe user wants JSON: {"subject_name": "Draft"}. Let me think.\n</think>\n\n'


@pytest.mark.parametrize(
    ("text", "reasoning", "reply"),
    [
        ("<think>Two and two.</think>4", "Two and two.", "4"),
        ("\n <think>\nTwo and two.\n</think>\n\n4\n", "Two and two.", "4"),
        ("Two and two.\n</think>\n\n4", "Two and two.", "4"),  # the chat template opened it
        ("</think>4", "", "4"),
        ("<think></think>4", "", "4"),
        ("<think>\n\n</think>\n\n4", "", "4"),
        ("<think>Two and", "Two and", ""),
        ("<think>", "", ""),
        ("<think>Two and two.</think>\n", "Two and two.", ""),
        ("<think>Is `</think>` a tag?</think>Yes.", "Is `</think>` a tag?", "Yes."),
        ("<think>Begin ```py\nx = 1\n</think>\nSo:\n```py\nx = 1\n```", "Begin ```py\nx = 1", "So:\n```py\nx = 1\n```"),
        (f"<think>Code.</think>{SHOWN_IN_CODE}", "Code.", SHOWN_IN_CODE),
    ],
)
def test_a_thought_at_the_start_is_split_from_the_reply(text, reasoning, reply):
    assert split_reasoning(text) == (reasoning, reply)


@pytest.mark.parametrize(
    "text",
    [
        "4", "", "  4\n", SHOWN_IN_CODE, "The tag `</think>` ends it.", "```\n</think>\n```\nends it.",
        "A reply opens with <think> and ends with </think> there.",
    ],
)  # fmt: skip
def test_a_reply_that_mentions_the_tags_later_stays_whole(text):
    assert split_reasoning(text) == ("", text)


@pytest.mark.parametrize("begins", [THOUGHT, THOUGHT.removeprefix("<think>\n"), "<think>\n\n</think>\n\n"])
@pytest.mark.parametrize("kept", [False, True])
def test_no_stage_stores_reasoning_and_calls_keep_it_only_on_request(new_workspace, settings, teach, begins, kept):
    ws, plain = new_workspace(), new_workspace("plain")
    teach(usual := Canned())
    execute_run(plain, settings())
    teach(Canned(lambda stage, nth, messages: begins + usual.usual(stage, messages)))
    run = execute_run(ws, settings(keep_reasoning=kept))
    assert run.state == "finished" and content(ws) == content(plain)
    thought = "The user wants JSON" in begins
    traces = {
        reasoning and reasoning.startswith("The user wants JSON") for (reasoning,) in rows(ws, "SELECT reasoning FROM calls")
    }
    assert traces == {True if kept and thought else None}
    assert not rows(ws, "SELECT 1 FROM calls WHERE reply LIKE '%think>%' OR reply LIKE '%user wants%'")
    counted, least = rows(ws, "SELECT sum(tokens_reasoning), min(tokens_reasoning) FROM calls")[0]
    assert (least > 0) == thought and run_rows.last_sample(ws.db, run.id).tokens_reasoning == counted
    assert call_rows.counters(ws.db)["mathematics"].get("tokens_reasoning", 0) == counted


@pytest.mark.parametrize("stage", ["syllabus", "question", "answer"])
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_thought_without_a_reply_is_a_failure_with_its_cause_and_no_record(ws, settings, teach, stage, finish):
    cut = Reply("<think>First, the user wants", finish, 10, 10)
    teacher = teach(Canned(lambda asked, nth, messages: cut if asked == stage else None))
    execute_run(ws, settings())
    failures = call_rows.failures(ws.db)
    assert failures and {(failure.stage, failure.cause) for failure in failures} == {(stage, "reasoning only")}
    assert "max_tokens" in failures[0].message and not teacher.requests("repair")
    assert not [pair for pair in homework_rows.all_pairs(ws.db) if pair.answer or stage == "question"]


def test_a_repair_turn_quotes_the_reply_without_its_reasoning_and_leads_back_to_the_same_chat(ws, settings, teach):
    teacher = teach(Canned(lambda stage, nth, messages: f"{THOUGHT}No." if stage == "sessions" and nth == 0 else None))
    assert execute_run(ws, settings()).state == "finished"
    (turns,) = teacher.requests("repair")
    assert turns[-2] == {"role": "assistant", "content": "No."}
    calls = [call_rows.calls_of(ws.db, id) for (id,) in rows(ws, "SELECT work_id FROM calls WHERE outcome = 'malformed'")][0]
    repaired = next(call for call in calls if call.outcome == "stored" and call.stage == "sessions")
    assert provenance.messages_of(ws, repaired) == turns
