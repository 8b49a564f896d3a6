"""One syllabus: course plan with key concepts, concept graph, original text and history."""

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.curriculum import syllabus_markdown
from glan_core.curriculum.curriculum_parsing import before_sessions
from glan_core.figures.concepts import concept_frames, concept_graph
from glan_core.formatting import ago, exact, number, plural, shorten
from glan_core.generation import provenance
from glan_core.generation.stage_specs import stage_title
from glan_core.ids import slug
from glan_core.records import Subject
from glan_core.untrusted import clean
from glan_core.workspace import Workspace, call_rows, curriculum_rows, homework_rows, record_rows
from glan_core.workspace.curriculum_rows import Session, Syllabus
from pages.components.homework import review_actions
from pages.components.shared import page_frame, picture_table, plain_table, url_state
from pages.components.shared.print_button import NOT_PRINTED, print_button
from pages.components.shared.untrusted_text import badge_label, escape, model_markdown, scripted_badge
from pages.components.syllabi import edit_dialog

FIELD_WORDS = {
    "name": "name", "level": "level", "subtopics": "subtopics", "text": "text", "description": "description",
    "retired": "status", "teacher": "teacher",
}  # fmt: skip
KIND_WORDS = {"sub": "the subject", "syl": "the syllabus", "ses": "a class session", "con": "a key concept"}


def panel(ws: Workspace, tree: nx.DiGraph, subject: Subject, syllabus: Syllabus | None) -> None:
    """Draw a subject with its syllabus, or the empty state."""
    discipline = tree.nodes[subject.discipline_id]["node"].name
    st.header(escape(subject.name), anchor=False)
    badges(subject, syllabus)
    if subject.subtopics:
        st.caption(escape(", ".join(subject.subtopics)))
    if syllabus is None:
        st.info("This subject has no syllabus yet. A run generates it.", icon=":material/menu_book:")
        if st.button("Plan a run", type="primary", icon=":material/play_circle:"):
            url_state.open_page("pages/runs.py")
        return
    sessions = curriculum_rows.sessions(ws.db, syllabus.id)
    asked = curriculum_rows.concept_question_counts(ws.db, syllabus.id)
    with st.container(horizontal=True, gap="small", key=f"{NOT_PRINTED}_deeds"):
        if st.button(
            f"{plural(syllabus.questions, 'question')}", icon=":material/quiz:", help="Read the questions generated from it"
        ):
            url_state.set_subject(subject.id)
            url_state.open_page("pages/homework.py")
        if st.button("Edit", icon=":material/edit:", shortcut="E", key="edit_syllabus", disabled=ws.read_only):
            edit_dialog.open_dialog(ws, subject, syllabus, sessions)
        review_actions.regenerate_button(ws, syllabus.id, "syllabus", "2 calls")
        text = syllabus_markdown.markdown(subject, syllabus, sessions, discipline)
        st.download_button("Markdown", text, f"{slug(subject.name)}.md", "text/markdown", icon=":material/download:")
        print_button()
    review_actions.undo_bar(ws)
    if older := record_rows.count_outdated_questions(ws.db, syllabus.id):
        st.warning(
            f"{plural(older, 'question')} {'was' if older == 1 else 'were'} generated from an earlier version of this text."
        )
    calls = call_rows.calls_of(ws.db, syllabus.id)
    parts = {
        "Course plan": lambda: course_plan(syllabus, sessions, asked),
        "Concept graph": lambda: graph(ws, syllabus, sessions, asked),
        "Original text": lambda: st.markdown(model_markdown(syllabus.text)),
        "Prompts and replies": lambda: prompts(ws, syllabus, calls),
    }
    if events := record_rows.syllabus_events(ws.db, syllabus.id):
        parts["History"] = lambda: history(ws, events)
    for tab, draw in zip(st.tabs(list(parts), on_change="rerun", key="syllabus_tabs"), parts.values(), strict=True):
        if tab.open:
            with tab:
                draw()


def badges(subject: Subject, syllabus: Syllabus | None) -> None:
    """Draw badges for level and origin."""
    with st.container(horizontal=True, gap="small"):
        if subject.level:
            st.badge(badge_label(shorten(subject.level, 40)), color="blue", help="Level")
        if syllabus:
            if syllabus.edited:
                st.badge("edited", color="violet", icon=":material/edit:", help="Changed since it was generated; see History.")
            scripted_badge(syllabus.teacher)


