"""A preview as it is written, and once it is there: read it, accept it, let it be written again, or throw it away."""

import re
from collections.abc import Callable, Iterable

import networkx as nx
import streamlit as st

from glan_core.errors import GlanError
from glan_core.formatting import money, plural, usd
from glan_core.generation import preview
from glan_core.generation.plan import Plan
from glan_core.generation.preview import Preview
from glan_core.generation.settings import STAGE_TITLES
from glan_core.taxonomy import hierarchy
from glan_core.workspace import Workspace
from glan_core.workspace.homework_rows import Pair
from pages.components.shared import teacher_form, url_state
from pages.components.shared.untrusted_text import fault, model_markdown, plain, scripted_mark
from pages.components.taxonomy import preview_edit

CURSOR = " ▌"
STRATEGIES = {"single": "one class session", "pair": "two class sessions"}
NOW = {
    "subject_list": "a list of subjects", "subjects": "the list once more, in a fixed form", "syllabus": "the syllabus",
    "sessions": "the class sessions that it holds", "question": "questions", "answer": "answers",
}  # fmt: skip


def panel(ws: Workspace, tree: nx.DiGraph, discipline_id: str) -> None:
    """The preview of a discipline; it redraws itself while it is being written."""
    alive = preview.read(ws, discipline_id).alive
    st.fragment(_panel, run_every=0.4 if alive else None)(ws, tree, discipline_id, alive)


def _panel(ws: Workspace, tree: nx.DiGraph, discipline_id: str, was_alive: bool) -> None:
    try:
        shown = preview.read(ws, discipline_id)
    except GlanError:  # accepted or thrown away by somebody else
        st.rerun()
    if shown.alive != was_alive:
        st.rerun()  # drawn anew, with or without a pulse
    _headline(tree, shown)
    if not shown.alive and st.session_state.get("editing_preview") == discipline_id:
        preview_edit.form(ws, shown)
        return
    _actions(ws, shown)
    if not shown.alive and not shown.subjects:
        return
    grid = st.grid(2, gap="medium", min_column_width=390)
    with grid.cell():
        _subjects(shown)
        _syllabus(shown)
    with grid.cell():
        _homework(shown)


def _headline(tree: nx.DiGraph, shown: Preview) -> None:
    above = hierarchy.path(tree, shown.node.parent_id) if shown.node.parent_id in tree else []
    place = plain("".join(f"{node.name} › " for node in above).strip())
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"{place} **{plain(shown.node.name)}**", width="content")
        for teacher in sorted({shown.terms.teacher_of(stage) for stage in preview.CALLS}):
            scripted_mark(teacher)
        if shown.alive:
            st.markdown(f":primary[:material/edit_note: {_now(shown)}]", width="content")
    if shown.alive:
        return
    if shown.state == "lost":
        st.error("The process that wrote this preview is gone or silent. What it stored is kept: try again to have the rest.")
    elif shown.state == "failed":
        st.error(plain(shown.run.message or "Something went wrong."))
    elif not shown.whole:
        causes = "; ".join(f"{count} × {STAGE_TITLES[stage]}: {cause}" for stage, cause, count in shown.failures)
        st.warning(plain(f"The preview is not whole. {causes or shown.run.message or 'Try again to have the rest.'}"))


def _now(shown: Preview) -> str:
    """What is going on, in one sentence."""
    if shown.run.wish:
        return "Stopping once what is being written now is stored."
    stages = dict.fromkeys(NOW[writing.stage] for writing in shown.writing)
    if stages:
        return f"The teacher is writing {' and '.join(stages)}."
    return "The teacher is being called." if not shown.subjects else "The teacher is being asked for what comes next."


def _subjects(shown: Preview) -> None:
    found = shown.subjects
    st.markdown(f"**Subjects**{f' · {len(found)} from the first list' if found else ''}")
    with st.container(height=150, border=True, autoscroll=not found):
        if found:
            for subject in found:
                level = f" · {plain(subject.level)}" if subject.level else ""
                _entry(f"**{plain(subject.name)}**{level}", subject.subtopics)
        elif text := shown.text_of("subjects"):
            st.markdown("".join(f"- {plain(name)}\n" for name in preview.names_so_far(text)) + CURSOR)
        elif (text := shown.text_of("subject_list")) is not None:
            st.markdown(_markdown(text) + CURSOR)
        else:
            _to_come(shown, "The subjects that a student of it should take")


def _syllabus(shown: Preview) -> None:
    of = f" of {plain(shown.subjects[0].name)}" if shown.subjects else ""
    st.markdown(f"**Syllabus**{of}")
    # Under one key the box would stay where the text grew last, once it is whole: it is read from its beginning.
    key = "preview_text" if shown.syllabus is None else "preview_text_whole"
    with st.container(height=310, border=True, autoscroll=shown.syllabus is None, key=key):
        if shown.syllabus:
            if shown.sessions:
                _sessions(shown)
            elif text := shown.text_of("sessions"):
                st.caption(f"Class sessions found in it: {plain(', '.join(preview.names_so_far(text)))}{CURSOR}")
            st.markdown(_markdown(shown.syllabus.text))
        elif (text := shown.text_of("syllabus")) is not None:
            st.markdown(_markdown(text) + CURSOR)
        else:
            _to_come(shown, "The teaching plan of the first subject")


def _sessions(shown: Preview) -> None:
    """Sessions and key concepts, folded away above the text that they were read from."""
    concepts = sum(len(session.concepts) for session in shown.sessions)
    with st.expander(f"{plural(len(shown.sessions), 'class session')} · {plural(concepts, 'key concept')}"):
        for number, session in enumerate(shown.sessions, start=1):
            _entry(f"{number}\\. **{plain(session.name)}**", [name for _, name in session.concepts])


