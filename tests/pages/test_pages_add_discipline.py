"""Adding a discipline by the guided dialog: describe, preview, accept, plan, start; nothing enters before it is accepted."""

import json
import time

import pytest
from support.runs import Canned, content, number, stage_of
from support.studio_app import PAGES, Studio

from glan_core import runs
from glan_core.generation import preview, streaming_state
from glan_core.generation.protocols import fingerprint
from glan_core.runs import launcher
from glan_core.taxonomy import tree_editing
from glan_core.teachers.contract import TeacherError
from glan_core.workspace import Workspace, run_rows, taxonomy_rows

pytest_plugins = ["support.studio_fixtures"]


def launched(monkeypatch, launch) -> None:
    """Put another launch in the place of the one that starts a child."""
    for place in (runs, launcher):
        monkeypatch.setattr(place, "launch", launch)


@pytest.fixture
def at_once(monkeypatch):
    """Runs and previews are made in this process, before the page is drawn."""
    launched(monkeypatch, lambda ws, run_id, environment=None: runs.work(ws, run_id))


@pytest.fixture
def never(monkeypatch):
    """The processes of runs and previews do not come up."""
    launched(monkeypatch, lambda ws, run_id, environment=None: None)


def opened(page: str = "overview", **query: str) -> Studio:
    return Studio(page, **query).press("Add discipline")


def described(name: str = "Virology", notes: str = "Viruses and what they do.", **query: str) -> Studio:
    """The dialog with its first step filled in."""
    shown = opened(**{"focus": "natural-sciences", **query})
    shown.app.text_input(key="adding_name").set_value(name)
    shown.app.text_area(key="adding_notes").set_value(notes).run()
    return shown


def dialog_says(shown: Studio, *texts: str) -> bool:
    assert shown.fine
    assert [text for text in texts if text not in shown.said] == []
    return True


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES)
def test_it_opens_on_every_page(demo_ws, page):
    shown = opened(page)
    assert dialog_says(shown, "1 Describe", "2 Preview", "3 Plan and start", "Notes for the teacher")
    assert "Generate preview · 10 calls · free" in shown.labels()


def test_the_whole_way_from_a_name_to_a_run(demo_ws, at_once):
    before = content(demo_ws)
    shown = described().press("Generate preview")
    assert dialog_says(shown, "Natural Sciences › **Virology**", "scripted teacher", "Foundations of Virology", "Question 3")
    assert content(demo_ws) == before and len(run_rows.runs(demo_ws.db)) == 4

    shown.press("Accept")
    assert dialog_says(shown, "Virology and its preview are now part of the taxonomy and the dataset.", "Full run")
    node = taxonomy_rows.node(demo_ws.db, "virology")
    assert (node.name, node.parent_id, node.description) == ("Virology", "natural-sciences", "Viruses and what they do.")
    assert taxonomy_rows.events(demo_ws.db, 1)[0].who == "Ada" and shown.app.query_params["focus"] == "virology"
    assert number(demo_ws, "SELECT count(*) FROM questions WHERE discipline_id = 'virology'") == 3

    shown.app.number_input(key="adding_queries").set_value(1)
    shown.app.number_input(key="adding_per").set_value(4).run()
    metrics = {metric.label: metric.value for metric in shown.app.metric}
    assert metrics["Price"] == "free" and {"Calls", "New pairs", "Tokens", "Time"} <= metrics.keys()
    shown.press("Start ·")
    run = run_rows.runs(demo_ws.db)[0]
    assert shown.fine and (run.title, run.state, run.params["live"]) == ("Virology", "finished", False)
    assert dialog_says(shown, f"Run {run.id}: Virology") and "Notes for the teacher" not in shown.said
    assert number(demo_ws, "SELECT count(*) FROM answers WHERE question_id IN "
                           "(SELECT id FROM questions WHERE discipline_id = 'virology')") == 24  # fmt: skip


def test_names_are_checked_and_near_duplicates_shown_with_their_place(demo_ws, at_once):
    shown = described("  ").press("Generate preview")
    assert dialog_says(shown, "The name is empty")
    shown.app.text_input(key="adding_name").set_value("Physic").run()
    assert [warning.value for warning in shown.app.warning] == [
        "The taxonomy already contains Natural Sciences › Physical sciences › Physics."
    ]
    shown.app.selectbox(key="adding_place").set_value("physical-sciences")
    shown.app.text_input(key="adding_name").set_value("physics").run()
    assert dialog_says(shown.press("Generate preview"), "is used twice under the same parent")
    assert preview.pending(demo_ws) == []


def test_what_is_thrown_away_leaves_nothing_but_its_accounts(demo_ws, at_once):
    before = content(demo_ws)
    shown = described().press("Generate preview").press("Discard")
    assert dialog_says(shown, "1 Describe") and shown.app.text_input(key="adding_name").value == "Virology"
    assert content(demo_ws) == before and preview.pending(demo_ws) == []
    assert "Discarded" in run_rows.runs(demo_ws.db)[0].message


