"""A preview while it is generated and after: read, edit, accept, regenerate or discard it."""

import re
from collections.abc import Callable, Iterable

import networkx as nx
import streamlit as st

from glan_core.errors import GlanError
from glan_core.formatting import money, plural, usd
from glan_core.generation import preview
from glan_core.generation.plan import Plan
from glan_core.generation.preview import Preview
from glan_core.taxonomy import hierarchy
from glan_core.workspace import Workspace
from glan_core.workspace.homework_rows import Pair
from pages.components.shared import teacher_form, url_state
from pages.components.shared.failure_card import failure_card
from pages.components.shared.untrusted_text import escape, model_markdown, scripted_badge, show_error
from pages.components.taxonomy import preview_edit

CURSOR = " ▌"
STRATEGIES = {"single": "one class session", "pair": "two class sessions"}
NOW = {
    "subject_list": "a list of subjects", "subjects": "the list as JSON lines", "syllabus": "the syllabus",
    "sessions": "the class sessions", "question": "questions", "answer": "answers",
}  # fmt: skip


def panel(ws: Workspace, tree: nx.DiGraph, discipline_id: str) -> None:
    """Draw the preview of a discipline; it refreshes while it is generated."""
    alive = preview.read(ws, discipline_id).alive
    st.fragment(_panel, run_every=0.4 if alive else None)(ws, tree, discipline_id, was_alive=alive)


def _panel(ws: Workspace, tree: nx.DiGraph, discipline_id: str, *, was_alive: bool) -> None:
    try:
        shown = preview.read(ws, discipline_id)
    except GlanError:  # accepted or discarded in another session
        st.rerun()
    if shown.alive != was_alive:
        st.rerun()  # draws this panel again with the right refresh interval
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
    place = escape("".join(f"{node.name} › " for node in above).strip())
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"{place} **{escape(shown.node.name)}**", width="content")
        for teacher in sorted({shown.terms.teacher_of(stage) for stage in preview.CALLS}):
            scripted_badge(teacher)
        if shown.alive:
            st.markdown(f":blue[:material/edit_note: {_now(shown)}]", width="content")
    if shown.alive:
        return
    if shown.state == "lost":
        st.error("Worker lost (no heartbeat). Stored results are kept; retry to generate the rest.")
    elif shown.state == "failed":
        st.error(escape(shown.run.message or "The run failed without a message."))
    elif not shown.whole:
        st.warning(
            escape("The preview is incomplete." if shown.failures else shown.run.message or "Retry to generate the rest.")
        )
        for group in shown.failures:
            failure_card(group)


def _now(shown: Preview) -> str:
    """Describe the current activity in one sentence."""
    if shown.run.wish:
        return "Stopping after in-flight requests are stored."
    if shown.run.waiting:
        return escape(shown.run.waiting)
    stages = dict.fromkeys(NOW[writing.stage] for writing in shown.writing)
    if stages:
        return f"Generating {' and '.join(stages)}."
    return "Calling the teacher." if not shown.subjects else "Starting the next stage."


def _subjects(shown: Preview) -> None:
    found = shown.subjects
    st.markdown(f"**Subjects**{f' · {len(found)} in the first list' if found else ''}")
    with st.container(height=150, border=True, autoscroll=not found):
        if found:
            for subject in found:
                level = f" · {escape(subject.level)}" if subject.level else ""
                _entry(f"**{escape(subject.name)}**{level}", subject.subtopics)
        elif text := shown.text_of("subjects"):
            st.markdown("".join(f"- {escape(name)}\n" for name in preview.partial_names(text)) + CURSOR)
        elif (text := shown.text_of("subject_list")) is not None:
            st.markdown(_markdown(text) + CURSOR)
        else:
            _to_come(shown, "The subjects of the discipline")


def _syllabus(shown: Preview) -> None:
    of = f" of {escape(shown.subjects[0].name)}" if shown.subjects else ""
    st.markdown(f"**Syllabus**{of}")
    # With one key the box would keep its scroll position at the end of the streamed text; the final text starts at the top.
    key = "preview_text" if shown.syllabus is None else "preview_text_whole"
    with st.container(height=310, border=True, autoscroll=shown.syllabus is None, key=key):
        if shown.syllabus:
            if shown.sessions:
                _sessions(shown)
            elif text := shown.text_of("sessions"):
                st.caption(f"Class sessions extracted so far: {escape(', '.join(preview.partial_names(text)))}{CURSOR}")
            st.markdown(_markdown(shown.syllabus.text))
        elif (text := shown.text_of("syllabus")) is not None:
            st.markdown(_markdown(text) + CURSOR)
        else:
            _to_come(shown, "The syllabus of the first subject")


def _sessions(shown: Preview) -> None:
    """Draw sessions and key concepts in an expander above the syllabus text."""
    concepts = sum(len(session.concepts) for session in shown.sessions)
    with st.expander(f"{plural(len(shown.sessions), 'class session')} · {plural(concepts, 'key concept')}"):
        for number, session in enumerate(shown.sessions, start=1):
            _entry(f"{number}\\. **{escape(session.name)}**", [name for _, name in session.concepts])


