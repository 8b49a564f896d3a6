"""Review on the Homework page: verdicts, edits, regeneration, and bulk verdicts for a filter."""

from collections.abc import Callable

import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.generation.settings import RegenerateSettings
from glan_core.homework import review
from glan_core.settings import read_settings
from glan_core.workspace import Workspace, edit_batch, pair_filter, run_rows
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.run_rows import LIVE
from pages.components.shared import teacher_form, url_state
from pages.components.shared.untrusted_text import escape, show_error

# Verdict: label, badge color, badge icon, sign in the table.
REVIEWED = {"keep": ("kept", "green", ":material/check:", "✓"), "reject": ("rejected", "red", ":material/close:", "✗")}


def review_bar(ws: Workspace, pair: Pair, go_on: Callable[[int], None]) -> None:
    """Draw the review bar of a pair; `go_on(1)` selects the next row, `go_on(-1)` the previous one."""
    id = pair.question.id

    def judge(verdict: str) -> None:
        same = pair.review == verdict
        reason = st.session_state.get("reject_reason") or ""
        summary = "Verdict cleared." if same else "Kept." if verdict == "keep" else "Rejected."
        done = act(summary, review.review, id, None if same else verdict, url_state.user(), reason=reason)
        if done and not same:
            go_on(1)

    def star() -> None:
        act("Star removed." if pair.starred else "Starred.", review.star, id, url_state.user(), starred=not pair.starred)

    def act(summary: str, action, *args, **kwargs) -> bool:
        return apply_edit(summary, action, ws, *args, **kwargs)

    with st.container(horizontal=True, gap="small", vertical_alignment="bottom", key="verdicts"):
        st.button(
            "Keep", icon=":material/check:", shortcut="K", on_click=judge, args=("keep",),
            type="primary" if pair.review == "keep" else "secondary", disabled=ws.read_only,
        )  # fmt: skip
        st.button(
            "Reject", icon=":material/close:", shortcut="X", on_click=judge, args=("reject",),
            type="primary" if pair.review == "reject" else "secondary", disabled=ws.read_only,
        )  # fmt: skip
        st.button(
            "Unstar" if pair.starred else "Star", icon=":material/star:", shortcut="S", on_click=star, key="star",
            disabled=ws.read_only,
        )  # fmt: skip
        st.button(
            "Previous row",
            icon=":material/arrow_upward:",
            shortcut="P",
            help="Previous row",
            on_click=go_on,
            args=(-1,),
            key="previous",
        )
        st.button(
            "Next row", icon=":material/arrow_downward:", shortcut="J", help="Next row", on_click=go_on, args=(1,), key="next"
        )
    st.selectbox(
        "Rejection reason", review.REASONS, None, key="reject_reason", placeholder="Rejection reason",
        accept_new_options=True, label_visibility="collapsed", width=240, disabled=ws.read_only,
    )  # fmt: skip


def apply_edit(summary: str, action, *args, **kwargs) -> bool:
    """Apply an edit in a callback and store it for undo; returns whether it succeeded."""
    try:
        batch = action(*args, **kwargs)
    except GlanError as error:
        st.session_state.deed_error = error
        return False
    store_edit(batch, summary)
    return True


def store_edit(batch: str | None, summary: str) -> None:
    """Store the last edit for undo."""
    if batch:
        st.session_state.deed = (st.session_state.workspace, batch, summary)


def undo_bar(ws: Workspace) -> None:
    """Show the last edit with its undo button, and the error of a failed one."""
    if error := st.session_state.pop("deed_error", None):
        show_error(error)
    workspace, batch, summary = st.session_state.get("deed", (None, None, None))
    if workspace != st.session_state.workspace:
        return

    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="last_deed", width="content"):
        st.caption(summary, width="content")
        st.button(
            "Undo", icon=":material/undo:", type="tertiary", shortcut="Z", on_click=undo_edit, args=(ws, batch), key="undo_deed"
        )


def undo_edit(ws: Workspace, batch: str) -> None:
    """Undo an edit in a callback."""
    st.session_state.pop("deed", None)
    try:
        edit_batch.undo(ws, batch, url_state.user())
    except GlanError as error:
        st.session_state.deed_error = error