def test_another_try_replaces_the_preview(demo_ws, at_once):
    shown = described().press("Generate preview")
    first = preview.pending(demo_ws)[0].begun_at
    shown.press("Regenerate · 10 calls · free")
    assert dialog_says(shown, "Question 3") and [waiting.begun_at > first for waiting in preview.pending(demo_ws)] == [True]


@pytest.mark.long
def test_an_empty_discipline_in_focus_is_offered_and_gets_no_second_node(demo_ws, at_once):
    nodes = len(taxonomy_rows.nodes(demo_ws.db))
    shown = opened(focus="physics")
    assert shown.app.segmented_control(key="adding_what").value == "physics"
    name = next(field for field in shown.app.text_input if field.label == "Name")
    assert (name.value, name.disabled) == ("Physics", True)
    assert shown.app.text_area[0].value == taxonomy_rows.node(demo_ws.db, "physics").description
    shown.press("Generate preview").press("Accept")
    assert dialog_says(shown, "Physics and its preview are now part") and len(taxonomy_rows.nodes(demo_ws.db)) == nodes
    assert number(demo_ws, "SELECT count(*) FROM questions WHERE discipline_id = 'physics'") == 3
    shown = opened(focus="physics")  # it is empty no more
    assert "which is empty so far" not in shown.said and shown.app.text_input(key="adding_name").value == ""


def test_a_preview_that_waits_is_found_again_by_another_visitor(demo_ws, at_once):
    described().press("Generate preview")
    shown = opened()
    assert dialog_says(shown, "The preview of **Virology** is ready for review, started just now.")
    shown.press("Open")
    assert dialog_says(shown, "Natural Sciences › **Virology**", "Question 3") and "Accept" in shown.labels()


def test_text_is_shown_while_it_is_written(demo_ws, never):
    shown = described().press("Generate preview")
    assert dialog_says(shown, "Calling the teacher.", "You can close this dialog") and "Stop" in shown.labels()
    chat = fingerprint([{"role": "user", "content": "x"}])
    for stage, text, sees in (
        ("subject_list", "- <b>Capsids</b> and ![x](http://evil/x.png)", ["Capsids", "a list of subjects"]),
        ("subjects", '{"subject_name": "*Capsids*", "level": "x"}\n{"subject_na', ["Capsids", "as JSON lines"]),
    ):
        picture = [{"stage": stage, "chat": chat, "text": text}]
        (preview.folder_of(demo_ws, "virology") / streaming_state.FILE).write_text(json.dumps(picture))
        shown.app.run()
        assert dialog_says(shown, *sees)
    assert "- \\*Capsids\\*\n ▌" in [text.value for text in shown.app.markdown]
    previewed = Workspace.open(preview.folder_of(demo_ws, "virology"))
    with previewed.write() as db:
        run_rows.update_run(db, run_rows.runs(db, 1)[0].id, state="running", heartbeat_at=time.time(), host="elsewhere")
    previewed.close()
    shown.press("Stop")
    assert dialog_says(shown, "Stopping after in-flight requests are stored.") and "Stop" not in shown.labels()


def test_what_a_teacher_writes_can_neither_break_nor_script_the_page(demo_ws, at_once, teach):
    evil = "![x](http://evil/x.png) :material/bolt:"

    def behave(stage, nth, messages):
        usual = Canned().usual(stage_of(messages), messages)
        return usual + "\n\n" + evil if stage in ("syllabus", "question", "answer") else usual.replace("Subject", "*Subject*")

    teach(Canned(behave))
    shown = described().press("Generate preview")
    assert dialog_says(shown, "*Subject* 0 of Virology", "3 class sessions · 12 key concepts")
    assert not [text.value for text in shown.app.markdown if "![x]" in text.value or " :material/bolt:" in text.value]


def test_what_went_wrong_is_said_and_tried_again_without_paying_twice(demo_ws, at_once, teach):
    teach(Canned(lambda stage, nth, messages: TeacherError("It does not accept the key.") if stage == "syllabus" else None))
    shown = described().press("Generate preview")
    assert dialog_says(shown, "It does not accept the key.") and "Accept incomplete" not in shown.labels()
    teacher = teach(Canned(lambda stage, nth, messages: "" if stage == "answer" else None))
    shown.press("Retry")
    assert dialog_says(shown, "The preview is incomplete.", "**Answers: empty** · 3", "try another teacher")
    assert "Accept incomplete" not in shown.labels(), "there is nothing to accept"
    assert not teacher.requests("subject_list")
    teach(Canned(lambda stage, nth, messages: "" if stage == "answer" and nth else None))
    assert dialog_says(shown.press("Retry"), "**Answers: empty** · 2") and "Accept incomplete" in shown.labels()
    teach(Canned())
    assert dialog_says(shown.press("Retry"), "An answer to") and "Accept" in shown.labels()