def _entry(head: str, parts: Iterable[str]) -> None:
    """An entry of a list with what it is made of below it."""
    with st.container(gap=None):
        st.markdown(head)
        st.caption(plain(", ".join(parts)))


def _homework(shown: Preview) -> None:
    st.markdown("**Questions and answers**")
    with st.container(height=513, border=True, key="preview_homework"):
        for number, pair in enumerate(shown.pairs, start=1):
            _pair(shown, number, pair)
        writing = [writing.text for writing in shown.writing if writing.stage == "question"]
        for number, text in enumerate(writing, start=len(shown.pairs) + 1):
            st.caption(f"Question {number}")
            st.markdown(model_markdown(text) + CURSOR)
        if not shown.pairs and not writing:
            _to_come(shown, "Three homework questions, each with its answer,")


def _pair(shown: Preview, number: int, pair: Pair) -> None:
    question = pair.question
    with st.container(border=True, gap="small"):
        st.caption(f"Question {number} · {STRATEGIES[question.strategy]} · {plain(', '.join(_concepts(shown, pair)))}")
        st.markdown(model_markdown(question.text))
        st.caption("Answer")
        if pair.answer is not None:
            st.markdown(model_markdown(pair.answer))
        elif (text := shown.answer_of(pair)) is not None:
            st.markdown(model_markdown(text) + CURSOR)
        else:
            _to_come(shown, "Its answer")


def _concepts(shown: Preview, pair: Pair) -> list[str]:
    names = {id: name for session in shown.sessions for id, name in session.concepts}
    return [names[id] for id in pair.question.concepts if id in names]


def _markdown(text: str) -> str:
    """Untrusted Markdown with bold lines for headings: in a dialog Streamlit sets small headings smaller than the text."""
    return re.sub(r"(?m)^#{4,6}[ \t]+(.+)$", lambda found: f"**{found[1].replace('*', '').strip()}**", model_markdown(text))


def _to_come(shown: Preview, what: str) -> None:
    """What will stand in a place that is empty."""
    st.caption(f"{what} will stand here." if shown.alive else "Not written.")


def _actions(ws: Workspace, shown: Preview) -> None:
    """What can be done with the preview in its state."""
    id, environment = shown.node.id, teacher_form.environment()
    with st.container(horizontal=True, vertical_alignment="center"):
        if shown.alive:
            if not shown.run.wish and st.button("Stop", icon=":material/stop:", key="stop_preview"):
                _act(lambda: preview.stop(ws, id))
            st.caption("You may close this window: the preview goes on, and waits here for you.")
            return
        again = priced("Try again", preview.cost(ws, shown.terms))
        if shown.whole:
            what = f"{plain(shown.node.name)} joins the tree, and all of this the dataset."
            if st.button("Accept", type="primary", icon=":material/check:", key="accept_preview", help=what):
                _accept(ws, shown)
        else:
            hint = "Ask once more for what is missing; what is there is not paid for again."
            if st.button("Try again", type="primary", icon=":material/refresh:", key="continue_preview", help=hint):
                _act(lambda: preview.go_on(ws, id, environment))
            if shown.syllabus and st.button("Accept as it is", icon=":material/check:", key="accept_preview"):
                _accept(ws, shown)
        if shown.subjects and st.button("Edit", icon=":material/edit:", key="edit_preview"):
            st.session_state.editing_preview = id
            st.rerun()
        hint = "Have another one written in its place."
        if shown.whole and st.button(again, icon=":material/refresh:", key="redo_preview", help=hint):
            _act(lambda: preview.begin(ws, shown.node, shown.terms, environment))
        if st.button("Change notes or teacher", icon=":material/arrow_back:", key="change_preview"):
            _fill_fields(shown)
            _act(lambda: None, leave=True)
        hint = "What it cost stays in the accounts."
        if st.button("Throw away", icon=":material/delete:", key="discard_preview", help=hint):
            _act(lambda: preview.discard(ws, id), leave=True)
        if shown.usd:
            st.caption(f"It cost {usd(shown.usd)}.".replace("$", r"\$"))


def priced(what: str, cost: Plan) -> str:
    """A label that says what pressing the button costs."""
    price = "price unknown" if cost.usd is None else "free" if cost.usd[1] == 0 else f"about {money(cost.usd)}"
    return f"{what} · {plural(cost.calls[1], 'call')} · {price}".replace("$", r"\$")


def _act(deed: Callable[[], None], *, leave: bool = False) -> None:
    """Do something with the preview and draw it anew, or go back to the first step; a fault is said instead."""
    try:
        deed()
    except GlanError as error:
        fault(error)
        return
    st.session_state.editing_preview = None
    if leave:
        st.session_state.adding_preview = None
    st.rerun()


def _accept(ws: Workspace, shown: Preview) -> None:
    def deed() -> None:
        preview.accept(ws, shown.node.id, url_state.user())
        st.session_state.adding_accepted = {"id": shown.node.id, "terms": shown.terms.model_dump()}
        for key in ("adding_name", "adding_notes", "adding_place"):
            st.session_state.pop(key, None)
        url_state.set_focus(shown.node.id)

    _act(deed, leave=True)


def _fill_fields(shown: Preview) -> None:
    """Let the fields of the first step say what this preview was made of."""
    node = shown.node
    st.session_state.update(adding_name=node.name, adding_place=node.parent_id, adding_notes=node.description)
    st.session_state.update({"adding_for": node.id, "adding_what": node.id, f"adding_notes_{node.id}": node.description})