def bulk_verdicts(ws: Workspace, which: PairFilter, changed: Callable[[], None]) -> None:
    """Draw the popover that applies one verdict to all rows of a filter, with their number."""
    explanation = "Apply a verdict to all rows that match the filters"
    with st.popover(
        "Apply a verdict to all",
        icon=":material/done_all:",
        help=explanation,
        on_change="rerun",
        key="bulk",
        disabled=ws.read_only,
    ) as opened:
        if not opened.open:
            return
        number = pair_filter.count_matching(ws.db, which)
        rows = plural(number, "row")
        st.markdown(f"**{rows}** {'match' if number != 1 else 'matches'} the filters.")
        reason = st.selectbox(
            "Reason", review.REASONS, None, key="bulk_reason", placeholder="rejection reason", accept_new_options=True
        )

        def judge(verdict: str | None, summary: str) -> None:
            apply_edit(summary, review.review_all, ws, which, verdict, url_state.user(), reason=reason or "")
            changed()

        for label, verdict, summary in (
            ("Reject", "reject", "rejected"), ("Keep", "keep", "kept"), ("Clear verdicts of", None, "cleared of verdicts"),
        ):  # fmt: skip
            st.button(
                f"{label} {rows}", width="stretch", disabled=not number, on_click=judge, key=f"bulk_{verdict}",
                args=(verdict, f"{rows} {summary}."),
            )  # fmt: skip


@st.dialog("Edit pair", width="large")
def edit_dialog(ws: Workspace, pair: Pair) -> None:
    """Edit question and answer; previous texts stay in the history."""
    question = st.text_area("Question", pair.question.text, height=160)
    answer = None if pair.answer is None else st.text_area("Answer", pair.answer, height=330)
    st.caption("Markdown, with formulas between dollar signs. The generated text stays in the history.")
    if st.button("Save", type="primary"):
        try:
            batch = review.edit(ws, pair.question.id, url_state.user(), question=question, answer=answer, seen=pair)
        except GlanError as error:
            show_error(error)
            return
        store_edit(batch, "Saved.")
        st.rerun()


def regenerate_button(ws: Workspace, record_id: str, what: str, calls: str) -> None:
    """Draw the button that regenerates a record as a run, or the run's progress."""
    live = [run for run in run_rows.live_runs(ws.db) if run.kind == "redo" and run.params.get("record_id") == record_id]
    live = [run for run in live if runs.state_of(run) in LIVE]
    if live:
        st.fragment(_wait_for, run_every="0.7s")(ws, live[0].id, what)
        return
    show_result(ws, record_id, what)
    with st.popover(
        "Regenerate",
        icon=":material/autorenew:",
        help=f"Ask a teacher for another {what}; the previous one stays in the history.",
        disabled=ws.read_only,
    ):
        values = teacher_form.fields("grow_anew", stage="answer")
        if st.button(f"Regenerate {what} · {calls}", disabled=not values, width="stretch"):
            try:
                settings = read_settings(RegenerateSettings, {**values, "record_id": record_id})
                run_id = runs.start(ws, "redo", f"Regenerate {what}", settings, teacher_form.environment())
            except GlanError as error:
                show_error(error)
            else:
                st.session_state.anew = (record_id, run_id)
                st.rerun()


def _wait_for(ws: Workspace, run_id: int, what: str) -> None:
    if runs.state_of(runs.get(ws, run_id)) not in LIVE:
        st.rerun()
    st.markdown(f":material/hourglass_top: Regenerating {what} …")


def show_result(ws: Workspace, record_id: str, what: str) -> None:
    """Show once how a regeneration ended."""
    asked, run_id = st.session_state.get("anew", (None, None))
    if asked != record_id:
        return
    del st.session_state.anew
    run = runs.get(ws, run_id)
    state = runs.state_of(run)
    if state == "finished" and not run.message:
        st.toast(f"The {what} was regenerated.", icon=":material/check:")
    else:
        st.error(f"The {what} was not changed: run {run_id} is {state}. {escape(run.message)}")
