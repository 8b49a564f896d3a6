"""The Syllabi page: the list of subjects, the course plan, edits and their undo, empty and half-made states."""

import pytest
from streamlit.testing.v1 import AppTest
from support.runs import number, rows
from support.studio_app import Studio

from glan_core.curriculum import syllabus_editing, syllabus_markdown
from glan_core.curriculum.curriculum_parsing import before_sessions
from glan_core.ids import syllabus_id
from glan_core.workspace import curriculum_rows, pair_filter
from glan_core.workspace.curriculum_rows import Session, Subject, Syllabus

pytest_plugins = ["support.studio_fixtures"]


def first(ws) -> Subject:
    return curriculum_rows.subjects(ws.db, "mathematics")[0]


def field(widgets, label: str):
    """The widget of a label."""
    return next(widget for widget in widgets if widget.label == label)


def test_the_first_syllabus_is_shown_as_a_course_plan(demo_ws):
    shown = Studio("syllabi", focus="mathematics")
    subject = first(demo_ws)
    sessions = curriculum_rows.sessions(demo_ws.db, syllabus_id(subject.id))
    asked = curriculum_rows.concept_question_counts(demo_ws.db, syllabus_id(subject.id))
    assert shown.fine and "2 of 2 subjects have a syllabus" in shown.said
    assert subject.name in shown.said and subject.level in shown.said and "Learning objectives" in shown.said
    for n, session in enumerate(sessions, start=1):
        assert f"{n:02}" in shown.said and f"**{session.name}**" in shown.said
        chips = shown.app.button_group(key=f"chips_{session.id}")
        assert len(chips.options) == len(session.concepts)
        assert all(f"· {asked.get(id, 0)}" in option for (id, _), option in zip(session.concepts, chips.options, strict=True))


def test_a_link_opens_a_subject_with_its_discipline_in_the_breadcrumb(demo_ws):
    other = curriculum_rows.subjects(demo_ws.db, "mathematics")[1]
    shown = Studio("syllabi", focus="mathematics", subject=other.id)
    assert f"**{other.name}**" in shown.labels() and shown.app.query_params["subject"] in (other.id, [other.id])
    shown.go("homework", focus="mathematics", subject=other.id)
    assert len(shown.table("question")) == pair_filter.count_matching(
        demo_ws.db, pair_filter.PairFilter(syllabus_id=syllabus_id(other.id))
    )
    elsewhere = Studio("syllabi", focus="music", subject=other.id)
    assert elsewhere.fine and f"**{other.name}**" not in elsewhere.labels()


def test_a_chip_leads_to_the_questions_about_its_concept(demo_ws):
    shown = Studio("syllabi", focus="mathematics")
    session = curriculum_rows.sessions(demo_ws.db, syllabus_id(first(demo_ws).id))[0]
    concept, name = session.concepts[0]
    shown.app.button_group(key=f"chips_{session.id}").set_value(concept).run()
    assert shown.fine and "Homework · Mathematics" in shown.said and f"about {name}" in shown.said
    assert len(shown.table("question")) == curriculum_rows.concept_question_counts(demo_ws.db, session.syllabus_id)[concept]
    shown.go("homework", focus="mathematics", concept=concept)
    shown.app.button(key="chip_concept").click().run()
    assert len(shown.table("question")) == 48


def dialog(folder: str, subject_id: str) -> None:
    """The dialog as a script of its own: AppTest closes one that a page has opened at the next run."""
    import streamlit as st

    from glan_core.ids import syllabus_id
    from glan_core.workspace import Workspace, curriculum_rows
    from pages.components.syllabi.edit_dialog import open_dialog

    ws = Workspace.open(folder)
    st.session_state.workspace = "demo"
    subject = curriculum_rows.subject(ws.db, subject_id)
    syllabus = curriculum_rows.syllabus(ws.db, syllabus_id(subject_id))
    open_dialog(ws, subject, syllabus, curriculum_rows.sessions(ws.db, syllabus.id))


def opened(ws) -> AppTest:
    return AppTest.from_function(dialog, default_timeout=30, args=(str(ws.folder), first(ws).id)).run()


def test_an_edit_is_marked_says_what_is_older_and_is_undone(demo_ws):
    subject = first(demo_ws)
    syllabus = curriculum_rows.syllabus(demo_ws.db, syllabus_id(subject.id))
    edit = opened(demo_ws)
    field(edit.text_input, "Subject").set_value("Chance and count")
    field(edit.text_area, "Subtopics (one per line)").set_value("Dice\nUrns")
    field(edit.button, "Save").click().run()
    changed = curriculum_rows.subject(demo_ws.db, subject.id)
    assert (changed.name, changed.subtopics) == ("Chance and count", ("Dice", "Urns"))
    shown = Studio("syllabi", focus="mathematics")
    assert (
        f"{syllabus.questions} questions were generated from an earlier version" in shown.said
        and "Chance and count ✎" in shown.said
    )
    assert rows(demo_ws, "SELECT DISTINCT who FROM record_events") == [("Ada",)]
    shown.app.session_state["syllabus_tabs"] = "History"
    shown.app.run()
    shown.press("Undo latest edit")
    assert curriculum_rows.subject(demo_ws.db, subject.id) == subject and shown.fine