def course_plan(syllabus: Syllabus, sessions: list[Session], asked: dict[str, int]) -> None:
    """Draw introduction and objectives, then the class sessions with their key concepts."""
    front = before_sessions(syllabus.text)
    if front:
        st.markdown(model_markdown(front))
    if not sessions:
        st.info("No class sessions extracted yet. The next run extracts them.")
        return
    total = sum(len(session.concepts) for session in sessions)
    met = sum(id in asked for session in sessions for id, _ in session.concepts)
    st.markdown(f"**{plural(len(sessions), 'class session')}** · {met} of {plural(total, 'key concept')} covered by questions")
    for n, session in enumerate(sessions, start=1):
        # Custom timeline: st.status(type="step") sleeps 50 ms per step.
        with st.container(horizontal=True, gap="small"):
            st.badge(f"{n:02}", color="blue")
            with st.container(gap="small", width="stretch"):
                st.markdown(f"**{escape(session.name)}**")
                if session.description:
                    st.markdown(model_markdown(session.description))
                chips(session, asked)


def chips(session: Session, asked: dict[str, int]) -> None:
    """Draw the key concepts of a session with their number of questions; a click shows those questions."""
    names = dict(session.concepts)

    def show() -> None:
        if selected := st.session_state.get(f"chips_{session.id}"):
            url_state.select(concept=selected)
            st.session_state.to_homework = True

    st.pills(
        "Key concepts", list(names), key=f"chips_{session.id}", on_change=show, label_visibility="collapsed",
        format_func=lambda id: f"{escape(names[id])} · {asked[id]}" if id in asked else f":gray[{escape(names[id])} · 0]",
    )  # fmt: skip
    if st.session_state.pop("to_homework", False):
        url_state.open_page("pages/homework.py")


def graph(ws: Workspace, syllabus: Syllabus, sessions: list[Session], asked: dict[str, int]) -> None:
    """Draw key concepts on a circle; an edge joins two concepts of different sessions that share a question."""
    nodes, edges = concept_frames(sessions, asked, homework_rows.concept_sets(ws.db, syllabus.id))
    if nodes.empty:
        st.info("No key concepts extracted yet. The next run extracts them.")
        return
    st.echarts_chart(
        concept_graph(nodes, edges, page_frame.figure_style()), height=680, key=f"concepts_{syllabus.id}",
        alt=f"{plural(len(nodes), 'key concept')} on a circle, {plural(len(edges), 'edge')} between concepts that share a question.",
    )  # fmt: skip
    st.caption(
        "Sessions run around the circle in order, from light to dark. Point size: number of questions; gray: none. "
        "Edge: a two-session question combines both concepts."
    )
    names = dict(zip(nodes["id"], nodes["name"], strict=True))
    picture_table.button(
        "concepts", "Key concepts combined by questions",
        lambda: edges.assign(source=edges["source"].map(names), target=edges["target"].map(names)).sort_values("source"),
        {"source": "Key concept", "target": "Combined with", "questions": "Questions"},
    )  # fmt: skip


def prompts(ws: Workspace, syllabus: Syllabus, calls: list[call_rows.Call]) -> None:
    """Show prompt and reply of every call for the syllabus."""
    for call in calls:
        what = "Syllabus" if call.stage == "syllabus" else stage_title(call.stage).capitalize()
        st.markdown(
            f"**{what}** · {escape(call.teacher)} · {call.outcome} · {exact(call.at)} · "
            f"{number(call.tokens_in)} prompt tokens, {number(call.tokens_out)} completion tokens"
        )
        messages = provenance.messages_of(ws, call)
        if messages is None:
            st.caption("The prompt cannot be reconstructed: a record it was built from has changed.")
        for message in messages or ():
            st.code(clean(message["content"]), language=None, wrap_lines=True, height=240)
        kept = call.reply if call.stage == "sessions" else provenance.reply_of(ws, call, syllabus.id, syllabus.text)
        st.code(clean(kept or ""), language=None, wrap_lines=True, height=240)


def history(ws: Workspace, events: list[record_rows.RecordEvent]) -> None:
    """Show the edits with an undo button."""
    batches = list(dict.fromkeys(event.batch for event in events))
    frame = pd.DataFrame(
        {
            "when": [ago(event.at) for event in events], "who": [event.who for event in events],
            "what": [f"{FIELD_WORDS[event.field].capitalize()} of {KIND_WORDS[event.record_id[:3]]}" for event in events],
            "before": [_shown(event, event.before) for event in events], "after": [_shown(event, event.after) for event in events],
        }
    )  # fmt: skip
    plain_table.draw(
        frame, hide_index=True, alt="Edits, newest first",
        column_config={
            "when": st.column_config.TextColumn("When", width=80), "who": st.column_config.TextColumn("Who", width=80),
            "what": st.column_config.TextColumn("What", width=150), "before": st.column_config.TextColumn("Before"),
            "after": st.column_config.TextColumn("After"),
        },
    )  # fmt: skip
    st.button(
        "Undo latest edit", icon=":material/undo:", on_click=review_actions.undo_edit, args=(ws, batches[0]), key="undo_latest_change",
        disabled=ws.read_only,
    )  # fmt: skip


def _shown(event: record_rows.RecordEvent, value: object) -> str:
    if event.field == "retired":
        return "retired" if value else "in use"
    return shorten(" ".join(str(value or "").split()), 300)