def _entry(head: str, parts: Iterable[str]) -> None:
    """Draw an entry of a list with its parts below."""
    with st.container(gap=None):
        st.markdown(head)
        st.caption(escape(", ".join(parts)))


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
            _to_come(shown, "Three homework questions with answers")


def _pair(shown: Preview, number: int, pair: Pair) -> None:
    question = pair.question
    with st.container(border=True, gap="small"):
        st.caption(f"Question {number} · {STRATEGIES[question.strategy]} · {escape(', '.join(_concepts(shown, pair)))}")
        st.markdown(model_markdown(question.text))
        st.caption("Answer")
        if pair.answer is not None:
            st.markdown(model_markdown(pair.answer))
        elif (text := shown.answer_of(pair)) is not None:
            st.markdown(model_markdown(text) + CURSOR)
        else:
            _to_come(shown, "The answer")


def _concepts(shown: Preview, pair: Pair) -> list[str]:
    names = {id: name for session in shown.sessions for id, name in session.concepts}
    return [names[id] for id in pair.question.concepts if id in names]


def _markdown(text: str) -> str:
    """Return safe Markdown with bold lines for headings, which a dialog would set smaller than the text."""
    return re.sub(r"(?m)^#{3,6}[ \t]+(.+)$", lambda found: f"**{found[1].replace('*', '').strip()}**", model_markdown(text))


def _to_come(shown: Preview, what: str) -> None:
    """Draw the placeholder of a part that is not generated."""
    st.caption(f"{what} will appear here." if shown.alive else "Not generated.")


def _actions(ws: Workspace, shown: Preview) -> None:
    """Draw the actions available in the preview's state."""
    id, environment = shown.node.id, teacher_form.environment()
    with st.container(horizontal=True, vertical_alignment="center"):
        if shown.alive:
            if not shown.run.wish and st.button("Stop", icon=":material/stop:", key="stop_preview"):
                _act(lambda: preview.cancel(ws, id))
            st.caption("You can close this dialog; generation continues in the background.")
            return
        again = cost_label("Regenerate", preview.plan_preview(ws, shown.terms))
        if shown.whole:
            what = f"Adds {escape(shown.node.name)} to the taxonomy and the preview's records to the dataset."
            if st.button("Accept", type="primary", icon=":material/check:", key="accept_preview", help=what):
                _accept(ws, shown)
        else:
            hint = "Generates only what is missing; stored results are not paid for again."
            if st.button("Retry", type="primary", icon=":material/refresh:", key="continue_preview", help=hint):
                _act(lambda: preview.resume(ws, id, environment))
            if shown.acceptable and st.button("Accept incomplete", icon=":material/check:", key="accept_preview"):
                _accept(ws, shown)
        if shown.subjects and st.button("Edit", icon=":material/edit:", key="edit_preview"):
            st.session_state.editing_preview = id
            st.rerun()
        hint = "Replaces this preview with a new one."
        if shown.whole and st.button(again, icon=":material/refresh:", key="redo_preview", help=hint):
            _act(lambda: preview.start(ws, shown.node, shown.terms, environment))
        if st.button("Change notes or teacher", icon=":material/arrow_back:", key="change_preview"):
            _fill_fields(shown)
            _act(lambda: None, leave=True)
        hint = "Deletes the preview; its cost stays in the records."
        if st.button("Discard", icon=":material/delete:", key="discard_preview", help=hint):
            _act(lambda: preview.discard(ws, id), leave=True)
        if shown.usd != 0:
            st.caption(f"Cost: {'price unknown' if shown.usd is None else usd(shown.usd)}.".replace("$", r"\$"))


def cost_label(what: str, cost: Plan) -> str:
    """Return a button label with the number of calls and the cost."""
    price = "price unknown" if cost.usd is None else "free" if cost.usd[1] == 0 else f"about {money(cost.usd)}"
    return f"{what} · {plural(cost.calls[1], 'call')} · {price}".replace("$", r"\$")


def _act(action: Callable[[], None], *, leave: bool = False) -> None:
    """Apply an action and redraw the preview, or return to the first step; shows the error if it fails."""
    try:
        action()
    except GlanError as error:
        show_error(error)
        return
    st.session_state.editing_preview = None
    if leave:
        st.session_state.adding_preview = None
    st.rerun()


def _accept(ws: Workspace, shown: Preview) -> None:
    def action() -> None:
        preview.accept(ws, shown.node.id, url_state.user())
        st.session_state.adding_accepted = {"id": shown.node.id, "terms": shown.terms.model_dump()}
        for key in ("adding_name", "adding_notes", "adding_place"):
            st.session_state.pop(key, None)
        url_state.set_focus(shown.node.id)

    _act(action, leave=True)


def _fill_fields(shown: Preview) -> None:
    """Fill the fields of the first step with the values of this preview."""
    node = shown.node
    st.session_state.update(adding_name=node.name, adding_place=node.parent_id, adding_notes=node.description)
    st.session_state.update({"adding_for": node.id, "adding_what": node.id, f"adding_notes_{node.id}": node.description})