def test_an_edit_that_is_none_is_refused_in_the_dialog(demo_ws):
    edit = opened(demo_ws)
    field(edit.text_area, "Syllabus text").set_value("  ")
    field(edit.button, "Save").click().run()
    assert [error.value for error in edit.error] == ["The text of the syllabus is empty\\."]
    assert number(demo_ws, "SELECT count(*) FROM record_events") == 0


def test_subjects_are_found_by_name_over_all_disciplines(demo_ws):
    shown = Studio("syllabi")
    shown.app.text_input(key="subject_words").set_value("GRAPH theo").run()
    assert shown.table("name")["name"].to_list() == ["Graph theory"]
    shown.app.text_input(key="subject_words").set_value("no such thing").run()
    assert shown.fine and "No subjects match this search." in shown.said


def test_empty_and_half_made_states(starter_ws):
    shown = Studio("syllabi", focus="mathematics")
    assert "No subjects in Mathematics yet" in shown.said
    shown.press("Plan a run")
    assert shown.fine and "Runs · Mathematics" in shown.said
    with starter_ws.write() as db:
        subject = Subject("sub-1", "mathematics", "Knots <b>", "", ())
        curriculum_rows.add_subjects(db, "mathematics", [(subject, "scripted")], [], [])
    shown = Studio("syllabi", focus="mathematics", subject="sub-1")
    assert "This subject has no syllabus yet" in shown.said and "Knots <b>" in shown.said
    with starter_ws.write() as db:
        curriculum_rows.add_syllabus(db, syllabus_id("sub-1"), "sub-1", "mathematics", "Just text.", "openai:x")
    shown = Studio("syllabi", focus="mathematics")
    assert shown.fine and "No class sessions extracted yet" in shown.said and "Just text." in shown.said


def test_many_subjects_are_listed_by_discipline_first(starter_ws):
    with starter_ws.write() as db:
        for discipline in ("mathematics", "music"):
            many = [(Subject(f"sub-{discipline}-{n}", discipline, f"Subject {n}", "", ()), "x") for n in range(150)]
            curriculum_rows.add_subjects(db, discipline, many, [], [])
    shown = Studio("syllabi")
    assert sorted(shown.table("subjects")["name"]) == ["Mathematics", "Music"]
    assert "Select a discipline, then a subject" in shown.said
    shown = Studio("syllabi", focus="music")
    assert len(shown.table("sessions")) == 150


@pytest.mark.parametrize(
    ("text", "front"),
    [
        ("# T\n\nLevel: x\n\n## Introduction\n\nWhy.\n\n## Class sessions\n\n### Session 1: A\n", "## Introduction\n\nWhy."),
        ("**Introduction**\nWhy.\n\n**4. Class Schedule:**\n1. A", "**Introduction**\nWhy."),
        ("Intro.\nSession 1: A\nSession 2: B", "Intro."),
        ("Intro only, of three sessions in all.", "Intro only, of three sessions in all."),
    ],
)
def test_what_stands_before_the_sessions(text, front):
    assert before_sessions(text) == front


def test_the_document_is_whole_markdown():
    subject = Subject("sub-1", "m", "Knots", "hard", ())
    syllabus = Syllabus(
        "y", "sub-1", "m", "# Knots\n\n## Introduction\n\nWhy.\n\n## Class sessions\n\n...", "t", (1,), 0, 0, False
    )
    sessions = [Session("s", "y", 0, "Ropes", "About ropes.", (("c", "Bight"),))]
    text = syllabus_markdown.markdown(subject, syllabus, sessions, "Topology")
    assert text == (
        "# Knots\n\nTopology · hard\n\n## Introduction\n\nWhy.\n\n## Class sessions\n\n### 1. Ropes\n\nAbout ropes.\n\n- Bight\n"
    )
    assert syllabus_markdown.markdown(subject, syllabus, [], "Topology").endswith("## Class sessions\n\n...\n")


def test_the_history_tab_tells_what_changed(demo_ws):
    subject = first(demo_ws)
    syllabus_editing.edit_subject(demo_ws, subject.id, "Bob", name="Chance", level=subject.level, subtopics=subject.subtopics)
    shown = Studio("syllabi", focus="mathematics")
    shown.app.session_state["syllabus_tabs"] = "History"
    shown.app.run()
    row = shown.table("before").iloc[0]
    assert (row["who"], row["what"], row["before"], row["after"]) == ("Bob", "Name of the subject", subject.name, "Chance")