def test_without_a_key_nothing_is_begun(demo_ws, at_once):
    shown = described()
    shown.app.selectbox(key="adding_kind").set_value("openai").run()
    assert dialog_says(shown, "Enter the model to continue.") and not [
        one for one in shown.labels() if one.startswith("Generate")
    ]
    shown.app.text_input(key="adding_model").set_value("gpt-4o-mini").run()
    assert next(label for label in shown.labels() if label.startswith("Generate")).startswith(
        "Generate preview · 10 calls · about "
    )
    assert dialog_says(shown.press("Generate preview"), "OPENAI_API_KEY is not set") and preview.pending(demo_ws) == []


def test_a_key_typed_in_the_dialog_is_the_sessions_and_stands_beside_that_of_the_page(demo_ws, monkeypatch):
    given = []
    launched(monkeypatch, lambda ws, run_id, environment=None: given.append(environment))
    shown = Studio("runs", focus="natural-sciences")
    shown.app.selectbox(key="run_kind").set_value("openai").run()
    shown.press("Add discipline")
    shown.app.selectbox(key="adding_kind").set_value("openai").run()
    shown.app.text_input(key="api_key_adding").set_value("sk-secret-4711")
    shown.app.text_input(key="adding_model").set_value("gpt-4o-mini")
    shown.app.text_input(key="adding_name").set_value("Virology").run()
    assert dialog_says(shown.press("Generate preview"), "Calling the teacher.") and "sk-secret" not in shown.said
    assert given == [{"OPENAI_API_KEY": "sk-secret-4711"}]


def test_a_lost_process_is_told_and_can_be_tried_again(demo_ws, never, monkeypatch):
    shown = described().press("Generate preview")
    monkeypatch.setattr(runs.states, "LAUNCH_SECONDS", -1.0)
    shown.app.run()
    assert dialog_says(shown, "Worker lost (no heartbeat).") and "Retry" in shown.labels()


@pytest.mark.long
def test_every_part_can_be_edited_before_it_is_accepted(demo_ws, at_once):
    shown = described().press("Generate preview").press("Edit")
    assert dialog_says(shown, "Class sessions and key concepts")
    shown.app.text_area(key="preview_syllabus").set_value("Another plan.")
    shown.app.text_area(key="preview_question_1").set_value("What is a virus?")
    shown.app.text_area(key="preview_answer_1").set_value("A capsid with a genome.")
    shown.app.session_state["preview_subjects"] = {
        "edited_rows": {0: {"name": "Viruses", "subtopics": ["Capsids"]}}, "added_rows": [], "deleted_rows": []
    }  # fmt: skip
    shown.app.session_state["preview_sessions"] = {
        "edited_rows": {0: {"name": "First steps", "concepts": ["Capsid"]}}, "deleted_rows": [1],
        "added_rows": [{"name": "Last steps", "concepts": ["Envelope"]}],
    }  # fmt: skip
    shown.press("Save changes")
    assert dialog_says(shown, "Viruses", "Another plan.", "What is a virus?", "First steps", "Last steps", "Envelope")
    found = preview.read(demo_ws, "virology")
    assert found.subjects[0].subtopics == ("Capsids",) and found.pairs[0].answer == "A capsid with a genome."
    assert len(found.sessions) == 10
    shown.press("Edit")
    shown.app.text_area(key="preview_question_1").set_value("  ")
    assert dialog_says(shown.press("Save changes"), "The text of the question is empty.")
    assert dialog_says(shown.press("Discard changes"), "What is a virus?")
    shown.press("Accept")
    assert number(demo_ws, "SELECT edited FROM questions WHERE text = 'What is a virus?'") == 1


def test_what_was_begun_in_one_workspace_is_not_shown_in_another(demo_ws, starter_ws, at_once):
    shown = described(workspace="demo").press("Generate preview")
    assert "Accept" in shown.labels()
    next(box for box in shown.app.selectbox if box.label == "Workspace").set_value("starter").run()
    assert dialog_says(shown, "1 Describe") and "Accept" not in shown.labels() and preview.pending(starter_ws) == []


@pytest.mark.long
def test_a_running_preview_takes_its_time_and_the_page_follows(demo_ws):
    shown = described().press("Generate preview")  # a child process of its own
    shown.until(lambda page: "Accept" in page.labels())
    assert dialog_says(shown, "Question 3")


@pytest.mark.long
def test_a_discipline_that_somebody_added_meanwhile_is_accepted_into_it_or_refused_in_words(demo_ws, at_once):
    shown = described().press("Generate preview")
    tree_editing.remove(demo_ws, "natural-sciences", "Eve")
    shown.app.run()
    assert dialog_says(shown.press("Accept"), 'the parent "natural-sciences" does not exist')
    assert preview.read(demo_ws, "virology").whole


def test_an_empty_taxonomy_has_no_place_for_a_discipline_yet(home):
    Workspace.create(home / "empty").close()
    shown = opened()
    assert dialog_says(shown, "The taxonomy is empty. Add the default taxonomy")
    assert not [label for label in shown.labels() if label.startswith("Generate")]


def test_what_somebody_else_has_settled_meanwhile_is_simply_gone(demo_ws, at_once):
    shown = described().press("Generate preview")
    preview.discard(demo_ws, "virology")
    shown.app.run()
    assert dialog_says(shown, "1 Describe") and shown.app.text_input(key="adding_name").value == "Virology"
