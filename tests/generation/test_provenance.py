"""Provenance: the prompt of every call can be reconstructed after changes of the taxonomy and the prompts."""

import hashlib
import json
from collections import Counter

import pytest
from support.runs import Canned, describe, execute_run, resume_run, rows

from glan_core import prompts
from glan_core.generation import provenance
from glan_core.records import Node
from glan_core.taxonomy import tree_editing
from glan_core.workspace import call_rows, taxonomy_rows

CHANGES = {
    "rename": lambda ws: tree_editing.rename(ws, "earth-science", "Geology", "ann"),
    "rename its parent": lambda ws: tree_editing.rename(ws, "earth", "The planet", "ann"),
    "describe": lambda ws: describe(ws, "earth-science", "Rocks, and what flows over them.", "ann"),
    "move": lambda ws: tree_editing.move(ws, "earth-science", "crafts", "ann"),
    "edit": lambda ws: tree_editing.edit(ws, "earth-science", "ann", name="Rocks", description="Hard.", parent_id="arts"),
    "remove": lambda ws: tree_editing.remove(ws, "earth", "ann"),
    "import": lambda ws: tree_editing.import_nodes(ws, [Node("earth-science", "Else", "field")], "ann"),
}


def calls(ws) -> list:
    """Return every call of the workspace."""
    ids = [id for (id,) in rows(ws, "SELECT DISTINCT work_id FROM calls")]
    return [call for id in ids for call in call_rows.calls_of(ws.db, id)]


def shown(ws) -> Counter:
    """Return the chats of all calls as reconstructed by provenance."""
    return Counter(json.dumps(provenance.messages_of(ws, call)) for call in calls(ws))


def sent(teacher: Canned) -> Counter:
    """Return the chats that a teacher received."""
    return Counter(json.dumps(messages) for _, messages in teacher.asked)


@pytest.fixture
def reword(monkeypatch):
    """Change the wording, and therefore the version, of every prompt."""

    def use(lead: str) -> None:
        def worded(name: str) -> prompts.Prompt:
            text = f"{lead}\n{original(name).text}"
            return prompts.Prompt(name, text, hashlib.sha256(text.encode()).hexdigest()[:12])

        for module in ("glan_core.prompts", "glan_core.generation.stages", "glan_core.generation.reply_storage"):
            monkeypatch.setattr(f"{module}.prompt", worded)

    original = prompts.prompt
    return use


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_prompts_are_shown_as_they_were_after_a_change_of_the_taxonomy(ws, settings, teach, change):
    teacher = teach(Canned())
    execute_run(ws, settings("earth-science"))
    change(ws)
    assert shown(ws) == sent(teacher)


def test_prompts_before_and_after_a_change_are_both_shown(ws, settings, teach):
    teacher = teach(Canned())
    execute_run(ws, settings("earth-science"))
    for change in ("rename", "describe", "rename its parent"):
        CHANGES[change](ws)
    execute_run(ws, settings("earth-science", subject_queries=2, questions_per_syllabus=6))
    CHANGES["move"](ws)
    assert shown(ws) == sent(teacher) and len({json.loads(chat)[0]["content"] for chat in shown(ws)}) > 10


def test_a_change_while_the_run_goes_on_hides_no_prompt(ws, settings, teach):
    def behave(stage, nth, messages):
        if stage == "syllabus" and nth == 0:  # the run keeps the names from its start
            CHANGES["edit"](ws)

    teacher = teach(Canned(behave))
    execute_run(ws, settings("earth-science"))
    assert taxonomy_rows.node(ws.db, "earth-science").name == "Rocks"
    assert shown(ws) == sent(teacher)


def test_prompts_are_shown_in_the_wording_they_were_sent_in(ws, settings, teach, reword):
    teacher = teach(Canned())
    execute_run(ws, settings("earth-science"))
    reword("New words:")
    assert shown(ws) == sent(teacher)
    execute_run(ws, settings("music"))
    reword("Newer words:")
    assert shown(ws) == sent(teacher)
    assert sum("New words:" in chat for chat in shown(ws)) > 5


def test_a_second_turn_quotes_the_first_in_the_wording_of_its_own_time(ws, settings, teach, reword):
    teacher = teach(Canned())
    run = execute_run(ws, settings("music", max_calls=1, max_in_flight=1))
    assert teacher.seen == {"subject_list": 1}
    reword("New words:")
    resume_run(ws, run.id, settings("music"))
    assert shown(ws) == sent(teacher)


def test_a_wording_with_other_placeholders_shows_nothing_and_does_not_fail(ws, settings, teach):
    teach(Canned())
    execute_run(ws, settings("music"))
    with ws.write() as db:
        db.execute("UPDATE prompts SET text = '$nothing_of_that_name and $' WHERE name = 'syllabus'")
    assert [call.stage for call in calls(ws) if provenance.messages_of(ws, call) is None] == ["syllabus"] * 2


def test_repair_turns_are_shown_after_what_they_mend(ws, settings, teach, reword):
    bad = {"subjects": "no JSON at all", "sessions": '{"session": "One"}', "question": "Submit your answer as a PDF."}
    teacher = teach(Canned(lambda stage, nth, messages: bad.get(stage) if nth < 2 else None))
    execute_run(ws, settings("earth-science"))
    assert teacher.seen["repair"] == 5
    CHANGES["edit"](ws)
    reword("New words:")
    assert shown(ws) == sent(teacher)


def test_a_chat_that_cannot_be_made_again_is_not_made_up(ws, settings, teach):
    teach(Canned())
    execute_run(ws, settings("earth-science"))
    with ws.write() as db:
        db.execute("UPDATE nodes SET name = 'Without a trace' WHERE id = 'earth-science'")
        db.execute("DELETE FROM node_events")
    assert {call.stage for call in calls(ws) if provenance.messages_of(ws, call)} == {"answer"}
